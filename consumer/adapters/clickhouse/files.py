"""Data files on the store, as ClickHouse's ``s3`` table function reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from urllib.parse import quote, urlsplit

from consumer.domain.clickhouse_sql import quote_name, quote_text
from consumer.domain.errors import ConfigurationError
from consumer.domain.mapping import TableMapping
from consumer.settings.connections import ClickHouseSettings, StoreSettings

FILE_SETTINGS: dict[str, str | int] = {
    # A column or value that a file lacks is a difference, never a default.
    "input_format_parquet_allow_missing_columns": 0,
    "input_format_null_as_default": 0,
    "input_format_parquet_case_insensitive_column_matching": 0,
    "s3_skip_empty_files": 0,
    "s3_ignore_file_doesnt_exist": 0,
    "s3_throw_on_zero_files_match": 1,
    # The default of 500 attempts keeps a query on an unreachable store waiting for hours.
    "s3_retry_attempts": 5,
}
"""Settings for reading files; those that a server does not know are left out."""

FILE_PATH = "_path"
"""What ClickHouse calls bucket and key of the file that a row is from; a column of this name hides it."""

_QUERY_BYTES = 192 * 1024
"""Below ClickHouse's default ``max_query_size`` of 256 KiB."""
_MOST_FILES = 64
_SCHEMES = ("s3://", "s3a://", "s3n://")
_PLAIN = re.compile(r"[A-Za-z0-9/_=.-]+")
"""Keys that mean the same inside of a glob and outside."""


@dataclass(frozen=True, slots=True)
class FileReader:
    """Writes ``s3(…)`` calls for data files; the secret key is in their text, unless a named collection has it."""

    clickhouse: ClickHouseSettings
    store: StoreSettings

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not appear in messages."""
        return self.keys[1:]

    @property
    def keys(self) -> tuple[str, ...]:
        """Access key and secret with which the server reads; nothing where it uses what its environment offers."""
        own = self.clickhouse
        for access, secret in (
            (own.store_access_key, own.store_secret_key),
            (self.store.access_key, self.store.secret_key),
        ):
            if access is not None and secret is not None:
                return access, secret.get_secret_value()
        return ()

    def source(self, path: str, structure: str) -> str:
        """Return the table function that reads one file."""
        return self._call(self.url(path), structure)

    def _call(self, url: str, structure: str) -> str:
        if self.clickhouse.store_collection is not None:
            named = {"url": url, "format": "Parquet", "structure": structure}
            given = ", ".join(f"{name} = {quote_text(value)}" for name, value in named.items())
            return f"s3({quote_name(self.clickhouse.store_collection)}, {given})"
        arguments = [url, *self.keys, "Parquet", structure]
        return f"s3({', '.join(quote_text(argument) for argument in arguments)})"

    def sources(self, paths: Sequence[str], structure: str) -> Iterator[tuple[Sequence[str], str]]:
        """Yield files, as many as one table function should read, with that.

        Servers read hundreds of small files several times as fast by one table function as by one for each.
        """
        for together, alike in groupby(sorted(paths, key=_bucket_of_plain), key=_bucket_of_plain):
            files = list(alike)
            most = _MOST_FILES if together else 1
            for start in range(0, len(files), most):
                chunk = files[start : start + most]
                yield chunk, self._call(self._glob(chunk), structure)

    def _glob(self, paths: Sequence[str]) -> str:
        """Return the address of several files of one bucket, which needs no list of the bucket to be read."""
        first, *others = (self.url(path) for path in paths)
        if not others:
            return first
        keys = [path.partition("://")[2].partition("/")[2] for path in paths]
        return f"{first.removesuffix(keys[0])}{{{','.join(keys)}}}"

    def url(self, path: str) -> str:
        """Return the address of a file (``s3://bucket/key``) as the ClickHouse server reaches it.

        Raises:
            ConfigurationError: if it is no path on the store.
        """
        scheme = next((scheme for scheme in _SCHEMES if path.startswith(scheme)), None)
        bucket, _, key = path.removeprefix(scheme or "").partition("/")
        if scheme is None or not bucket or not key:
            raise ConfigurationError(
                f"{path!r} is no path of a data file on the object store",
                remedy="keep the target's location under an s3:// warehouse",
            )
        key = quote(key, safe="/=+-_.,:@()!~'")
        endpoint = self.clickhouse.store_endpoint or self.store.endpoint
        if endpoint is None:
            return f"https://{bucket}.s3.{self.store.region}.amazonaws.com/{key}"
        if self.store.path_style:
            return f"{endpoint.rstrip('/')}/{bucket}/{key}"
        parts = urlsplit(endpoint)
        return f"{parts.scheme}://{bucket}.{parts.netloc}/{key}"


def hides_files(mapping: TableMapping) -> bool:
    """Return whether a column hides which file a row is from."""
    return any(column.name == FILE_PATH for column in mapping.columns)


def _bucket_of_plain(path: str) -> str:
    """Return the scheme and bucket of a file that can be read together with others of these; nothing for others."""
    bucket, _, key = path.partition("://")[2].partition("/")
    return f"{path.partition('://')[0]}://{bucket}" if _PLAIN.fullmatch(key) else ""


def chunked(queries: Sequence[str]) -> Iterator[str]:
    """Join queries with UNION ALL, as many at a time as the server parses."""
    chunk: list[str] = []
    size = 0
    for query in queries:
        if chunk and (size + len(query) > _QUERY_BYTES or len(chunk) == _MOST_FILES):
            yield " UNION ALL ".join(chunk)
            chunk, size = [], 0
        chunk.append(query)
        size += len(query.encode()) + len(" UNION ALL ")
    if chunk:
        yield " UNION ALL ".join(chunk)
