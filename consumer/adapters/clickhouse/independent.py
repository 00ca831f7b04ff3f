"""The statement by which anybody compares both tiers of a stream in ClickHouse, without icehaul."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from string import Template

from consumer.adapters.clickhouse.client import ClickHouseConnection
from consumer.adapters.clickhouse.files import FILE_SETTINGS, FileReader
from consumer.domain.clickhouse_sql import quote_name, quote_text, read_table
from consumer.domain.fingerprint import EMPTY
from consumer.domain.late_query import within
from consumer.domain.mapping import TableMapping
from consumer.domain.phrasing import counted, instant_text
from consumer.domain.unit_query import (
    DISTRIBUTED_SETTINGS,
    READ_SETTINGS,
    file_rows,
    file_structure,
    window_condition,
    wire_rows,
)
from consumer.domain.window import EVER, Window
from consumer.service.verify import Look
from consumer.settings.connections import ClickHouseSettings, StoreSettings

_FILES_AT_ONCE = 64
"""Files that one table function names: all of them as alternatives in one address."""

_KEYS = ("{store_key:String}", "{store_secret:String}")

_GIVE_KEYS = (
    "The store's keys are parameters: --param_store_key=… --param_store_secret=… of clickhouse-client, or"
    " param_store_key=… and param_store_secret=… in the address of a request."
)


class IndependentStatement:
    """Writes the statement; no secret stands in it."""

    def __init__(self, settings: ClickHouseSettings, store: StoreSettings) -> None:
        self._connection = ClickHouseConnection(settings, READ_SETTINGS)
        self._clickhouse = settings
        self._files = FileReader(settings, store)

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def write(self, look: Look, mapping: TableMapping) -> str:
        """Return the statement that compares what a look has seen."""
        stream, target = look.stream, look.target
        dropped = sum((one.fingerprint for one in look.dropped if _inside(one.window, look.within)), EMPTY)
        where = " OR ".join(window_condition(stream, mapping, one) for one in look.inside) or "0"
        text = resources.files(__package__).joinpath("sql", "independent_check.sql").read_text("utf-8")
        return (
            Template(text)
            .substitute(
                stream=stream.name,
                source=read_table(stream.source),
                target=str(stream.target),
                snapshot="-" if target is None or target.snapshot_id is None else str(target.snapshot_id),
                files=counted(len(look.paths), "data file"),
                range=", ".join(f"{instant_text(one.lower)} up to {instant_text(one.upper)}" for one in look.inside),
                parameters=self._parameters(),
                digest=mapping.digest_sql(),
                file_digest=mapping.file_digest_sql(),
                hot=wire_rows(mapping, f"{read_table(stream.source)} WHERE {where}"),
                cold=self._cold(look, mapping),
                dropped_rows=str(dropped.rows),
                dropped_digest=quote_text(str(dropped.digest)),
                settings=", ".join(f"{name} = {_literal(value)}" for name, value in self._settings().items()),
            )
            .rstrip()
        )

    def _cold(self, look: Look, mapping: TableMapping) -> str:
        structure = file_structure(mapping)
        urls = map(self._files.url, look.paths)
        queries = [file_rows(mapping, self._source(chunk, structure)) for chunk in _chunks(urls)]
        if not queries:
            return f"{wire_rows(mapping, read_table(look.stream.source))} WHERE 0"
        if look.within != EVER:
            condition = within(look.stream, mapping, look.within)
            queries = [f"SELECT * FROM ({query}) WHERE {condition}" for query in queries]
        return " UNION ALL ".join(queries)

    def _source(self, urls: Sequence[str], structure: str) -> str:
        """Return the table function that reads files: alternatives in braces, after the folder that they share."""
        folder = _shared(urls)
        names = ",".join(url.removeprefix(folder) for url in urls)
        url = urls[0] if len(urls) == 1 else f"{folder}{{{names}}}"
        if self._clickhouse.store_collection is not None:
            given = f"url = {quote_text(url)}, format = 'Parquet', structure = {quote_text(structure)}"
            return f"s3({quote_name(self._clickhouse.store_collection)}, {given})"
        keys = _KEYS if self._files.keys else ()
        return f"s3({', '.join((quote_text(url), *keys, quote_text('Parquet'), quote_text(structure)))})"

    def _parameters(self) -> str:
        if self._clickhouse.store_collection is not None:
            return f"The store's keys are those of the server's named collection {self._clickhouse.store_collection}."
        return _GIVE_KEYS if self._files.keys else "The server reads the store with what its environment offers."

    def _settings(self) -> Mapping[str, str | int]:
        wanted = {**READ_SETTINGS, **FILE_SETTINGS}
        if self._clickhouse.cluster is not None:
            wanted |= DISTRIBUTED_SETTINGS
        known = self._connection.known(wanted)
        return {name: value for name, value in known.items() if not name.startswith("output_format_")}


def _inside(window: Window, other: Window) -> bool:
    return other.lower <= window.lower and window.upper <= other.upper


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else quote_text(value)


def _shared(urls: Sequence[str]) -> str:
    """Return the folder that addresses share."""
    folder = urls[0].rpartition("/")[0] + "/"
    while not all(url.startswith(folder) for url in urls):
        folder = folder.rstrip("/").rpartition("/")[0] + "/"
    return folder


def _chunks(urls: Iterator[str]) -> Iterator[list[str]]:
    """Put addresses together, but for those with a comma, which would end an alternative."""
    chunk: list[str] = []
    for url in urls:
        if "," in url:
            yield [url]
            continue
        chunk.append(url)
        if len(chunk) == _FILES_AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
