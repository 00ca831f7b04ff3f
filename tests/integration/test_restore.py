"""What is restored has the rows, the types and the digest of what was offloaded; or nothing is restored, and why."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import psycopg
import pyarrow as pa
import pytest

from consumer.domain.errors import AccessDeniedError, ConfigurationError, DivergenceError, StreamError
from consumer.domain.hot_drop import Selection
from consumer.domain.stream import TableName
from consumer.domain.window import Window
from consumer.embedded.stack import EmbeddedStack
from consumer.service.restoring.review import Standing
from tests.integration.test_export import CHOSEN, EVERY_TYPE, VALUES
from tests.support.cases import few
from tests.support.local_platform import LocalPlatform, local_platform, offload
from tests.support.platform import day
from tests.support.restores import FIRST, ROWS, Restoring, three_days

PLAIN = "ts DateTime64(6, 'UTC'), seq UInt64, id UUID, more Map(UUID, Array(Nullable(UUID)))"
PLAIN_ROW = """
    number, generateUUIDv4(number), map(generateUUIDv4(number + 1), [NULL, generateUUIDv4(number + 2)])
"""


@pytest.fixture(scope="module")
def offloaded(
    stack: EmbeddedStack, ledger_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LocalPlatform, str]]:
    """A stream of three days, which tests read and do not change."""
    name, directory = f"t_{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("restored")
    with (
        pytest.MonkeyPatch.context() as patch,
        local_platform(stack.endpoints, name, ledger_dsn, directory, patch) as made,
    ):
        yield made, three_days(made)


@pytest.fixture
def days(offloaded: tuple[LocalPlatform, str], unique_name: str) -> Restoring:
    """The same, with a destination of the test's own."""
    return Restoring(*offloaded, into=unique_name)


@pytest.fixture
def own(platform: LocalPlatform) -> Restoring:
    """A stream of three days of the test's own."""
    return Restoring(platform, three_days(platform))


def create(days: Restoring, *, engine: str = "MergeTree", ttl: str = "") -> None:
    """Make the destination by hand."""
    days.run(f"CREATE TABLE {days.into} AS {days.source} ENGINE = {engine} PARTITION BY toDate(ts) ORDER BY ts {ttl}")


# ---------------------------------------------------------------------------------------- the round trip


def test_everything_comes_back_into_a_table_that_is_made_with_the_sources_keys_and_types(days: Restoring) -> None:
    done = days.restore()
    assert days.fingerprint(days.into) == days.fingerprint(days.source) == done.plan.total
    assert days.differing(days.source, days.into) == 0
    assert days.described(days.into) == days.described(days.source)
    keys = "SELECT engine, partition_key, sorting_key FROM system.tables WHERE database = '{}' AND name = '{}'"
    found = [days.platform.client.query(keys.format(one.database, one.table)) for one in (days.into, days.source)]
    assert found[0].result_rows == found[1].result_rows
    assert days.stagings() == {}
    assert days.restore().plan.standing is Standing.RESTORED
    assert days.count(days.into) == 3 * ROWS


@pytest.mark.parametrize("writer", few(["stream", "export"], {"export"}))
def test_every_type_comes_back_with_the_digest_of_the_source_from_either_writer(
    platform: LocalPlatform, writer: str
) -> None:
    platform.sections["spark"] = {"writer": writer}
    stream = platform.add_stream(
        columns=EVERY_TYPE, chosen={name: str(one) for name, one in CHOSEN.items()}, sequence_columns=[]
    )
    platform.client.command(f"INSERT INTO {platform.name}.trades SELECT {VALUES} FROM numbers(200)")
    with platform.consumer() as application:
        assert offload(application, stream, day("2024-01-02")) == []
    restoring = Restoring(platform, stream)
    with pytest.raises(StreamError, match=r"of column tick the digits after the sixth; .*of column any which type"):
        restoring.restore()

    done = restoring.restore(accept_loss=True)

    assert set(done.plan.lost) == {"tick", "json", "any"}
    assert restoring.fingerprint(restoring.into) == restoring.fingerprint(restoring.source)
    assert restoring.described(restoring.into) == restoring.described(restoring.source)
    names = [name for name, _ in restoring.described(restoring.source) if name not in {"tick", "any", "state", "json"}]
    # By their bytes: a NaN is equal to no other.
    rows = f"SELECT {', '.join(names)} FROM {{}} ORDER BY ts FORMAT RowBinary"
    sides = [platform.client.raw_query(rows.format(one)) for one in (restoring.source, restoring.into)]
    assert sides[0] == sides[1]


def test_a_source_that_is_gone_comes_back_in_its_types_which_the_target_remembers(platform: LocalPlatform) -> None:
    columns = f"{PLAIN}, e Enum8('a' = 1, 'b\\'c' = -2), lc LowCardinality(Nullable(String)), at DateTime('Asia/Tokyo')"
    stream = platform.add_stream(columns=columns)
    platform.client.command(
        f"INSERT INTO {platform.name}.trades"
        f" SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + number, {PLAIN_ROW},"
        " 'b\\'c', if(number % 2, NULL, 'x'), toDateTime(number) FROM numbers(100)"
    )
    with platform.consumer() as application:
        assert offload(application, stream, day("2024-01-02")) == []
    days = Restoring(platform, stream)
    expected, described = days.fingerprint(days.source), days.described(days.source)
    days.run(f"DROP TABLE {days.source} SYNC")

    done = days.restore()

    assert done.plan.total == expected
    assert (done.plan.origin.source, list(done.plan.origin.columns.guessed)) == (None, [])
    assert days.described(days.into) == described
    with pytest.raises(StreamError, match="what is restored under its name would be taken for another table"):
        days.restore(into=days.source)


@pytest.mark.thorough
def test_a_target_and_a_ledger_that_remember_no_types_give_rows_of_the_same_digest(platform: LocalPlatform) -> None:
    days = Restoring(platform, three_days(platform))
    expected = days.fingerprint(days.source)
    with closing(platform.cold_tier(days.stream)) as tier, tier.table().update_schema() as change:
        for field in tier.table().schema().fields:
            change.update_column(field.name, doc="")
    with psycopg.connect(platform.dsn) as connection:
        # As of a ledger that is older than its record of columns.
        connection.execute("UPDATE offload_watermarks SET schemas = DEFAULT WHERE stream = %s", [days.stream])
    days.run(f"DROP TABLE {days.source} SYNC")
    done = days.restore()
    assert done.plan.total == expected
    assert len(done.plan.origin.columns.guessed) == len(days.described(days.into))
    assert ("seq", "Decimal(20, 0)") in days.described(days.into)


# ---------------------------------------------------------------------------------------- which rows


def test_just_the_rows_of_a_stretch_come_back(days: Restoring) -> None:
    create(days)
    done = days.restore(within=FIRST, create=False)
    assert [one.proved for one in done.plan.windows] == [True]
    assert (days.count(days.into), days.fingerprint(days.into)) == (ROWS, days.fingerprint(days.source, FIRST))
    part = Window(lower=day("2024-01-02"), upper=day("2024-01-02") + timedelta(milliseconds=20))
    assert days.restore(within=part).plan.total == days.fingerprint(days.source, part)
    assert days.count(days.into) == ROWS + 20


@pytest.mark.thorough
def test_rows_of_a_window_come_back_from_files_that_hold_other_windows_too(platform: LocalPlatform) -> None:
    days = Restoring(platform, three_days(platform, partition_by="none"))
    with closing(platform.cold_tier(days.stream)) as tier:
        assert tier.merge_files() == 1
    days.restore(within=FIRST)
    assert days.fingerprint(days.into) == days.fingerprint(days.source, FIRST)


@pytest.mark.thorough
def test_a_former_snapshot_comes_back_as_it_was(own: Restoring) -> None:
    with own.platform.consumer() as application:
        stream = application.streams[own.stream]
        application.catalog.tag("before", {stream.target: own.review().origin.past.snapshot_id or 0})
    expected = own.fingerprint(own.source)
    own.platform.insert(5, first=5_000)
    own.platform.insert(7, first=7_000, day="2024-01-05")
    with own.platform.consumer() as application:
        assert offload(application, own.stream, day("2024-01-06")) == []
        assert offload(application, own.stream, day("2024-01-06")) == []
    assert own.review().total.rows == 3 * ROWS + 12
    done = own.restore(snapshot="before")
    assert all(one.proved for one in done.plan.windows)
    assert own.fingerprint(own.into) == expected
    with pytest.raises(ConfigurationError, match="no such tag"):
        own.review(snapshot="never")
    with pytest.raises(ConfigurationError, match="no snapshot 17"):
        own.review(snapshot=17)


# ------------------------------------------------------------------------------- into the stream's source


def test_dropped_partitions_come_back_into_the_source_and_are_not_offloaded_again(own: Restoring) -> None:
    expected = own.fingerprint(own.source)
    with own.platform.consumer() as application:
        application.hot_drops.drop(application.streams[own.stream], Selection(before=day("2024-01-03")))
    assert own.count(own.source) == ROWS
    part = Window(lower=FIRST.lower, upper=FIRST.lower + timedelta(milliseconds=30))
    with pytest.raises(StreamError, match="partition 20240101 was dropped as a whole"):
        own.restore(into=own.source, within=part)

    own.restore(into=own.source, within=FIRST)

    assert own.drops() == [("20240101", "returned"), ("20240102", "dropped")]
    own.restore(into=own.source, within=Window(lower=day("2024-01-02"), upper=day("2024-01-03")))
    assert own.fingerprint(own.source) == expected
    with own.platform.consumer() as application:
        own.platform.insert(1, first=9_000, day="2024-01-04")
        assert offload(application, own.stream, day("2024-01-05")) == []
        found = application.verifier.verify(application.streams[own.stream])
    assert (found.equal, found.cold.rows, found.dropped.rows) == (True, 3 * ROWS + 1, 0)
    assert own.stagings() == {}


# ---------------------------------------------------------------------------------------- what is refused


def test_a_value_that_was_changed_in_a_file_is_found_before_anything_is_written(own: Restoring) -> None:
    def other_value(rows: pa.Table) -> pa.Table:
        place = rows.schema.get_field_index("symbol")
        values = ["XXX", *rows["symbol"].to_pylist()[1:]]
        return rows.set_column(place, rows.schema.field(place), pa.array(values, rows.schema.field(place).type))

    own.overwrite(other_value, FIRST)
    with pytest.raises(DivergenceError, match=rf"hold {ROWS} rows of .* and the ledger has recorded {ROWS} rows"):
        own.restore()
    assert own.stagings() == {}
    assert own.count(f"system.tables WHERE database = '{own.into.database}' AND name = 'back'") == 0
    last = Window(lower=day("2024-01-03"), upper=day("2024-01-04"))
    assert own.restore(within=last).plan.total.rows == ROWS


def test_rows_that_stand_there_already_are_counted_and_nothing_is_restored(days: Restoring) -> None:
    create(days)
    days.run(f"INSERT INTO {days.into} SELECT * FROM {days.source} WHERE seq < 7")
    days.run(f"INSERT INTO {days.into} (ts, seq) VALUES ('2024-01-01 00:00:00', 1)")
    with pytest.raises(StreamError, match=r"holds 8 rows of the stretch already: 7 rows .* twice, and 1 row the cold"):
        days.restore()
    assert (days.count(days.into), days.stagings()) == (8, {})
    days.restore(within=Window(lower=day("2024-01-02"), upper=day("2024-01-04")))
    assert days.count(days.into) == 8 + 2 * ROWS


@pytest.mark.thorough
def test_tables_in_which_restored_rows_would_not_stay_are_refused(days: Restoring) -> None:
    create(days, engine="ReplacingMergeTree")
    with pytest.raises(StreamError, match="ReplacingMergeTree merges rows"):
        days.review()
    days.run(f"DROP TABLE {days.into} SYNC")
    create(days, ttl="TTL toDateTime(ts) + INTERVAL 1 DAY")
    with pytest.raises(StreamError, match="takes restored rows away again"):
        days.review()
    days.run(f"ALTER TABLE {days.into} MODIFY TTL toDateTime(ts) + INTERVAL 60 YEAR")
    assert days.restore().plan.total.rows == days.count(days.into)
    days.run(f"ALTER TABLE {days.into} MODIFY COLUMN note Nullable(String) TTL toDateTime(ts) + INTERVAL 1 DAY")
    with pytest.raises(StreamError, match="TTL of a column"):
        days.review()


def test_destinations_that_do_not_fit_are_refused_by_name(days: Restoring) -> None:
    other = days.platform.add_stream("others")
    with pytest.raises(StreamError, match=f"the stream {other} reads this table"):
        days.review(into=TableName(database=days.into.database, table="others"))
    with pytest.raises(ConfigurationError, match="there is no such table"):
        days.review(create=False)
    with pytest.raises(ConfigurationError, match="the database nowhere does not exist"):
        days.review(into=TableName(database="nowhere", table="back"))
    with pytest.raises(ConfigurationError, match="one of staging tables"):
        days.review(into=TableName(database=days.into.database, table="icehaul_restore_back_0123456789ab"))
    with pytest.raises(StreamError, match="take former rows for new ones"):
        days.review(into=days.source, snapshot=days.review().origin.past.snapshot_id)
    days.run(f"CREATE TABLE {days.into} (ts DateTime64(6, 'UTC'), seq String) ENGINE = MergeTree ORDER BY ts")
    with pytest.raises(StreamError, match=r"column seq \(UInt64\) can't be restored|has no such column"):
        days.review()


def test_missing_grants_are_named(days: Restoring) -> None:
    with days.platform.consumer() as application:
        stream = application.streams[days.stream]
        assert list(application.restoring.lacking(days.into)) == []
        application.restoring.lacking = lambda into: [f"CREATE TABLE ON {into.database}.*"]  # type: ignore[method-assign]
        with pytest.raises(AccessDeniedError, match=r"lacks the grants: CREATE TABLE ON t_\w+\.\*"):
            application.restore_review.review(stream, days.choice())


def test_a_table_that_has_more_columns_gets_their_defaults(days: Restoring) -> None:
    days.run(
        f"CREATE TABLE {days.into} AS {days.source} ENGINE = MergeTree ORDER BY ts SETTINGS index_granularity = 128"
    )
    days.run(f"ALTER TABLE {days.into} ADD COLUMN origin String DEFAULT 'cold' FIRST, MODIFY COLUMN symbol String")
    days.restore()
    assert days.count(f"{days.into} WHERE origin = 'cold'") == 3 * ROWS
    assert days.differing(days.source, days.into) == 0


def test_a_narrower_column_that_can_not_hold_a_value_is_found_in_staging(platform: LocalPlatform) -> None:
    stream = platform.add_stream(columns="ts DateTime64(6, 'UTC'), seq UInt64, price Int32")
    platform.client.command(
        f"INSERT INTO {platform.name}.trades SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC'), number, number"
        " FROM numbers(200)"
    )
    with platform.consumer() as application:
        assert offload(application, stream, day("2024-01-02")) == []
    days = Restoring(platform, stream)
    days.run(
        f"CREATE TABLE {days.into} (ts DateTime64(6, 'UTC'), seq UInt64, price Int8) ENGINE = MergeTree ORDER BY ts"
    )
    with pytest.raises(StreamError, match=r"200 rows .* were restored in .*, the cold tier holds 200 rows"):
        days.restore()
    assert (days.count(days.into), days.stagings()) == (0, {})
