"""HTTP sessions: a handle that outlives its requests, for one request at a time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from consumer.embedded.clickhouse.engine import Engine, Handle, Rights, quote
from consumer.embedded.clickhouse.errors import ErrorCode, QueryError
from consumer.embedded.clickhouse.request import SessionRequest


@dataclass(slots=True)
class _Session:
    handle: Handle
    timeout_s: int
    expires_at_s: float
    busy: bool


class Sessions:
    """All sessions by rights and id. Times are of the monotonic clock."""

    def __init__(self, engine: Engine, sessions_max: int) -> None:
        self._engine = engine
        self._sessions_max = sessions_max
        self._by_id: dict[tuple[Rights | None, str], _Session] = {}
        self._lock = threading.Lock()

    def acquire(self, wanted: SessionRequest, rights: Rights | None = None) -> Handle:
        """Take the handle of the session of these rights; give it back with ``release``.

        Raises:
            QueryError: SESSION_IS_LOCKED while another request has it, SESSION_NOT_FOUND if it had to exist.
        """
        with self._lock:
            self._expire()
            session = self._by_id.get((rights, wanted.id))
            if session is None:
                session = self._create(wanted, rights)
            elif session.busy:
                raise QueryError(
                    f"Session {wanted.id} is locked by a concurrent client",
                    code=ErrorCode.SESSION_IS_LOCKED,
                    remedy="Use one session per thread, or none",
                )
            session.busy = True
            session.timeout_s = wanted.timeout_s
            return session.handle

    def release(self, wanted: SessionRequest, rights: Rights | None = None) -> None:
        """Give a session back, or end it if the request asked for that."""
        with self._lock:
            session = self._by_id[rights, wanted.id]
            session.busy = False
            session.expires_at_s = time.monotonic() + session.timeout_s
            if wanted.close_after:
                self._by_id.pop((rights, wanted.id)).handle.close()

    def close(self) -> None:
        """End all sessions."""
        with self._lock:
            while self._by_id:
                self._by_id.popitem()[1].handle.close()

    def _create(self, wanted: SessionRequest, rights: Rights | None) -> _Session:
        if wanted.must_exist:
            raise QueryError(f"Session {wanted.id} not found", code=ErrorCode.SESSION_NOT_FOUND)
        if len(self._by_id) >= self._sessions_max:
            raise QueryError(
                f"Too many sessions. Maximum: {self._sessions_max}",
                code=ErrorCode.TOO_MANY_SIMULTANEOUS_QUERIES,
                remedy="Close sessions with close_session=1 or give them a shorter session_timeout",
            )
        session = _Session(self._engine.open(rights), wanted.timeout_s, expires_at_s=0.0, busy=True)
        self._by_id[rights, wanted.id] = session
        return session

    def _expire(self) -> None:
        now = time.monotonic()
        for name in [n for n, s in self._by_id.items() if not s.busy and s.expires_at_s <= now]:
            self._by_id.pop(name).handle.close()


@contextmanager
def for_one_request(handle: Handle, settings: Mapping[str, str], database: str | None) -> Iterator[None]:
    """Settings and database that hold for one request only, on a handle that goes on living.

    Raises:
        QueryError: from the engine, for a setting or database it does not know.
    """
    # A handle that was made read-only could never be made writable again: the caller enforces that instead.
    changes = {name: value for name, value in settings.items() if name != "readonly"}
    before = _snapshot(handle, changes) if changes else []
    previous_database = handle.run("SELECT currentDatabase() FORMAT TSVRaw").body.decode().rstrip("\n")
    try:
        handle.apply(changes)
        if database is not None:
            handle.use(database)
        yield
    finally:
        if database is not None:
            handle.use(previous_database)
        if before:
            handle.run(f"SET {', '.join(before)}")


def _snapshot(handle: Handle, settings: Mapping[str, str]) -> list[str]:
    """The assignments that bring the present values back."""
    names = ", ".join(quote(name) for name in settings)
    query = f"SELECT name, value, changed FROM system.settings WHERE name IN ({names}) FORMAT JSONEachRow"
    assignments: list[str] = []
    for line in handle.run(query).body.splitlines():
        row = json.loads(line)
        value = row["value"] if row["value"].startswith("'") else quote(row["value"])
        assignments.append(f"{row['name']} = {value if row['changed'] else 'DEFAULT'}")
    return assignments
