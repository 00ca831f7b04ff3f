"""One view over both tiers: every row once, in the source's types, whatever is published and dropped meanwhile."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError, DivergenceError
from consumer.domain.stream import TableName
from consumer.embedded.stack import EmbeddedStack
from consumer.entrypoints.cli.follow import look
from consumer.service.view import Position, Views
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform, offload
from tests.support.platform import day
from tests.support.waiting import wait_for, wait_until

COLLECTION = "icehaul_store"
EVERY_TYPE = """
    ts DateTime64(3, 'Asia/Tokyo'), seq UInt64, u UUID, nu Nullable(UUID), lu LowCardinality(String), au Array(UUID),
    mu Map(UUID, Array(Nullable(UUID))), tu Tuple(a UUID, b Nullable(Enum8('x' = 1, 'y' = 2))), e Enum16('p' = 300),
    d Date, d32 Date32, dt DateTime('America/New_York'), b Bool, i8 Int8, u32 UInt32, f Float32, dec Decimal(38, 4),
    tt Array(Tuple(UUID, Int8)), ln LowCardinality(Nullable(String)), sa SimpleAggregateFunction(sum, UInt64)
"""
A_ROW = """
    number, generateUUIDv4(), if(number % 2, generateUUIDv4(number), NULL), 'l', [generateUUIDv4(number + 1)],
    map(generateUUIDv4(number + 2), [NULL, generateUUIDv4(number + 3)]),
    tuple(generateUUIDv4(number + 4), if(number % 2, 'x', NULL)), 'p', '1970-01-01'::Date + number,
    '1950-01-02'::Date32 + number, toDateTime(number * 1000000), number % 2, -3, 4294967295, nan, 1234567.8912,
    [tuple(generateUUIDv4(number + 5), -1)], if(number % 2, 'q', NULL), 18446744073709551615
"""


@pytest.fixture(scope="module")
def ledger_dsn(stack: EmbeddedStack) -> Iterator[str]:
    with ledger_database(stack.endpoints, f"t_{uuid.uuid4().hex[:12]}") as dsn:
        yield dsn


@pytest.fixture
def platform(
    stack: EmbeddedStack, unique_name: str, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    with local_platform(stack.endpoints, unique_name, ledger_dsn, tmp_path, monkeypatch) as made:
        yield made


@dataclass
class Case:
    """A stream, its consumer and its view."""

    platform: LocalPlatform
    application: Application
    stream: str
    views: Views
    name: TableName = field(init=False)

    def __post_init__(self) -> None:
        self.name = TableName(database=self.platform.name, table="everything")

    def make(self) -> bool:
        return self.views.make(self.application.streams[self.stream], self.name).replaced

    def numbers(self) -> list[int]:
        found = self.platform.client.query(f"SELECT seq FROM {self.name} ORDER BY seq")
        return [row[0] for row in found.result_rows]

    def differing(self) -> int:
        """Rows that are in the source or in the view only."""
        source = f"SELECT * FROM {self.platform.name}.trades"
        view = f"SELECT * FROM {self.name}"
        return sum(
            int(self.platform.client.query(f"SELECT count() FROM ({one} EXCEPT ALL {other})").result_rows[0][0])
            for one, other in ((source, view), (view, source))
        )


@contextmanager
def case(platform: LocalPlatform, **settings: object) -> Iterator[Case]:
    stream = platform.add_stream(**settings)  # type: ignore[arg-type]
    with platform.consumer() as application:
        yield Case(platform, application, stream, application.views(COLLECTION))


def test_before_anything_was_offloaded_every_row_is_hot(platform: LocalPlatform) -> None:
    with case(platform) as one:
        platform.insert(10)
        assert one.make()
        assert one.numbers() == list(range(10))
        platform.insert(5, first=10, day="2024-01-02")
        assert one.numbers() == list(range(15))


def test_rows_of_both_tiers_have_the_sources_types_and_values(platform: LocalPlatform) -> None:
    with case(platform, columns=EVERY_TYPE) as one:
        for first, at in ((0, "2024-01-01"), (50, "2024-01-02")):
            platform.client.command(
                f"INSERT INTO {platform.name}.trades"
                f" SELECT toDateTime64('{at} 00:00:00.123', 3, 'UTC') + number, {A_ROW} FROM numbers({first}, 50)"
            )
        offload(one.application, one.stream, day("2024-01-02"))
        one.make()
        assert one.numbers() == list(range(100))
        # NaN is not equal to itself, but EXCEPT takes rows apart by their values.
        assert one.differing() == 0
        described = [
            [(row[0], row[1]) for row in platform.client.query(f"DESCRIBE {table}").result_rows]
            for table in (f"{platform.name}.trades", str(one.name))
        ]
        assert described[0] == described[1]


@pytest.mark.parametrize("kind", ["Date", "DateTime('Europe/Berlin')", "DateTime64(0)"])
def test_a_boundary_between_two_values_of_a_coarse_column_parts_no_row_from_its_tier(
    platform: LocalPlatform, kind: str
) -> None:
    with case(platform, columns=f"ts {kind}, seq UInt64") as one:
        platform.client.command(
            f"INSERT INTO {platform.name}.trades"
            " SELECT toDateTime('2024-01-01 00:00:00', 'UTC') + number * 3600, number FROM numbers(100)"
        )
        offload(one.application, one.stream, day("2024-01-03").replace(hour=1, microsecond=500_000))
        one.make()
        assert one.numbers() == list(range(100))


def test_a_view_is_left_alone_while_nothing_moves(platform: LocalPlatform) -> None:
    with case(platform) as one:
        platform.insert(10)
        offload(one.application, one.stream, day("2024-01-02"))
        assert [one.make() for _ in range(3)] == [True, False, False]


def test_a_view_that_nobody_follows_lasts_as_long_as_it_says_and_then_fails(platform: LocalPlatform) -> None:
    with case(platform, retain_snapshots=100) as one:
        platform.insert(10)
        offload(one.application, one.stream, day("2024-01-02"))
        with closing(platform.cold_tier(one.stream)) as tier, tier.table().transaction() as change:
            change.set_properties({"write.metadata.previous-versions-max": "2"})
        made = one.views.make(one.application.streams[one.stream], one.name)
        assert made.publishes == 2
        for number in range(1, 4):
            platform.insert(10, first=number * 10, day=f"2024-01-0{number + 1}")
            offload(one.application, one.stream, day(f"2024-01-0{number + 2}"))
            if number <= made.publishes:
                assert one.numbers() == list(range((number + 1) * 10))
        with pytest.raises(DatabaseError):
            one.numbers()
        one.make()
        assert one.numbers() == list(range(40))


def test_a_snapshot_that_expires_at_once_is_not_read(platform: LocalPlatform) -> None:
    with case(platform, retain_snapshots=1) as one:
        platform.insert(10)
        offload(one.application, one.stream, day("2024-01-02"))
        with pytest.raises(ConfigurationError, match="retain_snapshots"):
            one.make()


def test_nothing_else_is_ever_replaced_or_dropped(platform: LocalPlatform) -> None:
    with case(platform) as one:
        platform.insert(10)
        platform.client.command(f"CREATE VIEW {platform.name}.somebody AS SELECT 1 AS a")
        stream = one.application.streams[one.stream]
        for taken in ("trades", "somebody"):
            with pytest.raises(ConfigurationError, match="has this name already"):
                one.views.make(stream, TableName(database=platform.name, table=taken))
            with pytest.raises(ConfigurationError, match="no view of this name"):
                one.views.drop(stream, TableName(database=platform.name, table=taken))
        assert platform.rows() == 10


def test_no_key_of_the_store_stands_in_the_view(platform: LocalPlatform, stack: EmbeddedStack) -> None:
    with case(platform) as one:
        platform.insert(10)
        offload(one.application, one.stream, day("2024-01-02"))
        one.make()
        query = f"SELECT metadata_path FROM system.tables WHERE database = '{platform.name}' AND name = 'everything'"
        ((path,),) = platform.client.query(query).result_rows
        found = wait_for(lambda: list(stack.directory.rglob(Path(path).name)), 5, "the view on disk")
        text = found[0].read_text(encoding="utf-8")
        assert f"icebergS3({COLLECTION}, url =" in text
        assert platform.endpoints.store.access_key not in text
        assert platform.endpoints.store.secret_key not in text


def test_a_table_that_contradicts_the_ledger_is_not_shown(platform: LocalPlatform) -> None:
    with case(platform) as one:
        for number in (1, 2):
            platform.insert(10, first=number * 10 - 10, day=f"2024-01-0{number}")
            offload(one.application, one.stream, day(f"2024-01-0{number + 1}"))
        with closing(platform.cold_tier(one.stream)) as tier:
            tier.roll_back(tier.table().snapshots()[0].snapshot_id)
        with pytest.raises(DivergenceError):
            one.make()


def test_watermark_and_snapshot_are_of_one_moment(platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read one after the other, with a publish in between, they would leave rows out, or show them twice."""
    with case(platform) as one:
        platform.insert(10)
        platform.insert(10, first=10, day="2024-01-02")
        offload(one.application, one.stream, day("2024-01-02"))
        catalog = one.application.catalog
        read = catalog._bases.at

        def publish_then_read(name: TableName, location: str) -> object:
            monkeypatch.undo()
            offload(one.application, one.stream, day("2024-01-03"))
            return read(name, location)

        monkeypatch.setattr(catalog._bases, "at", publish_then_read)
        made = one.views.make(one.application.streams[one.stream], one.name)
        assert made.mark.boundary == day("2024-01-02")
        assert one.numbers() == list(range(20))


class Follower:
    """What `icehaul view --follow` does, in a thread."""

    def __init__(self, one: Case) -> None:
        self._one = one
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._seen: dict[str, Position] = {}
        self.failing: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        one = self._one
        while not self._stop.wait(0.01):
            streams = [one.application.streams[one.stream]]
            look(one.views, streams, {one.stream: one.name}, self._seen, self.failing)


class Reader:
    """Somebody who queries the view again and again; ``wrong`` is what should never have been seen."""

    def __init__(self, one: Case, inserted: Callable[[], int]) -> None:
        server = one.platform.endpoints.clickhouse
        self._client: Client = clickhouse_connect.get_client(
            host=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            autogenerate_session_id=False,
        )
        self._query = f"SELECT count(), uniqExact(seq), max(seq) + 1 FROM {one.name}"
        self._inserted = inserted
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.queries = 0
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def passed(self, queries: int) -> bool:
        """Tell whether so many queries have ended, or something was wrong."""
        return self.queries >= queries or bool(self.wrong)

    def _run(self) -> None:
        while not self._stop.is_set():
            least = self._inserted()
            try:
                ((rows, different, highest),) = self._client.query(self._query).result_rows
            except DatabaseError as error:
                self.wrong.append(str(error)[:500])
                return
            if not rows == different == highest or rows < least:
                self.wrong.append(f"{rows} rows, {different} different ones, up to {highest}; {least} were inserted")
            self.queries += 1


def test_while_batches_are_published_and_partitions_dropped_every_row_is_seen_once(platform: LocalPlatform) -> None:
    days, rows = 5, 500
    inserted = 0
    with case(platform) as one:
        platform.insert(rows)
        inserted = rows
        one.make()
        with Follower(one) as follower, Reader(one, lambda: inserted) as reader:
            for number in range(1, days + 1):
                offload(one.application, one.stream, day(f"2024-01-{number + 1:02}"))
                wait_until(lambda number=number: boundary(one) >= day(f"2024-01-{number + 1:02}"), what="the view")  # type: ignore[misc]
                # The query that runs now may have been begun on the view as it was; the one after it was not.
                count = reader.queries
                wait_until(lambda count=count: reader.passed(count + 2), seconds=30, what="a query")  # type: ignore[misc]
                platform.client.command(f"ALTER TABLE {platform.name}.trades DROP PARTITION '2024-01-{number:02}'")
                platform.insert(rows, first=number * rows, day=f"2024-01-{number + 1:02}")
                inserted = (number + 1) * rows
                wait_until(lambda count=count: reader.passed(count + 4), seconds=30, what="a query")  # type: ignore[misc]
            assert reader.wrong == []
            assert follower.failing == {}
        assert one.numbers() == list(range((days + 1) * rows))
        assert platform.rows() == rows


def test_a_late_row_is_seen_with_its_supplement_and_once(platform: LocalPlatform) -> None:
    with case(platform) as one:
        platform.insert(10)
        offload(one.application, one.stream, day("2024-01-02"))
        platform.insert(1, first=10)
        one.make()
        assert one.numbers() == list(range(10))
        offload(one.application, one.stream, day("2024-01-02"))
        assert one.make()
        assert one.numbers() == list(range(11))


def test_a_failing_stream_keeps_its_view_and_leaves_the_others_alone(platform: LocalPlatform) -> None:
    with case(platform) as one:
        platform.insert(10)
        offload(one.application, one.stream, day("2024-01-02"))
        one.make()
        platform.add_stream("bars")
        platform.client.command(f"INSERT INTO {platform.name}.bars SELECT * FROM {platform.name}.trades")
        with platform.consumer() as application:
            streams = [application.streams[name] for name in (one.stream, f"{platform.name}_bars")]
            names = {
                stream.name: TableName(database=platform.name, table=f"{stream.source.table}_all") for stream in streams
            }
            platform.client.command(f"RENAME TABLE {platform.name}.trades TO {platform.name}.gone")
            failing: dict[str, str] = {}
            look(application.views(COLLECTION), streams, names, {}, failing)
            assert set(failing) == {one.stream}
            assert list(application.views(COLLECTION).names(streams[1])) == [names[streams[1].name]]


def boundary(one: Case) -> datetime:
    return one.views.names(one.application.streams[one.stream])[one.name].boundary
