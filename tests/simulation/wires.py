"""Between the service and the servers: every call of a port is a point, and may fail there in every way it can."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from consumer.domain.errors import (
    BrokerUnavailableError,
    CheckFailedError,
    IcehaulError,
    LedgerUnavailableError,
    SourceUnavailableError,
    StoreUnavailableError,
    UnknownCommitError,
)
from consumer.failpoints.acting import Mode, refusal
from consumer.failpoints.effect import Component
from consumer.failpoints.effects import POINTS
from consumer.testing.database import CommitUnderWayError
from tests.simulation.figures import NOT_SIMULATED
from tests.simulation.kernel import Kernel

UNAVAILABLE: Mapping[str, type[IcehaulError]] = {
    "source": SourceUnavailableError,
    "ledger": LedgerUnavailableError,
    "store": StoreUnavailableError,
    "broker": BrokerUnavailableError,
}
"""What a server's absence is told by."""

_SERVERS = {
    "source": ("source",),
    "ledger": ("ledger",),
    "emissions": ("ledger",),
    "backfills": ("ledger",),
    "repairs": ("ledger",),
    "attempts": ("ledger",),
    "files": ("ledger", "store"),
    "rewinds": ("ledger",),
    "maintenance": ("ledger",),
    "tables": ("ledger", "store"),
    "catalog": ("ledger", "store"),
    "sink": ("broker",),
    "letters": ("broker",),
    "engine": ("source", "store"),
}
"""Which servers a port stands before."""

_COVERED: Mapping[str, frozenset[str]] = {
    "ledger": frozenset(
        {"register", "claim", "renew", "release", "bind", "begin", "stage", "advance", "fail", "halt", "park"}
        | {"outbox", "relayed", "record_comparison"}
    ),
    "backfills": frozenset({"request", "cancel", "skip", "pass_over"}),
    "repairs": frozenset({"repair"}),
    "maintenance": frozenset({"note", "abandon"}),
    "emissions": frozenset({"acquire", "renew", "release", "record_tick", "record_emissions"}),
    "sink": frozenset({"send"}),
    "letters": frozenset({"send"}),
    "engine": frozenset({"write"}),
}
"""Calls that the service passes failpoints of its own before and after."""

_FAULTS: Mapping[str, tuple[str, ...]] = {
    "batch.before-advance": ("raise", "unknown: lost"),
    "publish.before-send": ("raise", "unknown: lost", "unknown: under way"),
    "publish.before-commit": ("raise", "unknown: lost", "unknown: under way"),
    "task.before-close": ("raise", "corrupt"),
    "catalog.check": ("unavailable", "mismatch"),
    "member.commit": ("answer lost",),
    "member.commit_now": ("answer lost",),
}


def faults(point: str) -> tuple[str, ...]:
    """Return what can go wrong at a point, besides that its process dies or its server is away."""
    if point in _FAULTS:
        return _FAULTS[point]
    known = POINTS.get(point)
    if known is not None:
        return tuple(mode for mode in (Mode.RAISE, Mode.APPLY_THEN_RAISE) if refusal(known, mode) is None)
    port = point.partition(".")[0]
    unreliable = {
        "source",
        "catalog",
        "ledger",
        "emissions",
        "backfills",
        "repairs",
        "rewinds",
        "maintenance",
        "tables",
    }
    return ("unavailable",) if port in unreliable else ()


_READS = (
    "source.contents",
    "source.tally",
    "source.late_rows",
    "source.extent",
    "source.histogram",
    "source.fingerprint_files",
    "catalog.ensure",
    "catalog.check",
)

_DELICATE = ("publish.before-commit", "publish.after-commit", "batch.before-advance", "batch.after-advance")

_BROKEN_DISKS = ("task.before-close", "catalog.check")

AIMS = (
    *(point for point in POINTS if point not in NOT_SIMULATED),
    *_READS,
    *_DELICATE * 4,
    *_BROKEN_DISKS * 4,
)
"""Points that a rule may aim at: what seldom happens by chance happens often, and around commits most often."""


TWO_STEPS = tuple(point for point, known in POINTS.items() if known.effect.component is Component.TWO_STEP)
"""Points of publishes to a catalog outside of the ledger's database."""

TWO_STEP_AIMS = (
    *TWO_STEPS * 2,
    *("publish.before-send", "publish.after-send") * 8,
    *(aim for aim in AIMS if aim not in {"publish.before-commit", "publish.after-commit"}),
)
"""Points that a rule may aim at in such runs; of the others those that come last are left to chance."""


class Network:
    """What connects the processes with the servers. ``down`` names the servers that can't be reached."""

    def __init__(self, kernel: Kernel, counts: Counter[str]) -> None:
        self._kernel = kernel
        self.counts = counts
        self.down: set[str] = set()

    def wire(self, port: str, target: object) -> Any:
        """Return a stand-in for a port whose calls pass a point each."""
        return _Wire(self, port, target)

    def hit(self, point: str) -> str | None:
        """Pass a failpoint, and fail there if that is ordered; return an order that the caller sees to."""
        order = self._pass(point)
        if order is None:
            return None
        effect = POINTS[point].effect
        match order:
            case Mode.RAISE:
                raise effect.fails(f"ordered at {point}", remedy="none")
            case Mode.APPLY_THEN_RAISE if not isinstance(effect.lost, str):
                raise effect.lost(f"ordered at {point}", remedy="none")
            case "unknown: under way":
                raise CommitUnderWayError(f"ordered at {point}", remedy="none")
            case "unknown: lost":
                raise UnknownCommitError(f"ordered at {point}", remedy="none")
            case _:
                return order

    def call(self, port: str, method: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Make a call of a port."""
        order = None if method in _COVERED.get(port, ()) else self._pass(f"{port}.{method}")
        self._check_up(port, method)
        match order:
            case "unavailable":
                raise UNAVAILABLE[_SERVERS[port][0]](f"ordered at {port}.{method}", remedy="none")
            case "mismatch":
                raise CheckFailedError(f"ordered at {port}.{method}", remedy="none")
            case "answer lost":
                function.__self__.answer_lost = True  # type: ignore[attr-defined]
        return function(*args, **named)

    def _pass(self, point: str) -> str | None:
        order = self._kernel.point(point)
        self.counts[f"point {point}"] += 1
        if order is not None:
            self.counts[f"fault {order} at {point}"] += 1
        return order

    def _check_up(self, port: str, method: str) -> None:
        for server in _SERVERS.get(port, ()):
            needed = method in {"write", "check", "publish"} if server == "store" else method != "cancel"
            if server in self.down and needed:
                self.counts[f"outage {server}"] += 1
                raise UNAVAILABLE[server](f"the {server} is down", remedy="start it")


class _Wire:
    """Methods of a port, each made when it is first used."""

    def __init__(self, network: Network, port: str, target: object) -> None:
        self._network = network
        self._port = port
        self._target = target

    def __getattr__(self, method: str) -> Callable[..., Any]:
        function = getattr(self._target, method)
        network, port = self._network, self._port

        def call(*args: Any, **named: Any) -> Any:
            return network.call(port, method, function, *args, **named)

        setattr(self, method, call)
        return call
