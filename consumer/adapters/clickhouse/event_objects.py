"""The objects by which ClickHouse makes icehaul's events itself: the statements of ``schemas/clickhouse``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from importlib import resources
from string import Template
from typing import Protocol

from consumer.adapters.clickhouse.introspection import ClickHouseServer
from consumer.adapters.clickhouse.inventory import Layout
from consumer.domain.clickhouse_sql import quote_name, quote_text
from consumer.domain.duration import format_duration
from consumer.domain.errors import ConfigurationError
from consumer.domain.event_factory import EVENT_NAMESPACE
from consumer.domain.stream import Stream
from consumer.domain.table_facts import EventObject
from consumer.domain.window import END_OF_TIME, MICROSECOND, PartitionBy
from consumer.settings.connections import KafkaSettings
from consumer.settings.emission import EmitterSettings

OWN_COLLECTION = "icehaul_kafka"
"""Named collection that is made with the other objects; any other is the operator's own."""

SOURCE = "/icehaul/clickhouse"
"""CloudEvents ``source`` of these events."""

DELIVERY_TIMEOUT = timedelta(seconds=30)
"""How long a refresh waits for the broker; the server takes messages for sent that nobody has taken by then."""

_OLDEST = (24, 10)
_COMMENT = "icehaul events: "
_NAME_LENGTH = 127
_ACCESS = ("security.", "sasl.", "ssl.")
_OPTION = re.compile(r"[a-z0-9._]+")
_YEAR, _MONTH, _DAY, _HOUR = "toYear(last)", "toMonth(last)", "toDayOfMonth(last)", "toHour(last)"
# Not toStartOfDay and the like: they know no time before 1970 and after 2149.
_PERIOD_END: Mapping[PartitionBy, str] = {
    PartitionBy.YEAR: f"addYears(makeDateTime64({_YEAR}, 1, 1, 0, 0, 0, 0, 6, 'UTC'), 1)",
    PartitionBy.MONTH: f"addMonths(makeDateTime64({_YEAR}, {_MONTH}, 1, 0, 0, 0, 0, 6, 'UTC'), 1)",
    PartitionBy.DAY: f"addDays(makeDateTime64({_YEAR}, {_MONTH}, {_DAY}, 0, 0, 0, 0, 6, 'UTC'), 1)",
    PartitionBy.HOUR: f"addHours(makeDateTime64({_YEAR}, {_MONTH}, {_DAY}, {_HOUR}, 0, 0, 0, 6, 'UTC'), 1)",
}


class Server(Protocol):
    """What has to be known of the server."""

    def server(self) -> ClickHouseServer:
        """Return its version, among others."""
        ...

    def event_objects(self) -> Sequence[EventObject]:
        """Return the objects that exist already."""
        ...


class Layouts(Protocol):
    """What has to be known of source tables."""

    def layout(self, stream: Stream) -> Layout:
        """Say how a stream's source table is cut into partitions."""
        ...


class EventObjects:
    """Writes the statements for the streams of a configuration; changes nothing."""

    def __init__(
        self,
        server: Server,
        layouts: Layouts,
        kafka: KafkaSettings,
        emitter: EmitterSettings,
        *,
        database: str,
        collection: str = OWN_COLLECTION,
    ) -> None:
        self._server = server
        self._layouts = layouts
        self._kafka = kafka
        self._emitter = emitter
        self._database = database
        self._collection = collection
        self._every = max(1, math.ceil(emitter.poll.total_seconds()))

    def create(self, streams: Sequence[Stream]) -> Sequence[str]:
        """Return the statements that make the objects of these streams, and drop those of earlier ones.

        What was found before is remembered.

        Raises:
            ConfigurationError: if the server is too old, or the configuration can't be followed here.
            SourceMissingError, TimeColumnError, AccessDeniedError, SourceUnavailableError
        """
        self._check_server()
        layouts = {stream.name: self._layouts.layout(stream) for stream in streams}
        closing = [stream for stream in streams if layouts[stream.name].partitioned]
        tick = _seconds(self._emitter.tick)
        if not closing and not tick:
            raise ConfigurationError(
                "emitter.tick is 0, and no source table has a partition key: there is no event to send",
                remedy="set emitter.tick, or name streams whose source has partitions",
            )
        own = [f"CREATE DATABASE IF NOT EXISTS {quote_name(self._database)}", *self._own_collection()]
        kept = {"closes"} if closing else set()
        made = [*own, *(self._ticks(streams, tick) if tick else ()), *self._closes(closing, layouts)]
        return [*self._drops(kept), *self._drop_collection(), *made]

    def drop(self) -> Sequence[str]:
        """Return the statements that drop all objects; the database is left."""
        return [*self._drops(set()), *self._drop_collection()]

    def _check_server(self) -> None:
        version = self._server.server().version
        numbers = re.match(r"(\d+)\.(\d+)", version)
        if numbers is not None and (int(numbers[1]), int(numbers[2])) < _OLDEST:
            raise ConfigurationError(
                f"ClickHouse {version} refreshes no view that appends",
                remedy="use ClickHouse 24.10 or newer, or icehaul's own emitter: icehaul emit",
            )

    def _drops(self, kept: set[str]) -> Iterator[str]:
        """Drop views before the tables that they write to."""
        ours = [one for one in self._server.event_objects() if one.database == self._database and one.name not in kept]
        for one in sorted(ours, key=lambda each: (not each.is_view, each.name)):
            yield f"DROP {'VIEW' if one.is_view else 'TABLE'} IF EXISTS {self._name(one.name)} SYNC"

    def _drop_collection(self) -> Iterator[str]:
        if self._collection == OWN_COLLECTION:
            yield f"DROP NAMED COLLECTION IF EXISTS {quote_name(OWN_COLLECTION)}"

    def _own_collection(self) -> Iterator[str]:
        if self._collection != OWN_COLLECTION:
            return
        if secrets := sorted(self._kafka.secret_options):
            raise ConfigurationError(
                f"kafka.secret_options holds {', '.join(secrets)}, and secrets are not printed",
                remedy="make a named collection with them on the server, and give --named-collection NAME;"
                " docs/how-to/let-clickhouse-emit.md shows how",
            )
        options = {name: value for name, value in self._kafka.options.items() if name.startswith(_ACCESS)}
        if wrong := [name for name in options if _OPTION.fullmatch(name) is None]:
            raise ConfigurationError(
                f"kafka.options: {wrong[0]!r} is no name of an option", remedy="write it as librdkafka does"
            )
        yield self._sql(
            "collection",
            brokers=quote_text(self._kafka.bootstrap_servers),
            timeout_ms=str(DELIVERY_TIMEOUT // timedelta(milliseconds=1)),
            options="".join(
                f",\n    `kafka.{name.replace('.', '_')}` = {quote_text(value)}" for name, value in options.items()
            ),
        )

    def _ticks(self, streams: Sequence[Stream], tick: int) -> Iterator[str]:
        yield self._sql("tick_events")
        yield self._sql("ticks", tick=str(tick), streams=_texts(streams))

    def _closes(self, streams: Sequence[Stream], layouts: Mapping[str, Layout]) -> Iterator[str]:
        if not streams:
            return
        yield self._sql("close_events")
        yield self._sql("closes")
        yield from (self._find_closes(stream, layouts[stream.name]) for stream in streams)
        yield self._sql("send_closes", streams=_texts(streams))

    def _find_closes(self, stream: Stream, layout: Layout) -> str:
        return self._sql(
            "find_closes",
            find_closes=self._name(_finder(stream)),
            # Not below a second: a part that is written while the view is refreshed makes its partition too young.
            quiet=str(max(1, math.ceil(max(self._emitter.grace, stream.settle_lag).total_seconds()))),
            time=quote_name(stream.timestamp_column),
            source_table=f"{quote_name(stream.source.database)}.{quote_name(stream.source.table)}",
            database_text=quote_text(stream.source.database),
            table_text=quote_text(stream.source.table),
            source_text=quote_text(str(stream.source)),
            stream_text=quote_text(stream.name),
            cutoff=_cutoff(layout),
            periodic="0" if layout.period is None else "1",
        )

    def _sql(self, statement: str, **parts: str) -> str:
        common = {
            "collection": quote_name(self._collection),
            "topic": quote_text(self._kafka.topic),
            "every": str(self._every),
            "namespace": EVENT_NAMESPACE.hex,
            "source": SOURCE,
            "uuid": _template("event_id").template.strip(),
            "comment": quote_text(f"{_COMMENT}{statement}"),
            **{name: self._name(name) for name in _OBJECTS},
        }
        return _template(statement).substitute({**common, **parts}).strip()

    def _name(self, name: str) -> str:
        return f"{quote_name(self._database)}.{quote_name(name)}"


_OBJECTS = ("tick_events", "close_events", "closes", "ticks", "send_closes")


def _template(name: str) -> Template:
    return Template((resources.files("schemas") / "clickhouse" / f"{name}.sql").read_text("utf-8"))


def _finder(stream: Stream) -> str:
    """Return the name of the view that finds a stream's closes, told apart where streams' names are too long for it."""
    name = f"find_closes_of_{stream.name}"
    if len(name) <= _NAME_LENGTH:
        return name
    return f"{name[: _NAME_LENGTH - 9]}_{sha256(stream.name.encode()).hexdigest()[:8]}"


def _texts(streams: Sequence[Stream]) -> str:
    return ", ".join(quote_text(stream.name) for stream in streams)


def _cutoff(layout: Layout) -> str:
    """Return the expression of a close's cutoff, from the partition's ``last`` instant; see ``period_end``."""
    end = f"toDateTime64('{END_OF_TIME:%Y-%m-%d %H:%M:%S}', 6, 'UTC')"
    if layout.period is None:
        step = f"addMicroseconds(last, {layout.precision // MICROSECOND})"
    else:
        step = _PERIOD_END[layout.period]
    return f"if({_YEAR} >= {END_OF_TIME.year}, {end}, {step})"


def _seconds(tick: timedelta) -> int:
    """Return the distance of boundaries in seconds; the server counts its refreshes from midnight."""
    if tick and (tick % timedelta(seconds=1) or timedelta(days=1) % tick):
        raise ConfigurationError(
            f"emitter.tick is {format_duration(tick)}: ClickHouse refreshes views at seconds counted from midnight",
            remedy="set emitter.tick to whole seconds that a day is a multiple of, such as 15m or 1d; or use icehaul's"
            " own emitter: icehaul emit",
        )
    return tick // timedelta(seconds=1)
