from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from consumer.domain.errors import StoreUnavailableError
from consumer.domain.mapping import SourceColumn
from consumer.domain.stream import Stream, TableName
from consumer.domain.table_facts import EventRefresh, TableFacts
from consumer.domain.window import Window
from consumer.ports import Extent, SourceTable
from consumer.service.doctor.broker import TopicsCheck
from consumer.service.doctor.event_views import EventViewsCheck
from consumer.service.doctor.finding import Check, Severity, Statement
from consumer.service.doctor.machine import (
    ConfigurationCheck,
    DiskCheck,
    JarsCheck,
    JavaCheck,
    PackagesCheck,
    Requirement,
    SparkCheck,
)
from consumer.service.doctor.servers import ClickHouseCheck, ClockCheck, PostgresCheck
from consumer.service.doctor.sources import SourceCheck
from consumer.service.doctor.storage import StoreCheck

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
GIB = 1024**3


def said(check: Check, severity: Severity) -> list[Statement]:
    return [one for one in check.run() if one.severity is severity]


def worst(check: Check) -> Severity:
    order = list(Severity)
    return max((one.severity for one in check.run()), key=order.index)


# ---------------------------------------------------------------------------------------------- servers


@dataclass
class Server:
    version: str
    time_zone: str = "UTC"


@pytest.mark.parametrize(
    ("version", "severity"),
    [
        ("24.3.1.2672", Severity.OK),
        ("26.9.2.1", Severity.OK),
        ("24.2.9", Severity.ERROR),
        ("9.9", Severity.ERROR),
        ("head", Severity.WARNING),
    ],
)
def test_clickhouse_versions(version: str, severity: Severity) -> None:
    assert worst(ClickHouseCheck(subject="s", server=lambda: Server(version))) is severity


def test_a_server_outside_utc_is_told() -> None:
    check = ClickHouseCheck(subject="s", server=lambda: Server("25.8", "Europe/Berlin"))
    assert "Europe/Berlin" in said(check, Severity.INFO)[0].message


@pytest.mark.parametrize(
    ("offset", "severity"),
    [(0, Severity.OK), (1.9, Severity.OK), (-5, Severity.WARNING), (61, Severity.ERROR), (-3600, Severity.ERROR)],
)
def test_clocks(offset: float, severity: Severity) -> None:
    check = ClockCheck(subject="s", server_now=lambda: NOW + timedelta(seconds=offset), local_now=lambda: NOW)
    (found,) = check.run()
    assert found.severity is severity
    assert ("behind" if offset < 0 else "ahead of") in found.message


def test_a_slow_answer_is_no_clock_offset() -> None:
    local = iter([NOW, NOW + timedelta(seconds=10)])
    check = ClockCheck(subject="s", server_now=lambda: NOW + timedelta(seconds=5), local_now=lambda: next(local))
    assert worst(check) is Severity.OK


@dataclass
class Ledger:
    version: int = 160004
    in_recovery: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    lacking: dict[str, Sequence[str]] = field(default_factory=dict)
    grants: Sequence[str] = ()


def postgres(ledger: Ledger, pending: Sequence[object] = ()) -> PostgresCheck:
    return PostgresCheck(subject="s", facts=lambda: ledger, pending=lambda: pending, lease=timedelta(seconds=30))


def test_a_good_postgres() -> None:
    settings = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "transaction_timeout": "0"}
    assert worst(postgres(Ledger(settings=settings))) is Severity.OK


@pytest.mark.parametrize(
    ("ledger", "severity", "words"),
    [
        (Ledger(version=130012), Severity.ERROR, "too old"),
        (Ledger(in_recovery=True), Severity.ERROR, "standby"),
        (Ledger(settings={"fsync": "off"}), Severity.WARNING, "fsync"),
        (Ledger(settings={"full_page_writes": "off"}), Severity.WARNING, "full_page_writes"),
        (Ledger(settings={"synchronous_commit": "off"}), Severity.INFO, "synchronous_commit"),
        (Ledger(settings={"transaction_timeout": "5000"}), Severity.WARNING, "transaction_timeout"),
        (Ledger(settings={"idle_session_timeout": "60000"}), Severity.INFO, "idle_session_timeout"),
        (
            Ledger(lacking={"offload_batches": ["UPDATE"]}, grants=["GRANT …"]),
            Severity.ERROR,
            "UPDATE on offload_batches",
        ),
    ],
)
def test_what_can_be_wrong_with_postgres(ledger: Ledger, severity: Severity, words: str) -> None:
    (found,) = said(postgres(ledger), severity)
    assert words in found.message
    assert found.remedy


def test_missing_migrations() -> None:
    (found,) = said(postgres(Ledger(), ["0003_x.sql"]), Severity.ERROR)
    assert (found.message, found.remedy) == ("the ledger lacks 0003_x.sql", "run `icehaul migrate`")


# ---------------------------------------------------------------------------------------------- sources


@dataclass
class Hot:
    table: SourceTable

    def describe(self, table: TableName) -> SourceTable:
        return self.table

    def extent(self, stream: Stream, window: Window) -> Extent:
        return Extent(rows=0, bytes=0, first=None, last=None)


def source(
    *,
    engine: str = "MergeTree",
    partition_key: str = "toDate(ts)",
    sorting_key: str = "ts",
    columns: Sequence[tuple[str, str]] = (("ts", "DateTime64(6, 'UTC')"), ("v", "Int64")),
    clauses: str = "",
    settle_lag: timedelta = timedelta(minutes=5),
    row_span: timedelta = timedelta(0),
) -> SourceCheck:
    name = TableName(database="d", table="t")
    described = SourceTable(
        name=name,
        uuid=UUID(int=1),
        engine=engine,
        partition_key=partition_key,
        sorting_key=sorting_key,
        columns=tuple(SourceColumn(name=column, type=type_) for column, type_ in columns),
        ttls=(),
        server_zone="UTC",
    )
    facts = TableFacts(
        database="d",
        table="t",
        engine=engine,
        engine_full=f"{engine} ORDER BY ts{clauses}",
        create_query="CREATE TABLE d.t (`ts` DateTime)",
        partition_key=partition_key,
        sorting_key=sorting_key,
        rows=0,
        bytes=0,
        columns=(),
    )
    return SourceCheck(
        stream=Stream(
            name="s", source=name, target=name, timestamp_column="ts", settle_lag=settle_lag, row_span=row_span
        ),
        source=Hot(described),
        facts=lambda _name: facts,
        time_zone=lambda: "UTC",
        latest=lambda _stream: Window(lower=NOW - timedelta(hours=1), upper=NOW),
    )


def test_a_good_source() -> None:
    assert worst(source()) is Severity.OK


@pytest.mark.parametrize(
    ("hours", "settle_lag", "row_span", "severity"),
    [
        (1, timedelta(minutes=40), timedelta(0), Severity.INFO),
        (1, timedelta(minutes=41), timedelta(0), Severity.ERROR),
        (25, timedelta(minutes=5), timedelta(days=1), Severity.INFO),
        (24, timedelta(minutes=5), timedelta(days=1), Severity.ERROR),
    ],
)
def test_a_ttl_must_leave_settle_lag_row_span_and_twenty_minutes(
    hours: int, settle_lag: timedelta, row_span: timedelta, severity: Severity
) -> None:
    check = source(clauses=f" TTL ts + toIntervalHour({hours})", settle_lag=settle_lag, row_span=row_span)
    assert worst(check) is severity
    (found,) = [one for one in check.run() if "TTL" in one.message]
    assert f"toIntervalHour({hours})" in found.message


def test_a_ttl_that_can_not_be_told() -> None:
    assert "can't be told" in said(source(clauses=" TTL expires"), Severity.WARNING)[0].message


def test_merges_that_change_rows() -> None:
    (found,) = said(source(engine="ReplacingMergeTree"), Severity.WARNING)
    assert "without FINAL" in found.message


def test_a_time_column_outside_of_both_keys() -> None:
    (found,) = said(source(partition_key="v", sorting_key="v"), Severity.WARNING)
    assert "every window reads the whole column" in found.message


def test_a_table_without_partitions_has_no_closes() -> None:
    assert "no partition closes" in said(source(partition_key=""), Severity.INFO)[0].message


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([("v", "Int64")], "no column 'ts'"),
        ([("ts", "Nullable(DateTime)")], "Nullable"),
        ([("ts", "String")], "no time"),
        ([("ts", "DateTime"), ("wide", "Int256")], "'wide' has the type Int256"),
    ],
)
def test_columns_that_can_not_be_offloaded(columns: list[tuple[str, str]], words: str) -> None:
    (found,) = said(source(columns=columns), Severity.ERROR)
    assert words in found.message


# ---------------------------------------------------------------------------------------------- broker, store


@dataclass
class Difference:
    topic: str
    found: str | None
    remedy: str = "mend it"


def topics(differences: Sequence[Difference], limit: int | None) -> TopicsCheck:
    return TopicsCheck(
        subject="s",
        topics=("a", "b"),
        differences=lambda: differences,
        message_bytes=lambda _topic: limit,
        largest=1000,
    )


def test_topics() -> None:
    assert worst(topics([], None)) is Severity.OK
    assert worst(topics([], 1000)) is Severity.OK
    assert len(said(topics([], 999), Severity.ERROR)) == 2
    assert worst(topics([Difference("a", "1")], 1000)) is Severity.WARNING
    assert len(said(topics([Difference("a", None)], 999), Severity.ERROR)) == 2  # missing, and b is too small


@dataclass
class Probe:
    fails: str = ""
    lies: str = ""
    deleted: bool = False

    def _do(self, name: str) -> bool:
        if self.fails == name:
            raise StoreUnavailableError(f"{name} failed", remedy="mend it")
        return self.lies != name

    def put(self) -> None:
        self._do("put")

    def get(self) -> bool:
        return self._do("get")

    def listed(self) -> bool:
        return self._do("list")

    def read_by_clickhouse(self) -> bool:
        return self._do("clickhouse")

    def delete(self) -> None:
        self.deleted = self._do("delete")


@pytest.mark.parametrize("operation", ["get", "list", "clickhouse"])
def test_an_operation_of_the_store_that_fails_stops_no_other_and_the_file_is_removed(operation: str) -> None:
    for probe in (Probe(fails=operation), Probe(lies=operation)):
        check = StoreCheck(subject="s", probe=probe)
        assert len(said(check, Severity.ERROR)) == 1
        assert probe.deleted


def test_a_file_that_can_not_be_removed() -> None:
    (found,) = said(StoreCheck(subject="s", probe=Probe(fails="delete")), Severity.ERROR)
    assert found.message.startswith("delete:")


# ---------------------------------------------------------------------------------------------- machine


@pytest.mark.parametrize(
    ("free", "severity"), [(10 * GIB, Severity.OK), (GIB, Severity.WARNING), (GIB // 10, Severity.ERROR)]
)
def test_disk_space(tmp_path: Path, free: int, severity: Severity) -> None:
    assert worst(DiskCheck(folder=tmp_path, usage=lambda _folder: free)) is severity


def test_a_scratch_folder_that_is_missing(tmp_path: Path) -> None:
    assert worst(DiskCheck(folder=tmp_path / "nowhere")) is Severity.ERROR


@pytest.mark.parametrize(
    ("home", "release", "severity"),
    [
        (Path("/j"), 17, Severity.OK),
        (Path("/j"), 11, Severity.ERROR),
        (Path("/j"), None, Severity.ERROR),
        (None, None, Severity.ERROR),
    ],
)
def test_java(home: Path | None, release: int | None, severity: Severity) -> None:
    assert worst(JavaCheck(home=home, release=lambda _home: release, supported=(17, 21))) is severity


def test_spark_is_started_only_if_there_is_something_to_start() -> None:
    started: list[bool] = []
    assert worst(SparkCheck(version="4", start=None, subject="s")) is Severity.INFO
    assert worst(SparkCheck(version="4", start=lambda: started.append(True), subject="s")) is Severity.OK
    assert started == [True]


def test_jars(tmp_path: Path) -> None:
    jar = tmp_path / "a.jar"
    jar.touch()
    assert worst(JarsCheck(jars=[str(jar), f"file://{jar}", "https://example/b.jar"])) is Severity.OK
    (found,) = said(JarsCheck(jars=[str(jar), str(tmp_path / "b.jar")]), Severity.ERROR)
    assert "b.jar" in found.message


def test_packages() -> None:
    good = Requirement(package="a", wanted=">=1", installed="2", fits=True)
    old = Requirement(package="b", wanted=">=3", installed="2", fits=False)
    gone = Requirement(package="c", wanted="", installed=None, fits=False)

    def checked(*found: Requirement) -> Callable[[], list[Requirement]]:
        return lambda: list(found)

    assert worst(PackagesCheck(requirements=checked(good), subject="s")) is Severity.OK
    errors = said(PackagesCheck(requirements=checked(good, old, gone), subject="s"), Severity.ERROR)
    assert [one.message for one in errors] == ["b is 2, >=3 is needed", "c is not installed, any version is needed"]
    assert errors[0].remedy == "pip install 'b>=3'"


def test_a_configuration_without_streams_or_with_a_secret_in_the_file() -> None:
    assert worst(ConfigurationCheck(subject="f", streams=1, secrets_in_file=[])) is Severity.OK
    empty, secret = said(
        ConfigurationCheck(subject="f", streams=0, secrets_in_file=["store.secret_key"]), Severity.WARNING
    )
    assert "icehaul init" in empty.remedy
    assert "ICEHAUL_STORE__SECRET_KEY" in secret.remedy


# ------------------------------------------------------------------------------ events that ClickHouse makes


def _refreshed(exception: str = "", seconds: float = 0) -> EventRefresh:
    return EventRefresh(view="e.ticks", exception=exception, duration=timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("refreshes", "severities"),
    [
        ((), []),
        ((_refreshed(), _refreshed()), [Severity.OK]),
        ((_refreshed(), _refreshed("Code: 60. No table\nat")), [Severity.WARNING]),
        ((_refreshed(seconds=30.01),), [Severity.WARNING]),
    ],
)
def test_views_that_fail_or_wait_for_the_broker_in_vain_are_named(
    refreshes: Sequence[EventRefresh], severities: list[Severity]
) -> None:
    check = EventViewsCheck(refreshes=lambda: refreshes, timeout=timedelta(seconds=30))
    found = list(check.run())
    assert [one.severity for one in found] == severities
    assert all(
        "e.ticks" in one.message and "\n" not in one.message for one in found if one.severity is Severity.WARNING
    )
