"""Partitions that are older than a change of the source's columns are compared over the columns of their time."""

from __future__ import annotations

import pytest

from consumer.adapters.spark.access import store_access
from consumer.domain.errors import CheckFailedError
from consumer.domain.hot_drop import Selection
from consumer.domain.window import Window
from consumer.service.dropping.review import Place
from spark.object_store import connect, key_of
from tests.support.cases import few
from tests.support.changed_source import alter
from tests.support.hot_drops import DAY, ID, ONE, ROWS, Tiers, before
from tests.support.local_platform import LocalPlatform, offload
from tests.support.platform import day

COLUMNS = "ts DateTime64(6, 'UTC'), seq UInt64, a Int32, f Float32, t Tuple(x Int32, y String)"
CHANGES = {
    "a column is added": "ADD COLUMN more Int64 DEFAULT a + 1",
    "an element is added": "MODIFY COLUMN t Tuple(x Int32, y String, z UInt8)",
    "a column is widened": "MODIFY COLUMN a Nullable(Int64)",
    "a column is dropped": "DROP COLUMN f",
}


@pytest.fixture
def changing(local: LocalPlatform) -> Tiers:
    """A stream of which two days stand in both tiers."""
    stream = local.add_stream(columns=COLUMNS, dropped_columns=["f"])
    for on in ("2024-01-01", "2024-01-02"):
        insert(local, on, "number, number / 3, tuple(number, toString(number))")
    with local.consumer() as application:
        assert offload(application, stream, day("2024-01-03")) == []
    return Tiers(local, stream)


def insert(platform: LocalPlatform, on: str, values: str) -> None:
    platform.client.command(
        f"INSERT INTO {platform.name}.trades SELECT toDateTime64('{on}', 6, 'UTC') + number, number, {values}"
        f" FROM numbers({ROWS})"
    )


@pytest.mark.parametrize("change", few(CHANGES, {"a column is added"}))
def test_a_partition_from_before_a_change_is_dropped_whether_or_not_a_batch_has_seen_it(
    changing: Tiers, change: str
) -> None:
    alter(changing.platform, CHANGES[change])
    report = changing.drop()
    assert [(one.place, one.comparison.missing) for one in report.partitions] == [(Place.DROPPED, 0)]
    changing.platform.client.command(f"INSERT INTO {changing.source} (ts, seq, a) VALUES ('2024-01-03 00:00:00', 1, 1)")
    with changing.platform.consumer() as application:
        assert offload(application, changing.stream, day("2024-01-04")) == []
    report = changing.drop(Selection(before=day("2024-01-04")))
    assert [(one.place, one.comparison.missing) for one in report.partitions] == [(Place.DROPPED, 0)] * 2
    assert changing.cold() == 2 * ROWS + 1


def test_a_late_row_of_a_partition_from_before_a_change_brings_it_back(changing: Tiers) -> None:
    alter(changing.platform, CHANGES["an element is added"])
    with changing.platform.consumer() as application:
        assert offload(application, changing.stream, day("2024-01-04")) == []
    changing.platform.client.command(
        f"INSERT INTO {changing.source} VALUES ('{DAY} 00:00:00', 1000, 1, 1, (1, 'late', 7))"
    )
    (found,) = changing.drop().partitions
    assert (found.place, found.comparison.missing) == (Place.RETURNED, 1)
    assert changing.hot() == ROWS + 1


def test_columns_that_change_while_a_partition_is_in_quarantine_do_not_keep_it_there(changing: Tiers) -> None:
    with changing.platform.consumer() as application:
        change = before(application, "count", lambda: alter(changing.platform, CHANGES["a column is added"]))
        with change:
            (found,) = application.hot_drops.drop(application.streams[changing.stream], ONE).partitions
    assert found.place is Place.DROPPED
    assert (changing.hot(), changing.quarantines()) == (0, {})


def test_a_partition_that_cannot_be_compared_is_brought_back(tiers: Tiers) -> None:
    within = Window(lower=day(DAY), upper=day("2024-01-02"))
    with tiers.platform.consumer() as application:
        stream = application.streams[tiers.stream]
        paths = application.catalog.data_files(stream.target, stream.partition_by, within)
        store = connect(store_access(tiers.platform.configuration().store))
        with store.open_output_stream(key_of(paths[0])) as out:
            out.write(b"no Parquet")
        with pytest.raises(CheckFailedError):
            application.hot_drops.drop(stream, ONE)
    assert (tiers.hot(), sum(tiers.quarantines().values())) == (ROWS, 0)
    assert [(id_, state) for id_, state, _ in tiers.recorded()] == [(ID, "returned")]
