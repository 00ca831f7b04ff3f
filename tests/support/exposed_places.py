"""Places where a secret might be seen by somebody who was not given it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg import sql
from pyarrow.fs import FileSelector, S3FileSystem

from consumer.adapters.kafka.codec import raw_headers
from consumer.adapters.kafka.consumer import KafkaMessage

_SPARK_PARTS = ("environment", "jobs", "stages", "executors", "storage/rdd", "executors/driver/threads")
_SPARK_PAGES = ("environment", "jobs", "stages", "executors")


def of_processes(pids: Iterable[int], kind: str) -> str:
    """Return the environments (``environ``) or command lines (``cmdline``) of processes."""
    said = []
    for pid in pids:
        with suppress(OSError):
            said.append(Path(f"/proc/{pid}/{kind}").read_bytes().replace(b"\0", b"\n").decode("utf-8", "replace"))
    return "\n".join(said)


def pages(urls: Iterable[str]) -> str:
    """Return what a browser would be shown."""
    return "\n".join(map(_page, urls))


def spark_pages(interface: str) -> str:
    """Return everything that Spark's interface tells of its only application, as data and as pages."""
    (application,) = json.loads(_page(f"{interface}/api/v1/applications"))
    data = [f"{interface}/api/v1/applications/{application['id']}/{part}" for part in _SPARK_PARTS]
    return pages([*data, *(f"{interface}/{part}/" for part in _SPARK_PAGES)])


def letters(messages: Sequence[KafkaMessage]) -> str:
    """Return dead letters with their headers."""
    return "\n".join(_text(part) for message in messages for part in _parts(message))


def _parts(message: KafkaMessage) -> Iterator[object]:
    yield from (message.key(), message.value())
    for name, content in raw_headers(message):
        yield from (name, content)


def _text(part: object) -> str:
    return part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part)


def rows(dsn: str) -> str:
    """Return every row of every table of a database."""
    found = []
    with psycopg.connect(dsn) as connection:
        tables = connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in tables.fetchall():
            query = sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(table))
            found += [f"{table}: {row[0]}" for row in connection.execute(query).fetchall()]
    return "\n".join(found)


def objects(store: S3FileSystem, folder: str) -> str:
    """Return the bytes of all objects below a folder: metadata, manifests and data files of tables."""
    files = [info for info in store.get_file_info(FileSelector(folder, recursive=True)) if info.is_file]
    return "\n".join(store.open_input_file(info.path).read().decode("latin-1") for info in files)


def texts(paths: Iterable[Path]) -> str:
    """Return files with their names, whatever they hold."""
    return "\n".join(f"{path.name}\n{path.read_bytes().decode('utf-8', 'replace')}" for path in sorted(paths))


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - a page of our own on this machine
        return str(answer.read().decode("utf-8", "replace"))
