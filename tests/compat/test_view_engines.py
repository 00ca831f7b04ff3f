"""Which engines can read a view's cold tier, and that those that can't are found out: ``make compat``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.adapters.clickhouse.views import INLINE, ClickHouseViews
from consumer.domain.errors import StreamError
from consumer.domain.mapping import SourceColumn
from consumer.domain.type_mapping import map_table
from consumer.domain.unit_query import READ_SETTINGS
from consumer.embedded.stack import EmbeddedStack
from tests.compat.engines import NEWEST, EngineConnection, EngineProcess, interpreter
from tests.support.both_tiers import Case, case
from tests.support.local_platform import ledger_database, local_platform, offload
from tests.support.platform import day

COLUMNS = {"ts": "DateTime64(6, 'UTC')", "seq": "UInt64", "early": "Date32", "id": "UUID"}


@pytest.fixture(scope="module")
def one(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """A stream whose rows have been offloaded."""
    name = f"t_view_engines_{os.getpid()}"
    with (
        pytest.MonkeyPatch.context() as patched,
        ledger_database(stack.endpoints, name) as dsn,
        local_platform(stack.endpoints, name, dsn, tmp_path_factory.mktemp("views"), patched) as platform,
        case(platform, columns=", ".join(f"{column} {type_}" for column, type_ in COLUMNS.items())) as made,
    ):
        platform.client.command(
            f"INSERT INTO {name}.trades SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC'), number,"
            " '1950-01-02'::Date32, generateUUIDv4(number) FROM numbers(10)"
        )
        offload(made.application, made.stream, day("2024-01-02"))
        yield made


@pytest.mark.parametrize(
    ("version", "column", "readable"),
    [
        (NEWEST, "seq", True),
        (NEWEST, "early", True),
        (NEWEST, "id", True),
        ("25.8", "seq", True),
        ("25.8", "early", False),
        ("24.8", "seq", False),
    ],
)
def test_an_engine_reads_a_column_exactly_or_is_found_out(
    one: Case, tmp_path: Path, version: str, column: str, readable: bool
) -> None:
    if not interpreter(version).exists():
        missing = f"no virtual environment with ClickHouse {version}: make compat makes it"
        (pytest.fail if os.environ.get("ICEHAUL_COMPAT_ALL") else pytest.skip)(missing)
    stream, catalog = one.application.streams[one.stream], one.application.catalog
    configuration = one.platform.configuration()
    views = ClickHouseViews(configuration.clickhouse, configuration.store, INLINE)
    engine = EngineProcess(version, tmp_path)
    views._connection = EngineConnection(engine, READ_SETTINGS)
    mapping = map_table([SourceColumn(name=name, type=COLUMNS[name]) for name in ("ts", column)], timestamp_column="ts")
    pin = catalog.pin(stream)
    file = catalog.sample(stream, pin)
    assert pin.location is not None
    assert pin.metadata is not None
    assert file is not None
    cold = views.cold(pin.location, pin.metadata)
    try:
        direct, read = views.read_back(stream, mapping, cold, views.types(cold), file)
        found = direct == read
    except StreamError:
        found = False
    finally:
        engine.close()
    assert found is readable
