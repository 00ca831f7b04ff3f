"""A ledger that is rebuilt from its table: whose a file is that another engine, or a compaction, has put together."""

from __future__ import annotations

from dataclasses import replace

from consumer.domain.batch import BatchStatus
from consumer.domain.window import Window
from consumer.testing.rows import fingerprint_of
from tests.unit.service.test_late_rows import handle, insert
from tests.unit.service.test_offload import NOW, rows
from tests.unit.service.test_repair import Lake


def test_a_file_that_holds_rows_of_several_windows_is_recorded_once_with_all_of_them() -> None:
    lake = Lake()
    insert(lake, *rows(11), *rows(4, days_ago=1))
    handle(lake)
    table = lake.catalog.tables[lake.stream.target]
    live = list(table.live())
    held = sorted(row for file, _ in live for row in lake.source.files[file.path])
    path = "s3://lake/together/1.parquet"
    together = replace(live[0][0], path=path, bytes=4_711, fingerprint=fingerprint_of(held))
    lake.source.files[path], lake.engine.written[path] = held, together
    newest = table.snapshots[lake.snapshots()[0]]
    table.snapshots[newest.id] = replace(newest, files=((together, Window(lower=held[0].ts, upper=NOW)),))
    lake.ledger.repairs.delete("trades")
    lake.edit(watermark=lake.record.start, last_upper=None, last_batch_id=None, source_uuid=None, target_uuid=None)

    rebuilt = lake.repair().rebuilt

    assert len([one for one in rebuilt if one.found.rows]) > 1
    assert lake.whole()
    known = [one for one in lake.ledger.batches("trades", 100) if one.status is BatchStatus.PUBLISHED]
    assert [one.bytes for one in known if one.bytes] == [4_711]
    (recorded,) = [one for one in lake.ledger.recorded.files("trades") if one.path == path]
    assert (recorded.bytes, recorded.fingerprint) == (4_711, fingerprint_of(held))
