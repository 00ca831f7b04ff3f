"""Renaming, removing and moving streams on an operator's word: looked at first, done under the stream's lease."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from consumer.domain.errors import ConfigurationError, DivergenceError
from consumer.domain.stream import Stream, TableName, check_identifier
from consumer.failpoints.acting import Failpoints
from consumer.ports import Catalog, Claim, Ledger, StreamRecord
from consumer.service.lease import LeaseKeeper
from consumer.service.registry.ports import Register

_LONGEST = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of one stream, done or only looked at.

    Attributes:
        done: what was changed in ledger and catalog, or would be: one sentence each.
        follow: what the operator has to do besides: one sentence each.
        counts: how many rows the ledger has of the stream, by what they are.
    """

    stream: str
    dry: bool
    done: Sequence[str]
    follow: Sequence[str]
    counts: Mapping[str, int]


class StreamChanges:
    """Changes the register of streams; ``streams`` are the configured ones."""

    def __init__(
        self,
        *,
        streams: Mapping[str, Stream],
        ledger: Ledger,
        catalog: Catalog,
        register: Register,
        owner: str,
        lease: timedelta,
        failpoints: Failpoints,
    ) -> None:
        self._streams = streams
        self._ledger = ledger
        self._catalog = catalog
        self._register = register
        self._owner = owner
        self._lease = lease
        self._failpoints = failpoints

    def rename(self, old: str, new: str, *, dry: bool) -> Change:
        """Give a stream another name; ids, history and table stay.

        Raises:
            ConfigurationError: if a name is wrong, unknown or taken.
            LeaseHeldError: if somebody works on the stream, naming owner and expiry.
            StreamError, TransientError: as ledger and catalog raise them.
        """
        try:
            check_identifier("NEW", new)
        except ValueError as error:
            raise ConfigurationError(str(error), remedy="choose another name") from None
        self._known(old)
        if new in self._ledger.read([new]):
            raise ConfigurationError(
                f"NEW: the ledger has a stream {new!r} already", remedy="choose another name; see: icehaul stream list"
            )
        target = self._configured(old, new).target
        counts = self._counts(old)
        if not dry:
            with self._failpoints.around("stream.rename"):
                self._under_lease(old, lambda claim: self._register.rename(claim, new, target), known_as=new)
        downstream = sorted(one.name for one in self._streams.values() if old in one.upstreams)
        return Change(
            stream=old,
            dry=dry,
            done=[
                f"the ledger's rows of {old} become those of {new}; batch ids and snapshots stay as they are",
                f"events that wait in the ledger for {old}, or name it as their upstream, name {new}",
                f"the property icehaul.stream of the table {target} names {new}",
            ],
            follow=[
                f"in the configuration: name: {old} → name: {new}",
                *(f"in the configuration, upstreams of {one}: {old} → {new}" for one in downstream),
                f"restart consumers and emitters with it; events for {old} that stand in Kafka become dead letters",
                f"the next tick of {new} makes up for them",
                "dashboards and alerts: series of metrics go on under the new name",
            ],
            counts=counts,
        )

    def remove(self, name: str, *, purge: bool, dry: bool) -> Change:
        """Take a stream out of the ledger; its table and all files stay.

        Raises:
            ConfigurationError: if it is unknown, or another stream waits for it.
            LeaseHeldError: if somebody works on the stream, naming owner and expiry.
            StreamError, TransientError: as ledger and catalog raise them.
        """
        record = self._known(name)
        downstream = sorted(one.name for one in self._streams.values() if name in one.upstreams)
        if downstream:
            raise ConfigurationError(
                f"STREAM: {', '.join(downstream)} would wait for {name} for ever: it is named under upstreams",
                remedy="take it out of their upstreams in the configuration first",
            )
        remains = _remains(name, record.epoch + 1)
        counts = self._counts(name)

        def change(claim: Claim) -> None:
            if purge:
                self._register.purge(claim)
            else:
                self._register.archive(claim, _remains(name, claim.epoch))

        if not dry:
            with self._failpoints.around("stream.remove"):
                self._under_lease(name, change)
        stream = self._streams.get(name)
        table = "its table" if stream is None else f"the table {stream.target}"
        kept = "are deleted" if purge else f"are kept under the name {remains}, which no stream takes for its own"
        return Change(
            stream=name,
            dry=dry,
            done=[f"the ledger's rows of {name} {kept}", f"{table} and all of its files stay as they are"],
            follow=[
                f"in the configuration: take out the stream {name}, and restart consumers and emitters",
                f"{table} is read as before; another engine drops it with its files (Spark: DROP TABLE … PURGE)",
                f"a new stream of this name needs another target: {table} proves batches that its ledger does not know",
            ],
            counts=counts,
        )

    def move(self, name: str, new: TableName, *, dry: bool) -> Change:
        """Give a stream's table another name in the catalog; its UUID, files and history stay.

        Raises:
            ConfigurationError: if the stream is unknown, or a table or stream has the name.
            LeaseHeldError: if somebody works on the stream, naming owner and expiry.
            StreamError, TransientError: as ledger and catalog raise them.
        """
        record = self._known(name)
        old = self._configured(name).target
        owner = next((one.name for one in self._streams.values() if one.target == new), None)
        if owner is not None or self._catalog.inspect(new) is not None:
            whose = "" if owner is None else f", which the stream {owner} writes to"
            raise ConfigurationError(f"--to: there is a table {new} already{whose}", remedy="choose another name")
        found = self._catalog.inspect(old)
        if found is None or found.uuid != record.target_uuid:
            raise DivergenceError(
                f"stream {name}: the table {old} is not the one that the ledger knows",
                remedy="name the table that it stands under now as the stream's target, and run the command again",
            )
        if not dry:
            with self._failpoints.around("stream.move"):
                self._under_lease(name, lambda claim: self._register.move(claim, old, new))
        return Change(
            stream=name,
            dry=dry,
            done=[
                f"the catalog's table {old} is called {new}; its UUID {found.uuid}, snapshots and files stay",
                f"its files stay under {found.location}",
            ],
            follow=[
                f"in the configuration, target of {name}: {old} → {new}; restart consumers",
                f"views over both tiers: run `icehaul view {name}` again",
                f"readers name {new} from now on; a query that is under way ends on the old snapshot",
            ],
            counts=self._register.counts(name),
        )

    def _known(self, name: str) -> StreamRecord:
        record = self._ledger.read([name]).get(name)
        if record is None:
            raise ConfigurationError(
                f"STREAM: the ledger has no stream {name!r}",
                remedy="see `icehaul stream list`; a stream that nobody has worked on is changed in the configuration",
            )
        return record

    def _counts(self, name: str) -> Mapping[str, int]:
        """Count the rows of a stream whose name is about to go; its quarantine tables are found by that name."""
        counts = self._register.counts(name)
        if counts["open_drops"]:
            raise ConfigurationError(
                f"STREAM: {counts['open_drops']:,} drops of {name} from the hot tier have not ended, and may stand in"
                " quarantine tables that are named after it",
                remedy=f"finish them first: run `icehaul drop-hot {name}` again",
            )
        return counts

    def _configured(self, *names: str) -> Stream:
        """Return the stream as it is configured, under its old name or its new one."""
        for name in names:
            if name in self._streams:
                return self._streams[name]
        raise ConfigurationError(
            f"STREAM: {' and '.join(names)} is not configured, so nobody knows its target",
            remedy="configure the stream under one of these names, and run the command again",
        )

    def _under_lease(self, name: str, change: Callable[[Claim], None], *, known_as: str | None = None) -> None:
        claim = self._ledger.claim(name, self._owner, self._lease)
        stream = self._streams.get(name) or self._streams.get(known_as or name)
        with LeaseKeeper(self._ledger, claim, self._lease, on_lost=lambda: None) as keeper:
            if stream is not None:
                # A publish that is not settled names the stream and its table as they were.
                claim = self._catalog.heal(stream, claim, final=True)
            keeper.check()
            change(claim)


def _remains(name: str, epoch: int) -> str:
    """Return the name under which what is left of a stream is kept; each removal has another epoch."""
    suffix = f"__removed_{epoch}"
    return f"{name[: _LONGEST - len(suffix)]}{suffix}"
