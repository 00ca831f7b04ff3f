"""A file with one wrong value, row or exchange is found before the publish, by `verify`, and without icehaul."""

from __future__ import annotations

import io
import json
import urllib.parse
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from consumer.adapters.spark.access import store_access
from consumer.bootstrap import Application
from consumer.domain.proof import Proof
from consumer.domain.stream import DigestPolicy, Stream
from consumer.domain.window import EVER, Window
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import UnitReport
from consumer.service.verify import Verification
from consumer.service.verifying.comparing import Reading
from spark.object_store import connect, key_of
from tests.support.corruption import COLUMNS, CORRUPTIONS, VALUES, Corruption
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform, offload, published, recorded
from tests.support.platform import day
from tests.support.row_digest import digest_of

ROWS = 6
PUBLISHED = (
    "a flipped bit in price",
    "a lost row",
    "a doubled row",
    "two columns exchanged",
    "texts of two rows exchanged",
)


def date_of(corruption: Corruption) -> datetime:
    """The day whose file a corruption happens to; the first day stays as it is."""
    return day("2024-01-02") + timedelta(days=CORRUPTIONS.index(corruption))


def day_of(corruption: Corruption) -> Window:
    return Window(lower=date_of(corruption), upper=date_of(corruption) + timedelta(days=1))


class Scene:
    """A stream, and what can be done to its source and to its files."""

    def __init__(self, platform: LocalPlatform, application: Application, table: str) -> None:
        self.platform = platform
        self.application = application
        self.stream: Stream = application.streams[f"{platform.name}_{table}"]
        self._table = table
        self._store = connect(store_access(platform.configuration().store))

    def insert(self, first: datetime, days: int) -> None:
        """Insert some rows on each of these days."""
        columns = VALUES.replace("number", f"(number % {ROWS})")
        self.platform.client.command(
            f"INSERT INTO {self.platform.name}.{self._table}"
            f" SELECT toDateTime64('{first:%Y-%m-%d} 00:00:00', 6, 'UTC') + toIntervalDay(intDiv(number, {ROWS}))"
            f" + toIntervalSecond(number % {ROWS}), {columns} FROM numbers({days * ROWS})"
        )

    def offload(self, first: datetime, days: int) -> None:
        """Offload these days by one batch, each into a file of its own."""
        self.insert(first, days)
        assert offload(self.application, self.stream.name, first + timedelta(days=days)) == []

    def paths(self, window: Window) -> Sequence[str]:
        stream = self.stream
        return self.application.catalog.data_files(stream.target, stream.partition_by, window)

    def corrupt(self, path: str, corruption: Corruption) -> int:
        """Write a file anew with other rows, and return its size."""
        content = corruption.apply(self.read(path))
        with self._store.open_output_stream(key_of(path)) as out:
            out.write(content)
        return len(content)

    def read(self, path: str) -> bytes:
        with self._store.open_input_stream(key_of(path)) as stored:
            return bytes(stored.read())

    def independently(self, within: Window = EVER) -> dict[str, Any]:
        """What ClickHouse says of the printed statement, asked by HTTP and nothing else."""
        statement = self.application.independent_check.statement(self.stream, within)
        store, server = self.platform.endpoints.store, self.platform.endpoints.clickhouse
        assert store.secret_key not in statement
        parameters = {
            "param_store_key": store.access_key,
            "param_store_secret": store.secret_key,
            "default_format": "JSONEachRow",
        }
        request = urllib.request.Request(
            f"http://{server.host}:{server.port}/?{urllib.parse.urlencode(parameters)}",
            data=statement.encode(),
            headers={"X-ClickHouse-User": server.user, "X-ClickHouse-Key": server.password},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own server
            return dict(json.loads(answer.read()))


@pytest.fixture(scope="module")
def platform(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    name = f"t_{uuid.uuid4().hex[:12]}"
    with (
        pytest.MonkeyPatch.context() as patch,
        ledger_database(stack.endpoints, name) as dsn,
        local_platform(stack.endpoints, name, dsn, tmp_path_factory.mktemp("corrupted"), patch) as made,
    ):
        made.add_stream("published", columns=COLUMNS, batch={"window": "400d"})
        made.add_stream("written", columns=COLUMNS)
        yield made


@pytest.fixture(scope="module")
def sound(platform: LocalPlatform) -> Iterator[Scene]:
    """A stream of which a day for each corruption, and one more, is in the cold tier, as it was read."""
    with platform.consumer() as application:
        made = Scene(platform, application, "published")
        made.offload(day("2024-01-01"), len(CORRUPTIONS) + 1)
        found = application.verifier.verify(made.stream)
        assert found.equal
        alone = made.independently()
        assert (alone["hot_digest"], alone["cold_digest"], alone["verdict"]) == (found.hot.hex, found.cold.hex, "equal")
        assert int(alone["hot_rows"]) == int(alone["cold_rows"]) == ROWS * (len(CORRUPTIONS) + 1)
        assert (int(alone["dropped_rows"]), alone["dropped_digest"]) == (0, "0" * 16)
        yield made


def test_the_digest_of_a_file_can_be_computed_in_another_language(sound: Scene) -> None:
    """As docs/reference/digest.md defines it."""
    first = Window(lower=EVER.lower, upper=day("2024-01-02"))
    (path,) = sound.paths(first)
    table = pq.read_table(io.BytesIO(sound.read(path)), arrow_extensions_enabled=False)
    found = sound.application.verifier.verify(sound.stream, first)
    assert (table.num_rows, digest_of(table)) == (found.cold.rows, found.cold.digest)
    assert digest_of(table.slice(1)) != digest_of(table)


@pytest.fixture(scope="module")
def corrupted(sound: Scene) -> Scene:
    """The same once each corruption has happened to the file of its day."""
    for corruption in CORRUPTIONS:
        (path,) = sound.paths(day_of(corruption))
        sound.corrupt(path, corruption)
    return sound


@pytest.fixture(scope="module")
def found(corrupted: Scene) -> dict[Window, Verification]:
    """What `verify` finds on each of these days."""
    verifier = corrupted.application.verifier
    return {window: verifier.verify(corrupted.stream, window, Reading(rows=10)) for window in map(day_of, CORRUPTIONS)}


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=str)
def test_a_corrupted_file_is_found_with_its_rows(found: dict[Window, Verification], corruption: Corruption) -> None:
    window = day_of(corruption)
    one = found[window]
    (difference,) = one.differences
    assert difference.window == window
    assert (one.hot.rows, one.cold.rows) == (ROWS, ROWS + corruption.surplus - corruption.missing)
    assert (one.missing, one.surplus) == (corruption.missing, corruption.surplus)
    told = Counter[bool]()
    for row in one.rows:
        # A row counts by how much oftener it stands in one tier than in the other.
        told[row.hot > row.cold] += abs(row.hot - row.cold)
        assert (len(row.values), window.contains(row.instant)) == (15, True)
    assert (told[True], told[False]) == (corruption.missing, corruption.surplus)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=str)
def test_a_corrupted_file_is_found_without_icehaul(corrupted: Scene, corruption: Corruption) -> None:
    alone = corrupted.independently(day_of(corruption))
    assert alone["verdict"] == "DIFFERENT"
    assert alone["hot_digest"] != alone["cold_digest"]


def test_a_verification_of_everything_tells_how_many_rows_differ_and_where(corrupted: Scene) -> None:
    everything = corrupted.application.verifier.verify(corrupted.stream, reading=Reading(rows=7, rows_at_once=20))
    assert everything.missing == sum(one.missing for one in CORRUPTIONS)
    assert everything.surplus == sum(one.surplus for one in CORRUPTIONS)
    assert len(everything.rows) == 7
    assert sorted(row.instant for row in everything.rows) == [row.instant for row in everything.rows]
    before = Window(lower=EVER.lower, upper=day("2024-01-02"))
    assert corrupted.application.verifier.verify(corrupted.stream, before).equal
    assert corrupted.independently(before)["verdict"] == "equal"


def test_the_differing_rows_are_told_value_by_value(found: dict[Window, Verification]) -> None:
    lie = next(one for one in CORRUPTIONS if one.name == "NULL of note turned into its default")
    true, false = sorted(found[day_of(lie)].rows, key=lambda row: row.cold)
    assert (true.hot, true.cold, false.hot, false.cold) == (1, 0, 0, 1)
    assert uuid.UUID(true.values["id"] or "")
    assert true.values == {
        "ts": f"{date_of(lie):%Y-%m-%d} 00:00:00.000000",
        "seq": "0",
        "bought": "100",
        "sold": "200",
        "price": "0",
        "ratio": "0",
        "symbol": "BTC",
        "note": None,
        "counted": None,
        "paid": None,
        "settled": None,
        "id": true.values["id"],
        "tags": "['0','b']",
        "attributes": "{'k':'0'}",
        "pair": "(0,NULL)",
    }
    assert false.values == {**true.values, "note": ""}


class Corrupting(LocalEngine):
    """An engine whose next file holds other rows than it reports."""

    scene: Scene
    corruption: Corruption | None = None

    def write(self, **arguments: Any) -> Sequence[UnitReport]:
        """Write as ever, and then something else."""
        reports = list(super().write(**arguments))
        if self.corruption is not None:
            corruption, self.corruption = self.corruption, None
            file = reports[0].file
            size = self.scene.corrupt(file.path, corruption)
            reports[0] = replace(reports[0], file=replace(file, bytes=size, footer_crc=None))
        return reports


@pytest.fixture(scope="module")
def writing(platform: LocalPlatform) -> Iterator[tuple[Scene, Corrupting]]:
    with platform.consumer() as application:
        engine = Corrupting(platform.configuration(), application.failpoints)
        application.engine = engine
        engine.scene = Scene(platform, application, "written")
        yield engine.scene, engine


@pytest.mark.parametrize("corruption", [one for one in CORRUPTIONS if one.name in PUBLISHED], ids=str)
def test_a_file_that_holds_other_rows_than_were_read_is_never_published(
    writing: tuple[Scene, Corrupting], corruption: Corruption, capfd: pytest.CaptureFixture[str]
) -> None:
    scene, engine = writing
    engine.corruption = corruption
    window = day_of(corruption)
    scene.insert(window.lower, 1)
    offload(scene.application, scene.stream.name, window.upper)
    said = "".join(capfd.readouterr())
    # Another number of rows is told by the footer already.
    assert "stand in the files" in said if corruption.missing == corruption.surplus else "row count" in said
    batch = published(scene.application, scene.stream.name)[-1]
    assert batch.attempts == 2
    assert batch.proof == Proof(policy=DigestPolicy.ALWAYS, files=1, content=recorded(batch))
    assert scene.application.verifier.verify(scene.stream, window).equal
