"""An owner that is stopped past its lease at any step, and goes on: nothing of it is seen, no offset is committed."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import psycopg
import pytest

from consumer.bootstrap import Application
from consumer.domain.errors import EngineFailedError, FencedError, IcehaulError, LedgerUnavailableError
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from consumer.failpoints.effect import Component
from consumer.failpoints.effects import POINTS
from consumer.ports import StreamRecord, StreamState
from spark.unit_task import UnitTask
from tests.support.interruptions import Freeze
from tests.support.local_platform import (
    LocalPlatform,
    judge,
    local_platform,
    mapping_of,
    offload,
    published,
    session_of,
)
from tests.support.paused_owner import Owner, WatchedBroker
from tests.support.platform import day
from tests.support.waiting import wait_until

ROWS = 30
CUTOFF, IDLE = day("2024-01-03"), day("2024-01-05")
PATIENCE_S = 90.0
LEASE_S = 2

Acts = Mapping[str, Callable[[], object]]


@dataclass
class Scene:
    """Two consumers of one ledger; each case has a stream of its own, and a table where it needs one."""

    platform: LocalPlatform
    freeze: Freeze
    zombie: Application
    heir: Application

    def rename(self, stream: str, before: str, after: str) -> None:
        """Rename the source table of a stream that has one of its own."""
        table = self.heir.streams[stream].source
        self.platform.client.command(f"RENAME TABLE {table}{before} TO {table}{after}")


# ------------------------------------------------------------------------- what the owner is doing meanwhile


def offloads(scene: Scene, stream: str) -> Acts:
    """Two batches, and later a window without rows."""
    return {}


def meets_an_engine_that_fails(scene: Scene, stream: str) -> Acts:
    """An attempt whose engine fails."""

    def fail(task: UnitTask) -> UnitTask:
        session_of(scene.zombie).before = lambda task: task
        raise EngineFailedError("made up", remedy="none")

    session_of(scene.zombie).before = fail
    return {}


def is_slow(scene: Scene, stream: str) -> Acts:
    """A task that outlasts a third of the lease."""

    def wait(task: UnitTask) -> UnitTask:
        wait_until(lambda: scene.freeze.frozen or session_of(scene.zombie).jobs > jobs, seconds=PATIENCE_S)
        return task

    jobs = session_of(scene.zombie).jobs + 1
    session_of(scene.zombie).before = wait
    return {}


def finds_its_source_away(scene: Scene, stream: str) -> Acts:
    """A source table that is missed."""
    scene.rename(stream, "", "_away")
    return {}


def is_beaten_to_the_target(scene: Scene, stream: str) -> Acts:
    """Another process that creates the target at the same moment."""
    return {"target.before-create": partial(create_target, scene.heir, stream)}


def retires_metadata(scene: Scene, stream: str) -> Acts:
    """A table that keeps one old metadata file."""
    create_target(scene.heir, stream)
    tier = scene.platform.cold_tier(stream)
    with tier.table().transaction() as change:
        change.set_properties({"write.metadata.previous-versions-max": "1"})
    tier.close()
    return {}


def fails_to_publish(scene: Scene, stream: str) -> Acts:
    """A publish that ends before its COMMIT."""

    def fail() -> None:
        raise LedgerUnavailableError("made up", remedy="none")

    return {"publish.before-commit": fail}


def create_target(consumer: Application, stream: str) -> None:
    consumer.catalog.ensure(consumer.streams[stream], mapping_of(consumer, stream), expected_uuid=None)


Ends = tuple[type[IcehaulError | None], ...]
FENCED: Ends = (FencedError,)
# As if its event had just come; or the news that the partition is gone came first.
NOTHING_LEFT: Ends = (type(None), FencedError)


@dataclass(frozen=True)
class Pause:
    """A point, what leads to it, and how the handling that is under way, or begins then, may end."""

    point: str
    story: Callable[[Scene, str], Acts]
    ends: Ends


def pauses(*points: str, story: Callable[[Scene, str], Acts] = offloads, ends: Ends = FENCED) -> list[Pause]:
    return [Pause(point, story, ends) for point in points]


PAUSES = [
    # Nothing is claimed yet: whoever wakes up here works as if its event had just come.
    *pauses("event.before-receive", "event.after-receive", "event.before-handle", ends=NOTHING_LEFT),
    *pauses("stream.before-register", "stream.after-register", "lease.before-claim", ends=NOTHING_LEFT),
    *pauses("lease.after-claim", "target.before-write", "target.after-write"),
    *pauses("target.before-create", "target.after-create", "stream.before-bind", "stream.after-bind"),
    *pauses("target.before-discard", "target.after-discard", story=is_beaten_to_the_target),
    *pauses("lease.before-renew", "lease.after-renew", story=is_slow),
    *pauses("batch.before-begin", "batch.after-begin"),
    *pauses("batch.before-write", "task.before-read", "task.after-read", "task.before-close", "task.after-close"),
    *pauses("task.before-answer", "task.after-answer", "batch.after-write"),
    *pauses("attempt.before-stage", "attempt.after-stage"),
    *pauses("batch.before-fail", "batch.after-fail", story=meets_an_engine_that_fails),
    *pauses("publish.before-stage", "publish.after-stage", "publish.before-commit", "publish.after-commit"),
    *pauses("publish.before-discard", "publish.after-discard", story=fails_to_publish),
    *pauses("publish.before-retire", "publish.after-retire", story=retires_metadata),
    *pauses("batch.before-advance", "comparison.before-record"),
    *pauses("stream.before-halt", story=finds_its_source_away),
    # Everything that the lease was for is done.
    *pauses("stream.after-halt", story=finds_its_source_away, ends=NOTHING_LEFT),
    *pauses("event.before-park", "event.after-park", story=finds_its_source_away, ends=NOTHING_LEFT),
    *pauses(
        "batch.after-advance",
        "comparison.after-record",
        "lease.before-release",
        "lease.after-release",
        ends=NOTHING_LEFT,
    ),
    *pauses("event.after-handle", "letter.before-send", "letter.after-send", ends=NOTHING_LEFT),
    *pauses("offset.before-commit", "offset.after-commit", ends=NOTHING_LEFT),
]


NOW = {
    *("event.before-receive", "lease.before-claim", "target.before-create", "batch.before-begin", "task.before-close"),
    *("attempt.before-stage", "publish.before-stage", "publish.before-commit", "publish.after-commit"),
    *("publish.before-discard", "batch.before-advance", "comparison.before-record", "stream.before-halt"),
    *("event.before-park", "lease.before-release", "letter.before-send", "offset.before-commit"),
}
"""One point for each thing that an owner changes outside of its process; `make thorough` plays the others."""


def stream_of(platform: LocalPlatform, pause: Pause) -> str:
    return f"{platform.name}_{re.sub('[^a-z]', '_', pause.point)}"


def insert(platform: LocalPlatform, table: str) -> None:
    """Two days of rows, so that the two batches are easily found."""
    platform.insert(ROWS // 2, table=table, day="2024-01-01")
    platform.insert(ROWS // 2, table=table, day="2024-01-02", first=ROWS // 2)


@pytest.fixture(scope="module")
def scene(stack: EmbeddedStack, ledger_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two consumers for all cases: what is looked at is the stream, and each case has its own."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with ExitStack() as exits:
        patch = exits.enter_context(pytest.MonkeyPatch.context())
        directory = tmp_path_factory.mktemp("zombies")
        platform = exits.enter_context(local_platform(stack.endpoints, name, ledger_dsn, directory, patch))
        # One event at a time: two ticks that wait together would be one batch, and no window would be without rows.
        platform.sections["consumer"] = {"lease_seconds": LEASE_S, "workers": 1, "events_per_partition": 1}
        settings: dict[str, Any] = {"batch": {"rows": ROWS // 2, "unit_rows": ROWS // 2}}
        platform.add_stream(**settings)
        insert(platform, "trades")
        for pause in PAUSES:
            stream = stream_of(platform, pause)
            own = {"name": stream, "target": f"{name}.{stream}"}
            if pause.story is finds_its_source_away:
                platform.add_stream(stream, **settings, **own)
                insert(platform, stream)
            else:
                platform.streams.append({**platform.streams[0], **own})
        freeze = Freeze()
        zombie = exits.enter_context(platform.consumer(owner="zombie", failpoints=freeze))
        session_of(zombie).failpoints = lambda _: freeze
        yield Scene(platform, freeze, zombie, exits.enter_context(platform.consumer(owner="heir")))


@pytest.mark.parametrize(
    "pause",
    [pytest.param(pause, id=pause.point, marks=() if pause.point in NOW else pytest.mark.thorough) for pause in PAUSES],
)
def test_an_owner_that_is_stopped_past_its_lease_does_nothing_more(scene: Scene, pause: Pause) -> None:
    stream, heirs, freeze = stream_of(scene.platform, pause), scene.heir, scene.freeze
    session_of(scene.zombie).before = lambda task: task
    broker = WatchedBroker()
    zombie, heir = Owner(scene.zombie, broker, freeze), Owner(heirs, broker)
    try:
        freeze.arm(pause.point, pause.story(scene, stream))
        if pause.point.startswith("letter."):
            broker.put(broker.partition, None)
        broker.send([tick(stream=stream, boundary=CUTOFF), tick(stream=stream, boundary=IDLE)])
        zombie.start()
        wait_until(lambda: freeze.holds(zombie.poll_thread), seconds=PATIENCE_S, what=f"{pause.point} to be reached")
        before = {one.batch_id for one in published(heirs, stream)}
        accepted = list(broker.accepted[zombie.member])
        let_the_lease_run_out(scene, stream)
        inherit(scene, pause, broker, zombie, heir)
        done, progress = published(heirs, stream), progress_of(heirs, stream)
        assert before <= {one.batch_id for one in done}
        ended = len(zombie.endings)
        if zombie.handling:
            # The worst order: work goes on before this process has heard that it is no longer in the group.
            freeze.thaw(but=zombie.poll_thread)
            wait_until(lambda: len(zombie.endings) > ended, seconds=PATIENCE_S, what="the handling to end")
        freeze.thaw()
        zombie.wait_until_lost()
    finally:
        freeze.thaw()
        for owner in (zombie, heir):
            owner.stop()
        for owner in (zombie, heir):
            owner.join()
    first, *others = zombie.endings[ended:] or [None]
    assert isinstance(first, pause.ends), first
    # What it tries again by itself, it does with a lease of its own.
    assert all(isinstance(other, NOTHING_LEFT) for other in others), others
    assert broker.accepted[zombie.member] == accepted, "it has committed an offset of a partition that it had lost"
    assert broker.committed == {broker.partition: broker.end(broker.partition)}
    assert published(heirs, stream) == done, "it has published something, or changed a record"
    assert progress_of(heirs, stream) == progress
    judge(heirs, stream, rows=ROWS)


def progress_of(consumer: Application, stream: str) -> StreamRecord:
    """The stream's record but for whose turn it is."""
    record = consumer.ledger.read([stream])[stream]
    return replace(record, epoch=0, owner=None, lease_expires=None, updated=record.watermark)


def let_the_lease_run_out(scene: Scene, stream: str) -> None:
    """What time does to the lease of a process that stands still; a row that it holds locked is left to time."""
    with psycopg.connect(scene.platform.dsn, autocommit=True) as connection:
        connection.execute(
            "UPDATE offload_watermarks SET lease_expires = clock_timestamp() WHERE owner = 'zombie' AND stream ="
            " (SELECT stream FROM offload_watermarks WHERE stream = %s FOR UPDATE SKIP LOCKED)",
            (stream,),
        )


def inherit(scene: Scene, pause: Pause, broker: WatchedBroker, zombie: Owner, heir: Owner) -> None:
    """Let the coordinator expel the one that is silent; the heir does all that is left, and an operator his part."""
    stream = stream_of(scene.platform, pause)
    away = pause.story is finds_its_source_away
    if pause.point == "stream.before-halt":
        scene.rename(stream, "_away", "")
    heir.start()
    broker.expel(zombie.member)
    end = {broker.partition: broker.end(broker.partition)}
    wait_until(lambda: broker.committed == end, seconds=PATIENCE_S, what="the heir's offsets")
    if away and pause.point != "stream.before-halt":
        assert scene.heir.ledger.read([stream])[stream].state is StreamState.HALTED
        scene.rename(stream, "_away", "")
        scene.heir.ledger.resume(stream)
        offload(scene.heir, stream, CUTOFF)
        offload(scene.heir, stream, IDLE)


def test_no_step_of_an_owner_is_left_out() -> None:
    owners = {Component.CONSUMER, Component.PREPARATION, Component.TASK, Component.PUBLISHER}
    expected = {name for name, point in POINTS.items() if point.effect.component in owners}
    assert {pause.point for pause in PAUSES} == expected
    assert expected > NOW
