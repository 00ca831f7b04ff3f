"""Playing one case: who starts, what fails, who takes over, until everything has arrived."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from pyiceberg.table import TableProperties

from consumer.failpoints.acting import Mode
from consumer.ports import StreamState
from consumer.service.prepare import Preparation
from tests.matrix.cases import REMOVALS, Case, Story
from tests.matrix.judge import Verdict, judge
from tests.matrix.stage import START_SECONDS, House, Stage, assigned
from tests.matrix.upkeep import check_maintained, leave_files, notice_files
from tests.support.cold_tier import other_engine
from tests.support.nursery import Child
from tests.support.platform import day
from tests.support.waiting import wait_for

_REACHED_SECONDS = 90.0
_SETTLED_SECONDS = 150.0
_AWAKE_SECONDS = 60.0
_LAST_WORDS_SECONDS = 10.0
_REPLACED = ("consumer.lost", "FencedError", "emitter lease", "but the lease is at epoch", "is lost")
"""What a process says that finds its work in other hands."""
_IDLE_RELAY = "8"
"""Seconds between two looks of a heir's relay at the outbox, so that the victim's comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a case ended.

    Attributes:
        problems: what is wrong; none if the case is as it has to be.
        seconds: how long it took.
        recovery: seconds from the kill of a consumer to the survivor's first publish.
        replaced: whether a process that was stopped found, when it woke, that another one had taken over.
    """

    case: Case
    problems: tuple[str, ...]
    seconds: float
    verdict: Verdict | None = None
    recovery: float | None = None
    replaced: bool | None = None


def play(house: House, number: int, case: Case) -> Outcome:
    """Play a case on a stage of its own, and judge what is left."""
    started = time.monotonic()
    problems: tuple[str, ...] = ()
    verdict, recovery, replaced = None, None, None
    try:
        with Stage(house, f"{house.name}_{number:03d}", case.plot.story) as stage:
            drama = Drama(stage, case)
            try:
                drama.play()
            except AssertionError as error:
                raise AssertionError(f"{error}; {stage.state()}") from error
            verdict = judge(stage)
            problems = verdict.problems
            recovery, replaced = drama.recovery(), drama.replaced
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is this case's result, and the others go on
        problems = (f"{type(error).__name__}: {error}",)
    seconds = time.monotonic() - started
    return Outcome(case=case, problems=problems, seconds=seconds, verdict=verdict, recovery=recovery, replaced=replaced)


def play_all(house: House, cases: Sequence[Case], *, lanes: int) -> Iterator[Outcome]:
    """Play cases, so many side by side, and yield each outcome as soon as it is there."""
    with ThreadPoolExecutor(lanes) as pool:
        futures = [pool.submit(play, house, number, case) for number, case in enumerate(cases)]
        for future in as_completed(futures):
            yield future.result()


class Drama:
    """The acts of one case."""

    def __init__(self, stage: Stage, case: Case) -> None:
        self._stage = stage
        self._case = case
        self._victim: Child | None = None
        self._heir_ready = 0.0
        self.replaced: bool | None = None

    def play(self) -> None:
        """Play all acts: start, failure, more rows, the end of everything that is under way."""
        stage, story = self._stage, self._case.plot.story
        statement = stage.drop_source() if story is Story.HALT else None
        if story is Story.DEPENDANT:
            stage.insert_dependant()
        elif statement is None:
            stage.insert_history()
        self._prepare()
        victim = self._victim = self._raise()
        self._provoke()
        self._await_failure(victim)
        if self._case.command:
            self._command_again()
        if statement is not None:
            mend(stage, statement)
        if not stage.offloaded():
            # By what was sent before the failure, or by who took over: no later event may be needed for it.
            wait_for(stage.settled, _SETTLED_SECONDS, "what there was before the failure to arrive")
        if "emitter" not in stage.processes:
            stage.start("emitter", "emit")
        stage.insert_further()
        wait_for(stage.settled, _SETTLED_SECONDS, "every row to arrive and every offset to be committed")
        if self._case.mode is Mode.STOP and not self._case.in_task:
            self._await_awakening(victim)
        stage.end(*(name for name in ("emitter", "emitter-heir") if name in stage.processes))
        wait_for(stage.settled, _SETTLED_SECONDS, "everything to settle once nothing is emitted any more")
        stage.end()

    def recovery(self) -> float | None:
        """Seconds from the kill of a consumer to the first publish by the one that stood by."""
        victim = self._victim
        consumer = not (self._case.in_task or self._case.emitter or self._case.command)
        killed = self._case.mode is Mode.KILL and consumer
        if victim is None or victim.ended is None or not killed or victim.ended < self._heir_ready:
            return None
        ((moment,),) = self._stage.query(
            "SELECT extract(epoch FROM min(ended))::float8 FROM offload_batches"
            " WHERE status = 'published' AND split_part(owner, ':', 2) <> %s",
            str(victim.pid),
        )
        return None if moment is None else float(moment - victim.ended)

    # ------------------------------------------------------------------------------------ acts

    def _prepare(self) -> None:
        stage = self._stage
        if self._case.plot.story is not Story.RETIRE:
            return
        create_target(stage)
        keep_few_metadata_files(stage)

    def _raise(self) -> Child:
        if self._case.command:
            return self._raise_command()
        return self._raise_emitters() if self._case.emitter else self._raise_consumers()

    def _raise_command(self) -> Child:
        """Let three days be offloaded, and start the command that is the victim."""
        stage, story = self._stage, self._case.plot.story
        if story is Story.REDRIVE:
            put_away(stage)
        consumer = stage.start("consumer", "run")
        wait_for(lambda: assigned(consumer), START_SECONDS, "the consumer to own the partition")
        if story is not Story.REDRIVE:
            stage.start("emitter", "emit")
            self._await_history()
        if story is Story.REPAIR:
            roll_back(stage)
        elif story is Story.RESUME:
            stage.run("pause", "pause", stage.streams[0])
        elif story in REMOVALS:
            leave_files(stage)
            if story is Story.REMOVE:
                notice_files(stage)
        return stage.start("victim", *stage.commands[story], failpoints=self._case.specification)

    def _command_again(self) -> None:
        """Give the command once more, until it has done what it is for; then let the stream go on."""
        stage, story = self._stage, self._case.plot.story
        if story is Story.PAUSE:
            # One that wakes up late pauses what was resumed.
            victim = stage.processes["victim"]
            wait_for(lambda: not victim.running, _AWAKE_SECONDS, "the victim to end")
            story = Story.RESUME
        stage.run_until_it_succeeds("heir", *stage.commands[story])
        check_maintained(stage)
        self._stage.run("tick", "emit", "--tick", "2024-01-10", "--stream", self._stage.streams[0])

    def _raise_consumers(self) -> Child:
        """Start the victim, a heir that stands by in the same group, and the emitter."""
        stage = self._stage
        if self._case.plot.story is Story.LETTER:
            stage.send_nonsense()
        victim = stage.start("victim", "run", failpoints=self._case.specification)
        wait_for(lambda: assigned(victim) or self._failed(victim), START_SECONDS, "the victim to own the partition")
        stage.start("heir", "run", ICEHAUL_CONSUMER__RELAY_INTERVAL_SECONDS=_IDLE_RELAY)
        wait_for(lambda: stage.members() > 1 or not victim.running, START_SECONDS, "the heir to join the group")
        self._heir_ready = time.time()
        if self._case.plot.story is not Story.HALT:
            stage.start("emitter", "emit")
        return victim

    def _raise_emitters(self) -> Child:
        """Start a consumer, the victim, and a heir that stands by."""
        stage = self._stage
        consumer = stage.start("consumer", "run")
        wait_for(lambda: assigned(consumer), START_SECONDS, "the consumer to own the partition")
        victim = stage.start("emitter", "emit", failpoints=self._case.specification)
        wait_for(
            lambda: "emitter.active" in victim.text() or self._failed(victim), START_SECONDS, "the victim to be active"
        )
        stage.start("emitter-heir", "emit")
        return victim

    def _provoke(self) -> None:
        """Do what makes the victim reach its point, besides the rows that are there."""
        stage, story = self._stage, self._case.plot.story
        if story is Story.HALT:
            stage.run("tick", "emit", "--tick", "2024-01-04", "--stream", stage.streams[0])
        elif story is Story.GAP:
            self._await_history()
            stage.run("tick", "emit", "--tick", "2024-01-10", "--stream", stage.streams[0])
            stage.goal = day("2024-01-09")
        elif story is Story.DEPENDANT:
            # Its own events are done, and waited for nothing: from now on only the outbox can wake it.
            wait_for(stage.acknowledged, _SETTLED_SECONDS, "the dependant's own events to be acknowledged")
            stage.insert_history()
        elif story is Story.FAREWELL:
            self._await_history()
            stage.terminate("emitter")
        elif story is Story.RACE:
            victim = stage.processes["victim"]
            prelude = f"failpoint {self._case.plot.prelude}"
            wait_for(lambda: prelude in victim.text(), _REACHED_SECONDS, prelude)
            create_target(stage)

    def _await_history(self) -> None:
        wait_for(self._stage.settled, _SETTLED_SECONDS, "the first three days to arrive")

    def _await_failure(self, victim: Child) -> None:
        wait_for(lambda: self._failed(victim), _REACHED_SECONDS, f"{self._case.action} to be hit")
        if self._case.mode is Mode.KILL and not self._case.in_task:
            wait_for(lambda: not victim.running, _REACHED_SECONDS, "the victim to be dead")
            assert victim.status == -9, f"the victim ended with {victim.status} instead of SIGKILL"

    def _failed(self, victim: Child) -> bool:
        if self._case.in_task and self._stage.house.spark_log is not None:
            said = self._stage.house.spark_log.read_text(encoding="utf-8", errors="replace")
        else:
            said = victim.text()
        return f"failpoint {self._case.action}" in said or f"this Spark job: {self._case.action}" in said

    def _await_awakening(self, victim: Child) -> None:
        """Wait until the victim goes on, and has said something about what it found."""
        wait_for(lambda: not victim.stopped, _AWAKE_SECONDS, "the victim to wake up")
        give_up = time.monotonic() + _LAST_WORDS_SECONDS

        def spoke() -> bool:
            said = victim.text().rpartition(f"failpoint {self._case.action}")[2]
            self.replaced = any(sign in said for sign in _REPLACED)
            return self.replaced or not victim.running or time.monotonic() > give_up

        wait_for(spoke, _AWAKE_SECONDS, "the victim to speak")


def put_away(stage: Stage) -> None:
    """Let the three days be offloaded, and an event of a stream that is not configured yet become a dead letter."""
    with stage.unconfigured(stage.streams[1]):
        stranger, emitter = stage.start("stranger", "run"), stage.start("emitter", "emit")
        wait_for(lambda: assigned(stranger), START_SECONDS, "a consumer without the stream to own the partition")
        wait_for(lambda: "emitter.active" in emitter.text(), START_SECONDS, "the emitter to be active")
    stage.insert_dependant()
    stage.run("tick", "emit", "--tick", "2024-01-10", "--stream", stage.streams[1])
    # Acknowledged: only the letter can bring it back.
    wait_for(lambda: stage.dead_letters() > 0 and stage.acknowledged(), _SETTLED_SECONDS, "the event's dead letter")
    stage.end("stranger")


def create_target(stage: Stage) -> None:
    """Create the stream's target as a consumer would."""
    application, stream = stage.application, stage.stream
    preparation = Preparation(source=application.source, ledger=application.ledger, catalog=application.catalog)
    _, mapping = preparation.read_source(stream, None)
    application.catalog.ensure(stream, mapping, expected_uuid=None)


def keep_few_metadata_files(stage: Stage) -> None:
    """Make every publish after the second one retire a metadata file."""
    target = stage.stream.target
    with other_engine(stage.dsn, stage.application.configuration.store) as catalog:
        change = catalog.load_table((target.database, target.table)).transaction()
        change.set_properties({TableProperties.METADATA_PREVIOUS_VERSIONS_MAX: "1"}).commit_transaction()


def roll_back(stage: Stage) -> None:
    """Make the table's first snapshot the current one, as somebody might."""
    target = stage.stream.target
    with other_engine(stage.dsn, stage.application.configuration.store) as catalog:
        table = catalog.load_table((target.database, target.table))
        table.manage_snapshots().rollback_to_snapshot(table.snapshots()[0].snapshot_id).commit()


def mend(stage: Stage, statement: str) -> None:
    """Put the missing source there by this statement, and resume the stream that was halted for it."""

    def parked() -> bool:
        record = stage.application.ledger.read(stage.streams).get(stage.streams[0])
        if record is None or record.state is not StreamState.HALTED:
            return False
        return bool(stage.application.ledger.parked(stage.streams[0]))

    wait_for(parked, _SETTLED_SECONDS, "the stream to be halted and its event parked")
    stage.platform.client.command(statement)
    stage.insert_history()
    stage.run("resume", "resume", stage.streams[0])
