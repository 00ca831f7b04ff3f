"""Streams on a REST catalog that misbehaves at every commit: each kind of batch brings every row once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform
from pyiceberg.types import LongType, NestedField, TimestamptzType

from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind
from consumer.domain.event_factory import tick
from consumer.domain.maintenance import TaskName
from consumer.ports import StreamState
from consumer.service.replacing.review import Choice, Verdict
from consumer.service.rewinding.examined import Verdict as RewindVerdict
from consumer.service.rewinding.examined import Wish
from tests.support.local_platform import LocalPlatform, deliver, judge, offload, published
from tests.support.platform import day
from tests.support.rest_proxy import Fault, Manner, RestProxy, rest_proxy

CUTOFF = day("2024-01-05")
LOST = Fault(manner=Manner.STATUS, status=503, applied=False)
REFUSED = Fault(manner=Manner.STATUS, status=409, applied=False)
UNANSWERED = Fault(manner=Manner.CUT, applied=True)


@pytest.fixture
def proxy(local: LocalPlatform) -> Iterator[RestProxy]:
    """The catalog of the platform's consumers; SeaweedFS has no layout for other tests' folders in a table bucket."""
    store, rest = local.endpoints.store, local.endpoints.rest_catalog
    with rest_proxy(rest.uri) as running:
        local.sections["catalog"] = {
            "type": "rest",
            "uri": running.uri,
            "warehouse": rest.warehouse,
            "credential": f"{store.access_key}:{store.secret_key}",
        }
        yield running


def kinds(application: Application, stream: str) -> list[BatchKind]:
    return [one.kind for one in published(application, stream)]


def test_every_kind_of_batch_survives_a_catalog_that_misbehaves(local: LocalPlatform, proxy: RestProxy) -> None:
    stream = local.add_stream(start="2024-01-02", partition_by="day")
    for number in (1, 2, 3):
        local.insert(50, first=100 * number, day=f"2024-01-0{number}")
    with local.consumer() as application:
        settings = application.streams[stream]
        proxy.strike(LOST, REFUSED, UNANSWERED)
        offload(application, stream, CUTOFF)
        judge(application, stream, rows=100)

        local.insert(5, first=1_000, day="2024-01-02")
        proxy.strike(UNANSWERED)
        offload(application, stream, CUTOFF)
        judge(application, stream, rows=105)

        local.client.command(
            f"ALTER TABLE {local.name}.trades UPDATE price = price + 1 WHERE seq = 301 SETTINGS mutations_sync = 2"
        )
        offload(application, stream, CUTOFF)
        proxy.strike(LOST, UNANSWERED)
        done = application.replacements.replace(settings, Choice(within=None))
        assert Verdict.REPLACED in {one.verdict for one in done}
        judge(application, stream, rows=105)

        application.backfill_requests.request(settings, day("2024-01-01"), day("2024-01-02"))
        proxy.strike(REFUSED, UNANSWERED)
        for _ in range(2):
            deliver(application, tick(stream=stream, boundary=CUTOFF))
        judge(application, stream, rows=155)

        local.insert(5, first=2_000, day="2024-01-03")
        offload(application, stream, CUTOFF)
        proxy.strike(LOST, REFUSED, UNANSWERED)
        application.maintenance.maintain(settings, list(TaskName))
        assert len(application.catalog.data_files(settings.target, settings.partition_by, None)) == 3
        judge(application, stream, rows=160)
        seen = set(kinds(application, stream))

        proxy.strike(LOST, REFUSED, UNANSWERED)
        done_to = application.rewinds.rewind(settings, Wish(to=day("2024-01-03")))
        assert done_to.verdict is RewindVerdict.REWOUND
        assert application.verifier.verify(settings).cold.rows == 105
        offload(application, stream, CUTOFF)
        assert proxy.faults == []
        assert seen | set(kinds(application, stream)) == set(BatchKind)
        assert application.verifier.verify(settings).equal
        assert application.verifier.verify(settings).cold.rows == 160


def test_an_empty_window_makes_no_snapshot_and_asks_the_catalog_for_no_commit(
    local: LocalPlatform, proxy: RestProxy
) -> None:
    stream = local.add_stream()
    local.insert(10)
    with local.consumer() as application:
        offload(application, stream, day("2024-01-02"))
        commits = proxy.commits
        offload(application, stream, CUTOFF)
        assert proxy.commits == commits
        assert application.ledger.read([stream])[stream].watermark == CUTOFF
        judge(application, stream, rows=10)


@pytest.mark.thorough
def test_rows_that_have_gone_after_a_lost_commit_do_not_come_back_in_an_empty_window(
    local: LocalPlatform, proxy: RestProxy
) -> None:
    stream = local.add_stream()
    local.insert(10)
    with local.consumer() as application:
        proxy.strike(*[LOST] * 40)
        offload(application, stream, CUTOFF)
        assert application.ledger.read([stream])[stream].state is StreamState.HALTED
        proxy.faults.clear()
        local.client.command(f"TRUNCATE TABLE {local.name}.trades")
        application.ledger.resume(stream)
        offload(application, stream, CUTOFF)
        table = application.catalog.inspect(application.streams[stream].target)
        assert table is not None
        assert table.snapshot_id is not None, "it was sealed: what was sent and got lost can't land any more"
        assert application.catalog.snapshots(table.name) == 1
        judge(application, stream, rows=0)


@pytest.mark.thorough
def test_a_table_behind_rest_is_adopted(local: LocalPlatform, proxy: RestProxy) -> None:
    stream = local.add_stream(columns="ts DateTime64(6, 'UTC'), seq Int64")
    local.client.command(
        f"INSERT INTO {local.name}.trades SELECT toDateTime64('2024-01-01', 6, 'UTC') + toIntervalHour(number), number"
        " FROM numbers(30)"
    )
    tier = local.cold_tier(stream)
    schema = Schema(
        NestedField(1, "ts", TimestamptzType(), required=True), NestedField(2, "seq", LongType(), required=True)
    )
    spec = PartitionSpec(PartitionField(1, 1000, DayTransform(), "day"))
    tier.other.create_namespace(local.name)
    made = tier.other.create_table(f"{local.name}.trades", schema, partition_spec=spec)
    for first, count in ((0, 24), (24, 6)):
        path = f"{made.location()}/data/{first}.parquet"
        numbers = list(range(first, first + count))
        times = [day("2024-01-01") + timedelta(hours=number) for number in numbers]
        rows = pa.table({"ts": pa.array(times, pa.timestamp("us", "UTC")), "seq": pa.array(numbers, pa.int64())})
        with made.io.new_output(path).create() as out:
            pq.write_table(rows.cast(pa.schema([one.with_nullable(nullable=False) for one in rows.schema])), out)
        made.add_files([path])
    tier.close()
    with local.consumer() as application:
        settings = application.streams[stream]
        proxy.strike(UNANSWERED)
        adopted = application.adoptions.adopt(settings)
        assert not adopted.dry
        proxy.strike(LOST, REFUSED)
        local.client.command(
            f"INSERT INTO {local.name}.trades SELECT toDateTime64('2024-01-03', 6, 'UTC'), number FROM numbers(7)"
        )
        offload(application, stream, CUTOFF)
        found = application.verifier.verify(settings)
        assert found.equal
        assert found.cold.rows == 37
        assert application.auditor.audit(settings).clean
