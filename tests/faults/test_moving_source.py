"""A source that changes while a batch is planned and read: what was read is what is recorded and written, once."""

from __future__ import annotations

import threading
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.errors import SchemaMovedError
from consumer.domain.event_factory import tick
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.reconcile import FindingKind
from consumer.domain.window import BEGINNING, Window
from consumer.domain.writer import Writer
from consumer.ports import BatchRecord, StreamRecord, StreamState
from spark.unit_task import UnitTask
from tests.support.cases import few
from tests.support.interruptions import Interrupt
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import (
    LocalPlatform,
    judge,
    judge_record,
    mapping_of,
    offload,
    published,
    recorded,
    session_of,
)
from tests.support.platform import day
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import wait_until

ROWS = 60
UNIT_ROWS = 30
"""Two units of one batch: the rows of the first day are cut in the middle."""
CUTOFF = day("2024-01-02")
PATIENCE_S = 90.0

MOVES = {
    "a merge": "OPTIMIZE TABLE {t} FINAL",
    "an insert": "INSERT INTO {t} SELECT * REPLACE (seq + 1000 AS seq) FROM {t} WHERE seq % 2 = 0",
    "an update": "ALTER TABLE {t} UPDATE price = price + 1 WHERE seq % 3 = 0 SETTINGS mutations_sync = 2",
    "a delete": "ALTER TABLE {t} DELETE WHERE seq % 3 = 0 SETTINGS mutations_sync = 2",
    "a lightweight delete": "DELETE FROM {t} WHERE seq % 3 = 0",
    "a TTL": "ALTER TABLE {t} MODIFY TTL toDateTime(ts) + INTERVAL 1 DAY DELETE WHERE seq % 3 = 0"
    " SETTINGS materialize_ttl_after_modify = 1, mutations_sync = 2",
    "a dropped partition": "ALTER TABLE {t} DROP PARTITION '2024-01-01'",
    "a detached partition": "ALTER TABLE {t} DETACH PARTITION '2024-01-01'",
}


FEW = {"a merge", "an insert", "an update", "a dropped partition"}
"""One that changes no row, one that adds some, one that changes some, and one that takes some away."""

# What lies before a read is the same for both writers; what happens during one is played with both always.
BY_TASKS_FIRST = pytest.mark.parametrize("platform", few(Writer, {Writer.STREAM}), indirect=True)


@pytest.fixture(params=Writer)
def platform(local: LocalPlatform, request: pytest.FixtureRequest) -> LocalPlatform:
    """A closed day in several parts, which a batch of two units reads; a task does, or ClickHouse itself."""
    local.sections["spark"] = {"writer": str(request.param)}
    local.add_stream(batch={"unit_rows": UNIT_ROWS})
    for first in range(0, ROWS, 10):
        local.client.command(
            f"INSERT INTO {local.name}.trades SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC')"
            " + toIntervalMillisecond(number), number, 'BTC', number, number, toString(number), ['a'], map('k', 'v')"
            f" FROM numbers({first}, 10)"
        )
    return local


@pytest.fixture
def stream(platform: LocalPlatform) -> str:
    return f"{platform.name}_trades"


def run(platform: LocalPlatform, statement: str) -> None:
    platform.client.command(statement.replace("{t}", f"{platform.name}.trades").replace("{db}", platform.name))


def halves(application: Application, stream: str) -> list[Fingerprint]:
    """What the table holds of the two units at this moment."""
    settings, mapping = application.streams[stream], mapping_of(application, stream)
    cut = day("2024-01-01").replace(microsecond=UNIT_ROWS * 1000)
    windows = Window(lower=BEGINNING, upper=cut), Window(lower=cut, upper=CUTOFF)
    return [application.source.fingerprint(settings, mapping, window) for window in windows]


def windows(application: Application, stream: str) -> list[BatchRecord]:
    """The stream's published windows."""
    return [one for one in published(application, stream) if one.kind is BatchKind.WINDOW]


def read_once(application: Application, stream: str, *, expected: Fingerprint) -> None:
    """The one attempt at the one window read this, and this is what is recorded and written.

    What was inserted meanwhile comes with a supplement.
    """
    batches = application.ledger.batches(stream, 10)
    (batch,) = [one for one in batches if one.kind is BatchKind.WINDOW]
    assert [one.attempts for one in batches] == [1] * len(batches)
    assert session_of(application).jobs == len(batches)
    if expected == EMPTY:
        assert (batch.status, batch.rows, batch.digest) == (BatchStatus.EMPTY, 0, None)
    else:
        assert batch.status is BatchStatus.PUBLISHED
        assert recorded(batch) == expected
    assert batch.window.upper == CUTOFF
    judge_record(application, stream)
    # What has happened to rows that were read before is known with the next event at the latest.
    offload(application, stream, CUTOFF)
    found = application.verifier.verify(application.streams[stream])
    assert found.missing == sum(
        one.rows for one in application.ledger.findings(stream) if one.kind is FindingKind.CHANGED
    )
    judge_record(application, stream)


@BY_TASKS_FIRST
@pytest.mark.parametrize("move", few(MOVES, {"an insert", "a dropped partition"}))
def test_after_the_plan(platform: LocalPlatform, stream: str, move: str) -> None:
    point = Interrupt("batch.before-write", lambda: run(platform, MOVES[move]))
    with platform.consumer(failpoints=point) as consumer:
        offload(consumer, stream, CUTOFF)
        read_once(consumer, stream, expected=sum(halves(consumer, stream), EMPTY))


@BY_TASKS_FIRST
@pytest.mark.parametrize("move", few(MOVES, {"an insert", "an update"}))
def test_between_the_reads_of_two_units(platform: LocalPlatform, stream: str, move: str) -> None:
    with platform.consumer() as consumer:
        seen = halves(consumer, stream)[:1]

        def between(task: UnitTask) -> UnitTask:
            if task.index == 1:
                run(platform, MOVES[move])
                seen.append(halves(consumer, stream)[1])
            return task

        session_of(consumer).before = between
        offload(consumer, stream, CUTOFF)
        assert len(seen) == 2
        read_once(consumer, stream, expected=sum(seen, EMPTY))


def slowed(task: UnitTask) -> UnitTask:
    """The same task, whose every reading of the table takes 30 ms for each row."""
    condition, slow = " AND throwIf(", " AND sleepEachRow(0.03) = 0 AND throwIf("
    assert condition in task.query
    export = task.export and replace(task.export, statement=task.export.statement.replace(condition, slow))
    return replace(task, query=task.query.replace(condition, slow), export=export)


@pytest.mark.parametrize(
    ("platform", "move"),
    [
        # Both read under the same guards: for one writer a single move shows that they are there.
        pytest.param(
            writer,
            move,
            marks=() if move in FEW and (writer is Writer.STREAM or move == "an update") else pytest.mark.thorough,
        )
        for writer in Writer
        for move in MOVES
    ],
    indirect=["platform"],
)
def test_while_a_unit_is_read(platform: LocalPlatform, stream: str, move: str) -> None:
    moved: list[Future[None]] = []
    with platform.consumer() as consumer, ThreadPoolExecutor(1) as pool:
        before = halves(consumer, stream)

        def slowly(task: UnitTask) -> UnitTask:
            if not moved:
                moved.append(pool.submit(move_during, platform, MOVES[move]))
                # A second for the first unit's rows: time enough to change them all meanwhile.
                return slowed(task)
            moved[0].result(PATIENCE_S)
            return task

        session_of(consumer).before = slowly
        offload(consumer, stream, CUTOFF)
        after = halves(consumer, stream)
        (batch,) = windows(consumer, stream)
        # The first unit was read in one state of the table, not in a mixture of two.
        assert recorded(batch) in {before[0] + after[1], after[0] + after[1]}
        read_once(consumer, stream, expected=recorded(batch))


def move_during(platform: LocalPlatform, statement: str) -> None:
    """Change the table while a slow query reads it."""
    running = (
        f"SELECT count() FROM system.processes WHERE position(query, '{platform.name}') > 0"
        " AND position(query, 'sleepEachRow') > 0 AND position(query, 'system.processes') = 0"
    )
    wait_until(lambda: platform.client.query(running).result_rows[0][0], seconds=PATIENCE_S, what="the query to run")
    run(platform, statement)


# ---------------------------------------------------------------------------------- another table, other columns

STAGED = "CREATE TABLE {db}.staged AS {t}"
FILLED = f"{STAGED}; INSERT INTO {{db}}.staged SELECT * REPLACE (seq + 5000 AS seq) FROM {{t}}"
EXCHANGE = "EXCHANGE TABLES {t} AND {db}.staged"
OTHER_TABLES = {
    "exchanged": f"{FILLED}; {EXCHANGE}",
    "exchanged for an empty one": f"{STAGED}; {EXCHANGE}",
    "renamed and made anew": f"{FILLED}; RENAME TABLE {{t}} TO {{db}}.old, {{db}}.staged TO {{t}}",
    "dropped and made anew": f"{FILLED}; DROP TABLE {{t}} SYNC; RENAME TABLE {{db}}.staged TO {{t}}",
    "renamed": "RENAME TABLE {t} TO {db}.old",
    "detached": "DETACH TABLE {t}",
}
OTHER_COLUMNS = {
    "dropped": "ALTER TABLE {t} DROP COLUMN note",
    "renamed": "ALTER TABLE {t} RENAME COLUMN note TO remark",
    "widened": "ALTER TABLE {t} MODIFY COLUMN price Decimal(38, 8)",
    "narrowed": "ALTER TABLE {t} MODIFY COLUMN seq UInt32",
    "made nullable": "ALTER TABLE {t} MODIFY COLUMN symbol LowCardinality(Nullable(String))",
}
MOMENTS = ["before the plan", "after the plan", "between two units"]


def halted(platform: LocalPlatform, stream: str, statements: str, moment: str) -> StreamRecord:
    """Run an offload with the statements at a moment of it, and return the record of the stream, which is halted."""

    def change() -> None:
        for statement in statements.split("; "):
            run(platform, statement)

    def between(task: UnitTask) -> UnitTask:
        if task.index == 1 and session_of(consumer).jobs == 1 and moment == MOMENTS[2]:
            change()
        return task

    points = {MOMENTS[0]: Interrupt("stream.before-bind", change), MOMENTS[1]: Interrupt("batch.before-write", change)}
    with platform.consumer(failpoints=points.get(moment)) as consumer:
        session_of(consumer).before = between
        consumer.offload.handle(tick(stream=stream, boundary=CUTOFF), threading.Event())
        record = consumer.ledger.read([stream])[stream]
        assert record.state is StreamState.HALTED
        assert record.watermark == BEGINNING
        assert len(consumer.ledger.parked(stream)) == 1
        assert published(consumer, stream) == []
        target = consumer.catalog.inspect(consumer.streams[stream].target)
        assert target is not None
        assert target.snapshot_id is None
        return record


@BY_TASKS_FIRST
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("change", OTHER_TABLES)
def test_another_table_of_the_name_is_not_read(platform: LocalPlatform, stream: str, change: str, moment: str) -> None:
    record = halted(platform, stream, OTHER_TABLES[change], moment)
    if change not in {"renamed", "detached"}:
        assert "the name means another table than the described one" in str(record.halt_reason)
        assert "put the recorded table back" in str(record.halt_remedy)


@pytest.mark.parametrize("change", OTHER_COLUMNS)
def test_other_columns_are_not_read_as_if_they_were_the_described_ones(
    platform: LocalPlatform, stream: str, change: str
) -> None:
    def between(task: UnitTask) -> UnitTask:
        if task.index == 1 and session_of(consumer).jobs == 1:
            run(platform, OTHER_COLUMNS[change])
        return task

    with platform.consumer() as consumer:
        session_of(consumer).before = between
        with pytest.raises(SchemaMovedError):
            consumer.offload.handle(tick(stream=stream, boundary=CUTOFF), threading.Event())
        record = consumer.ledger.read([stream])[stream]
        assert (record.state, record.watermark) == (StreamState.ACTIVE, BEGINNING)
        assert published(consumer, stream) == []
        target = consumer.catalog.inspect(consumer.streams[stream].target)
        assert target is not None
        assert target.snapshot_id is None


def test_a_table_that_is_exchanged_for_the_time_of_one_read_only_is_noticed(
    platform: LocalPlatform, stream: str
) -> None:
    run(platform, STAGED)
    with platform.consumer() as consumer:

        def there_and_back(task: UnitTask) -> UnitTask:
            run(platform, EXCHANGE)
            return task

        session_of(consumer).before = there_and_back
        consumer.offload.handle(tick(stream=stream, boundary=CUTOFF), threading.Event())
        assert consumer.ledger.read([stream])[stream].state is StreamState.HALTED

        session_of(consumer).before = lambda task: task
        consumer.ledger.resume(stream)
        offload(consumer, stream, CUTOFF)
        judge(consumer, stream, rows=ROWS)


# ---------------------------------------------------------------------------------- inserts, gaps, broken streams


@BY_TASKS_FIRST
def test_steady_inserts_cause_no_second_attempt_and_come_as_late_rows(platform: LocalPlatform, stream: str) -> None:
    over, batches = threading.Event(), 4

    def insert_steadily() -> None:
        client = platform.client
        while not over.is_set():
            client.command(
                f"INSERT INTO {platform.name}.trades SELECT * REPLACE (seq + 10000 AS seq)"
                f" FROM {platform.name}.trades LIMIT 3"
            )

    with platform.consumer() as consumer, ThreadPoolExecutor(1) as pool:
        inserting = pool.submit(insert_steadily)
        try:
            for number in range(1, batches + 1):
                assert offload(consumer, stream, CUTOFF - timedelta(days=1) + number * timedelta(milliseconds=15)) == []
        finally:
            over.set()
            inserting.result(PATIENCE_S)
        done = published(consumer, stream)
        assert {batch.attempts for batch in done} == {1}
        assert len(windows(consumer, stream)) == batches
        assert session_of(consumer).jobs == len(done)
        offload(consumer, stream, CUTOFF)
        judge(consumer, stream, rows=platform.rows())


def test_rows_that_were_dropped_before_they_were_read_are_not_recorded(platform: LocalPlatform, stream: str) -> None:
    platform.insert(50, day="2024-01-02")
    platform.insert(50, day="2024-01-03")
    run(platform, "ALTER TABLE {t} DROP PARTITION '2024-01-02'")
    with platform.consumer() as consumer:
        offload(consumer, stream, day("2024-01-04"))
        judge(consumer, stream, rows=ROWS + 50)


class BreakingProxy(TcpProxy):
    """Resets the first connections, each once the server has sent so many bytes over it."""

    def __init__(self, upstream_port: int, *, connections: int, after_bytes: int) -> None:
        super().__init__(upstream_port)
        self._left: defaultdict[int, int] = defaultdict(lambda: after_bytes)
        self._connections = connections

    def from_server(self, link: Any, data: bytes) -> None:
        self._left[id(link)] -= len(data)
        if self._left[id(link)] >= 0 or self._connections == 0:
            super().from_server(link, data)
            return
        self._connections -= 1
        link.client.sendall(data[: self._left[id(link)]])
        link.reset()


@pytest.mark.parametrize("platform", [Writer.STREAM], indirect=True)
@pytest.mark.parametrize("after_bytes", few([0, 300, 1500, 4000], {0, 1500}))
def test_a_result_that_breaks_off_is_read_again_in_whole(
    platform: LocalPlatform, stream: str, after_bytes: int
) -> None:
    port = platform.endpoints.clickhouse.port
    with BreakingProxy(port, connections=3, after_bytes=after_bytes) as proxy, platform.consumer() as consumer:
        clickhouse = consumer.configuration.clickhouse.model_copy(update={"port": proxy.port})
        consumer.engine = LocalEngine(consumer.configuration.model_copy(update={"clickhouse": clickhouse}))
        assert offload(consumer, stream, CUTOFF) == []
        judge(consumer, stream, rows=ROWS)
        (batch,) = published(consumer, stream)
        assert batch.attempts == 3
        settings = consumer.streams[stream]
        tier = platform.cold_tier(stream)
        live = consumer.catalog.data_files(settings.target, settings.partition_by, None)
        # What broke off left no file; the one that is not live was written in whole beside it.
        assert len(set(tier.keys("data")) - set(live)) == 1
        tier.close()
