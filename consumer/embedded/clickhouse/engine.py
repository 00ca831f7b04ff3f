"""The engine: one per process and data directory, any number of handles on it.

Traps of chdb that this module keeps away from everything else:

* The database ``default`` is of a local kind whose tables have no UUID: it is replaced by an Atomic one.
* After a failed query, a handle hands the output so far of that query to the next one: it is flushed first.
* A handle runs one statement at a time; a handle is never shared between requests.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chdb

from consumer.domain.errors import EmbeddedStackError
from consumer.embedded.clickhouse.errors import from_engine

TAG_SETTING = "send_logs_source_regexp"
"""Marks a statement in ``system.processes``, so that it can be cancelled: chdb chooses query ids itself. The setting
filters log lines sent to native clients, of which there are none here."""

_LOCAL_DEFAULTS = "SET implicit_select = 0, allow_introspection_functions = 0"
"""What chdb sets differently from a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a statement returned; sizes in bytes, ``elapsed_ns`` in nanoseconds."""

    body: bytes
    result_rows: int
    result_bytes: int
    read_rows: int
    read_bytes: int
    written_rows: int
    written_bytes: int
    elapsed_ns: int


def quote(text: str) -> str:
    """``text`` as a string literal of ClickHouse."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote_name(name: str) -> str:
    """``name`` as an identifier of ClickHouse."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a user may do: what a role of the engine may; ``read_only`` is the user's setting ``readonly = 2``."""

    role: str
    read_only: bool = False


class Handle:
    """One connection to the engine with its own current database, settings and temporary tables."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - chdb has no types
        self._connection = connection

    def run(
        self, sql: bytes | str, *, output_format: str = "TabSeparated", parameters: Mapping[str, str] | None = None
    ) -> Outcome:
        """Run one statement to its end.

        Raises:
            QueryError: with the engine's code.
        """
        statement = sql if isinstance(sql, bytes) else sql.encode("utf-8", "surrogateescape")
        try:
            result = self._connection.query(statement, output_format, params=dict(parameters or {}))
        except RuntimeError as error:
            self._flush()
            raise from_engine(str(error)) from None
        inserted = int(result.rows_written())
        return Outcome(
            body=result.bytes() or b"",
            result_rows=inserted or int(result.rows_read()),
            result_bytes=int(result.bytes_written()) if inserted else int(result.bytes_read()),
            read_rows=int(result.storage_rows_read()) or inserted,
            read_bytes=int(result.storage_bytes_read()) or (int(result.bytes_written()) if inserted else 0),
            written_rows=inserted,
            written_bytes=int(result.bytes_written()),
            elapsed_ns=int(float(result.elapsed()) * 1e9),
        )

    def _flush(self) -> None:
        """Let the output of a failed statement go to a query nobody reads."""
        try:
            self._connection.query("SELECT 1 FORMAT Null", "Null", params={})
        except RuntimeError:
            self.close()

    def apply(self, settings: Mapping[str, str]) -> None:
        """Change settings of this handle, ``readonly`` last since it forbids further changes.

        Raises:
            QueryError: UNKNOWN_SETTING, READONLY or a value's type error.
        """
        changes = [f"{name} = {quote(value)}" for name, value in settings.items() if name != "readonly"]
        if changes:
            self.run(f"SET {', '.join(changes)}")
        if "readonly" in settings:
            self.run(f"SET readonly = {quote(settings['readonly'])}")

    def use(self, database: str) -> None:
        """Change the current database.

        Raises:
            QueryError: UNKNOWN_DATABASE.
        """
        self.run(f"USE {quote_name(database)}")

    def close(self) -> None:
        """Give the handle back; temporary tables go with it."""
        self._connection.close()


class Engine:
    """Owns the data directory until it is closed."""

    def __init__(self, data_dir: Path, config_file: Path | None = None) -> None:
        for path in (data_dir, config_file):
            if set("?&#") & set(str(path)):
                raise EmbeddedStackError(
                    f"The path {str(path)!r} holds one of the characters ? & #",
                    remedy="Choose one without them: chdb reads them as options",
                )
        self._path = str(data_dir) if config_file is None else f"{data_dir}?config-file={config_file}"
        # Without an open handle chdb would shut the engine down.
        self._root = self._connect()
        self._lock = threading.Lock()
        self._make_default_atomic(data_dir)
        self.version = self._scalar("SELECT version()")
        self.timezone = self._scalar("SELECT timezone()")

    def open(self, rights: Rights | None = None) -> Handle:
        """A handle in the state in which a server's new session is, with these rights; with all if none are given."""
        handle = self._connect()
        handle.run(_LOCAL_DEFAULTS)
        if rights is not None:
            handle.run(f"SET ROLE {quote_name(rights.role)}")
            if rights.read_only:
                handle.apply({"readonly": "2"})
        return handle

    def engine_query_id(self, tag: str) -> str | None:
        """The engine's own id of the running statement with this tag."""
        where = f"WHERE Settings['{TAG_SETTING}'] = {quote(tag)}"
        found = self._scalar(f"SELECT query_id FROM system.processes {where} LIMIT 1")
        return found or None

    def setting_names(self) -> frozenset[str]:
        """The names of all settings, aliases too."""
        return frozenset(self._scalar("SELECT name FROM system.settings").split("\n"))

    def cancel(self, tag: str) -> None:
        """Ask the running statement with this tag to stop; does nothing if there is none."""
        with self._lock:
            self._root.run(f"KILL QUERY WHERE Settings['{TAG_SETTING}'] = {quote(tag)} ASYNC")

    def close(self) -> None:
        """Shut the engine down; all other handles must be closed."""
        with self._lock:
            self._root.close()

    def _connect(self) -> Handle:
        try:
            return Handle(chdb.connect(self._path))
        except RuntimeError as error:
            raise EmbeddedStackError(
                f"chdb cannot open the data directory {self._path!r}: {error}",
                remedy="See that the directory is writable and that no other process uses it",
            ) from error

    def _scalar(self, sql: str) -> str:
        with self._lock:
            return self._root.run(f"{sql} FORMAT TSVRaw").body.decode().rstrip("\n")

    def _make_default_atomic(self, data_dir: Path) -> None:
        """Put the Atomic database of the first start back into place, or create it.

        chdb lays its local kind of database over it at every start, and with that the tables' UUIDs are gone. A
        database that never held a table has no directory yet, and cannot be attached: it is made anew.
        """
        if (data_dir / "metadata" / "default").exists():
            self._root.run("DETACH DATABASE default")
            self._root.run("ATTACH DATABASE default")
        else:
            self._root.run("DROP DATABASE default")
            self._root.run("CREATE DATABASE default ENGINE = Atomic")
        self._root.use("default")
