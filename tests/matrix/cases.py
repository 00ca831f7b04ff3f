"""Which cases there are: every point in every mode, played in the story that reaches it, or left out for a reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from consumer.failpoints.acting import Mode, refusal
from consumer.failpoints.effect import Component, Point
from consumer.failpoints.effects import POINTS

STOP_SECONDS = 6
"""How long a process stands still: past its lease and past the group's session time-out, so that a heir takes over."""
DELAY_SECONDS = 2
"""How long a delay lasts: longer than Postgres leaves a transaction of such a short lease idle."""


class Story(StrEnum):
    """What happens around a failure. Each ends with further rows, late ones too, that have to arrive as well."""

    OFFLOAD = "three days are offloaded"
    GAP = "three days are offloaded, then a tick asks for a week without rows"
    LETTER = "a message that is no event comes before those that are"
    HALT = "the source is missing, so the stream is halted, and resumed once it is there"
    DEPENDANT = "a second stream waits for the first, and is woken through the outbox"
    RACE = "somebody else creates the target at the same moment"
    RETIRE = "the table keeps so few metadata files that each publish retires one"
    CLOSES = "the emitter sees partitions close"
    TICKS = "the emitter ticks every two seconds"
    FAREWELL = "the emitter is asked to end"
    REPAIR = "three days are offloaded, somebody rolls the table back, and an operator repairs the stream"
    PAUSE = "three days are offloaded, and an operator pauses the stream, which is resumed afterwards"
    RESUME = "three days are offloaded, the stream is paused, and an operator resumes it"
    REWIND = "three days are offloaded, then an operator rewinds the stream by one and a half of them"
    REDRIVE = "an event comes before its stream is configured, and an operator sends its dead letter again"
    COMPACT = "three days are offloaded in small files, and an operator has them put together"
    NOTICE = "three days are offloaded, their compaction is killed, and an operator has superfluous files looked for"
    REMOVE = "three days are offloaded, their compaction is killed, and an operator has superfluous files removed"
    UPKEEP = "three days are offloaded in small files, and the consumers put them together"


_EMITTERS = frozenset({Story.CLOSES, Story.TICKS, Story.FAREWELL})


REMOVALS = frozenset({Story.NOTICE, Story.REMOVE})
"""Stories in which files are removed, or found that will be."""
MAINTAINED = frozenset({Story.COMPACT, Story.UPKEEP, *REMOVALS})
"""Stories in which the table is maintained: it keeps few snapshots, and its files are small at first."""
COMMANDS = frozenset({Story.REWIND, Story.REPAIR, Story.PAUSE, Story.RESUME, Story.REDRIVE, Story.COMPACT, *REMOVALS})
"""Stories in which a command of an operator fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """How a story leads to an effect.

    Attributes:
        at: the how-manieth time is the one that fails: the second where one batch should be published before.
        prelude: another failpoint, without which the effect would not happen.
    """

    story: Story = Story.OFFLOAD
    at: int = 1
    prelude: str = ""


_SECOND_BATCH = Plot(at=2)

PLOTS: Mapping[str, Plot] = MappingProxyType(
    {
        "event.receive": Plot(),
        "event.handle": Plot(),
        "stream.register": Plot(),
        "lease.claim": Plot(),
        "lease.renew": Plot(prelude="batch.before-write=delay(2.5)"),
        "lease.release": Plot(),
        "batch.begin": _SECOND_BATCH,
        "comparison.record": Plot(),
        "batch.write": _SECOND_BATCH,
        "attempt.stage": _SECOND_BATCH,
        "batch.advance": Plot(story=Story.GAP),
        "batch.fail": Plot(prelude="attempt.before-stage=raise@2"),
        "stream.halt": Plot(story=Story.HALT),
        "event.park": Plot(story=Story.HALT),
        "letter.send": Plot(story=Story.LETTER),
        "offset.commit": Plot(),
        "target.write": Plot(),
        "target.create": Plot(),
        "target.discard": Plot(story=Story.RACE, prelude="target.before-create=delay(3)"),
        "stream.bind": Plot(),
        "task.read": _SECOND_BATCH,
        "task.close": _SECOND_BATCH,
        "task.answer": _SECOND_BATCH,
        "publish.stage": _SECOND_BATCH,
        "publish.commit": _SECOND_BATCH,
        "publish.retire": Plot(story=Story.RETIRE),
        "publish.discard": Plot(prelude="publish.before-commit=raise@2"),
        "emitter.claim": Plot(story=Story.CLOSES),
        "emitter.renew": Plot(story=Story.CLOSES, at=3),
        "emitter.release": Plot(story=Story.FAREWELL),
        "ticks.send": Plot(story=Story.TICKS),
        "ticks.record": Plot(story=Story.TICKS),
        "closes.send": Plot(story=Story.CLOSES),
        "closes.record": Plot(story=Story.CLOSES),
        "outbox.take": Plot(story=Story.DEPENDANT),
        "outbox.send": Plot(story=Story.DEPENDANT),
        "outbox.remove": Plot(story=Story.DEPENDANT),
        "watermark.rewind": Plot(story=Story.REWIND),
        "stream.repair": Plot(story=Story.REPAIR),
        "stream.pause": Plot(story=Story.PAUSE),
        "stream.resume": Plot(story=Story.RESUME),
        "letter.redrive": Plot(story=Story.REDRIVE),
        "letter.receipt": Plot(story=Story.REDRIVE),
        "maintenance.abandon": Plot(story=Story.COMPACT),
        "maintenance.note": Plot(story=Story.UPKEEP),
        "attempts.close": Plot(story=Story.NOTICE),
        "files.note": Plot(story=Story.NOTICE),
        "files.remove": Plot(story=Story.REMOVE),
        "files.forget": Plot(story=Story.REMOVE),
    }
)

_REWRITE = Plot(story=Story.COMPACT)

REWRITES: Mapping[str, Plot] = MappingProxyType(
    {
        "lease.claim": _REWRITE,
        "lease.release": _REWRITE,
        "batch.begin": _REWRITE,
        "batch.write": _REWRITE,
        "attempt.stage": _REWRITE,
        "batch.fail": Plot(story=Story.COMPACT, prelude="attempt.before-stage=raise"),
        "task.read": _REWRITE,
        "task.close": _REWRITE,
        "task.answer": _REWRITE,
        "publish.stage": _REWRITE,
        "publish.commit": _REWRITE,
        "publish.discard": Plot(story=Story.COMPACT, prelude="publish.before-commit=raise"),
    }
)
"""What a batch with rows and a rewrite of files have in common is played once more in a rewrite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One point in one mode."""

    point: Point
    mode: Mode
    plot: Plot

    @property
    def action(self) -> str:
        """The failure as its process logs it: ``publish.before-commit=stop(6)``."""
        seconds = {Mode.STOP: f"({STOP_SECONDS})", Mode.DELAY: f"({DELAY_SECONDS})"}.get(self.mode, "")
        return f"{self.point.name}={self.mode}{seconds}"

    @property
    def specification(self) -> str:
        """What the victim's ``ICEHAUL_FAILPOINTS`` says."""
        return ",".join(part for part in (self.plot.prelude, f"{self.action}@{self.plot.at}") if part)

    @property
    def name(self) -> str:
        """What tells this case from every other."""
        return f"{self.action} in a rewrite" if self.rewrite else self.action

    @property
    def rewrite(self) -> bool:
        """Whether it is one of those that are played once more, in a rewrite."""
        return self.plot is REWRITES.get(self.point.effect.name)

    @property
    def emitter(self) -> bool:
        """Whether the victim is an emitter, and not a consumer."""
        return self.plot.story in _EMITTERS

    @property
    def command(self) -> bool:
        """Whether the victim is an operator's command, which is given again after it has failed."""
        return self.plot.story in COMMANDS

    @property
    def in_task(self) -> bool:
        """Whether a Python worker of Spark fails, and not the victim itself."""
        return self.point.effect.component is Component.TASK


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A point in a mode that is not played, and why."""

    point: Point
    mode: Mode
    reason: str

    @property
    def name(self) -> str:
        """The point and the mode."""
        return f"{self.point.name}={self.mode}"


def matrix() -> Iterator[Case | LeftOut]:
    """Yield every point in every mode, and those of a rewrite once more."""
    for point in POINTS.values():
        for mode in Mode:
            reason = refusal(point, mode) or _elsewhere(point) or _repetition(point, mode)
            if reason is not None:
                yield LeftOut(point=point, mode=mode, reason=reason)
                continue
            yield Case(point=point, mode=mode, plot=PLOTS[point.effect.name])
            if point.effect.name in REWRITES:
                yield Case(point=point, mode=mode, plot=REWRITES[point.effect.name])


ELSEWHERE: Mapping[Component, str] = MappingProxyType(
    {
        Component.DROPPER: "no consumer or emitter gets there, but `icehaul drop-hot`: see"
        " tests/faults/test_drop_hot_failures.py",
        Component.HISTORY: "history is offloaded on request only: see tests/faults/test_backfill_failures.py",
        Component.REGISTER: "`icehaul stream` and `recover` get there: see tests/faults/test_stream_changes.py,"
        " tests/integration/cli/test_recover.py",
        Component.TWO_STEP: "only with a catalog outside of the ledger's database: see"
        " tests/faults/test_two_step_crashes.py",
        Component.RESTORER: "`icehaul restore` gets there: see tests/faults/test_restore_failures.py",
        Component.OPERATOR: "an operator's command gets there: see tests/faults/test_backfill_failures.py",
    }
)
"""Components whose points are played by tests of their own, and which."""


def _elsewhere(point: Point) -> str | None:
    return ELSEWHERE.get(point.effect.component)


def _repetition(point: Point, mode: Mode) -> str | None:
    if mode is Mode.APPLY_THEN_RAISE and point.effect.lost is point.effect.fails:
        return f"the same as raise: a lost answer is reported as {point.effect.fails.__name__}, too"
    return None
