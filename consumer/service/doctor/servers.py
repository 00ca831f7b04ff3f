"""Checks of servers: their versions, their clocks, the database's settings and rights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from consumer.service.doctor.finding import Statement, error, info, ok, warning

OLDEST_CLICKHOUSE = (24, 3)
OLDEST_POSTGRES = 14
CLOCK_WARNING = timedelta(seconds=2)
CLOCK_ERROR = timedelta(seconds=60)
_UTC = frozenset({"UTC", "Etc/UTC", "GMT"})


class HotServer(Protocol):
    """What the check wants to know of ClickHouse."""

    @property
    def version(self) -> str:
        """The server's version."""
        ...

    @property
    def time_zone(self) -> str:
        """The server's time zone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickHouseCheck:
    """Address, credentials, version and time zone."""

    subject: str
    server: Callable[[], HotServer]
    name: str = "clickhouse"

    def run(self) -> Iterator[Statement]:
        """Ask the server who it is."""
        found = self.server()
        numbers = re.match(r"(\d+)\.(\d+)", found.version)
        oldest = ".".join(map(str, OLDEST_CLICKHOUSE))
        if numbers is None:
            yield warning(f"its version {found.version!r} can't be read", f"make sure that it is {oldest} or newer")
        elif (int(numbers[1]), int(numbers[2])) < OLDEST_CLICKHOUSE:
            yield error(f"version {found.version} is too old", f"upgrade ClickHouse to {oldest} LTS or newer")
        else:
            yield ok(f"reachable, the credentials work, version {found.version}")
        if found.time_zone not in _UTC:
            yield info(
                f"the server's time zone is {found.time_zone}: a partition key on a time column without a zone follows"
                " it, and such partitions are no UTC days",
                "nothing has to be done: windows follow UTC; partition closes are then sent by content alone",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockCheck:
    """How far a server's clock is from this machine's."""

    subject: str
    server_now: Callable[[], datetime]
    local_now: Callable[[], datetime] = lambda: datetime.now(UTC)
    name: str = "clock"

    def run(self) -> Iterator[Statement]:
        """Compare the clocks, taking the middle of the request as the instant of the answer."""
        self.server_now()  # connects, so that the second request measures the clock and not the way
        before = self.local_now()
        there = self.server_now()
        after = self.local_now()
        offset = there - (before + (after - before) / 2)
        seconds = offset.total_seconds()
        message = f"{abs(seconds):.3f} s {'ahead of' if seconds >= 0 else 'behind'} this machine"
        remedy = "let NTP (chrony, systemd-timesyncd) set the clocks of both machines"
        if abs(offset) > CLOCK_ERROR:
            yield error(f"{message}: leases and settle lags can't be trusted", remedy)
        elif abs(offset) > CLOCK_WARNING:
            yield warning(message, remedy)
        else:
            yield ok(message)


class LedgerFacts(Protocol):
    """What the check wants to know of Postgres."""

    @property
    def version(self) -> int:
        """The server's version."""
        ...

    @property
    def in_recovery(self) -> bool:
        """Whether it is a standby."""
        ...

    @property
    def settings(self) -> Mapping[str, str]:
        """Its settings as a new session finds them."""
        ...

    @property
    def lacking(self) -> Mapping[str, Sequence[str]]:
        """The rights that the user lacks, by table."""
        ...

    @property
    def grants(self) -> Sequence[str]:
        """The statements that give them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresCheck:
    """Address, credentials, version, durability, time-outs, migrations and rights."""

    subject: str
    facts: Callable[[], LedgerFacts]
    pending: Callable[[], Sequence[object]]
    lease: timedelta
    name: str = "postgres"

    def run(self) -> Iterator[Statement]:
        """Ask for everything at once, then for the migrations."""
        found = self.facts()
        major = found.version // 10_000
        if major < OLDEST_POSTGRES:
            yield error(f"version {major} is too old", f"upgrade Postgres to {OLDEST_POSTGRES} or newer")
        else:
            yield ok(f"reachable, the credentials work, version {major}")
        if found.in_recovery:
            yield error("the server is a standby, which takes no writes", "name the primary in postgres.dsn")
        yield from _durability(found.settings)
        yield from _timeouts(found.settings, self.lease)
        yield from _rights(found)
        missing = self.pending()
        if missing:
            yield error(f"the ledger lacks {', '.join(map(str, missing))}", "run `icehaul migrate`")
        else:
            yield ok("the ledger's migrations are current")


def _durability(settings: Mapping[str, str]) -> Iterator[Statement]:
    for name, loss in (
        ("fsync", "a crash of the machine may lose or damage published batches"),
        ("full_page_writes", "a crash of the machine may damage the ledger"),
    ):
        if settings.get(name) == "off":
            yield warning(f"{name} is off: {loss}", f"set {name} = on in postgresql.conf, and reload")
    commit = settings.get("synchronous_commit", "on")
    if commit in {"off", "local", "remote_write"}:
        yield info(f"synchronous_commit is {commit}; icehaul's own transactions use on")


def _timeouts(settings: Mapping[str, str], lease: timedelta) -> Iterator[Statement]:
    transaction = _milliseconds(settings.get("transaction_timeout"))
    if transaction is not None and timedelta(milliseconds=transaction) < lease:
        yield warning(
            f"transaction_timeout is {transaction} ms, shorter than the lease of {lease.total_seconds():g} s: publishes"
            " that wait for a lock are ended early and tried again",
            "ALTER ROLE … SET transaction_timeout = 0 for icehaul's user",
        )
    idle = _milliseconds(settings.get("idle_session_timeout"))
    if idle is not None:
        yield info(f"idle_session_timeout is {idle} ms: idle connections are closed, and made again when needed")


def _milliseconds(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdecimal() and int(value) > 0 else None


def _rights(found: LedgerFacts) -> Iterator[Statement]:
    if found.lacking:
        lacking = [f"{', '.join(privileges)} on {table}" for table, privileges in found.lacking.items()]
        yield error(
            f"the user lacks what consumers and emitters need: {'; '.join(lacking)}",
            f"run as the tables' owner: {'; '.join(found.grants)}",
        )
