"""HTTP sessions: a handle that outlives its requests, for one request at a time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from consumer.embedded.clickhouse.engine import TAG_SETTING, Engine, Handle, Rights, quote
from consumer.embedded.clickhouse.errors import ErrorCode, QueryError
from consumer.embedded.clickhouse.request import SessionRequest


@dataclass(frozen=True, slots=True)
class _Own:
    """What SET and USE have made of a session: its database, and the literals of the settings that they changed."""

    database: str
    settings: Mapping[str, str]


@dataclass(slots=True)
class Session:
    """A handle, and what it goes back to after a request with settings of its own."""

    handle: Handle
    names: frozenset[str]
    """All settings that the engine knows: others, of a user's own making, stay as a request has set them."""
    timeout_s: int
    expires_at_s: float = 0.0
    busy: bool = True
    _own: _Own | None = None

    @contextmanager
    def changing(self) -> Iterator[Handle]:
        """The handle for SET and USE, which change the session itself."""
        self._own = None
        yield self.handle

    @contextmanager
    def for_one_request(self, settings: Mapping[str, str], database: str | None) -> Iterator[Handle]:
        """The handle with settings and a database that hold for one request only.

        Raises:
            QueryError: from the engine, for a setting or database it does not know.
        """
        # Each request sets something: what the session goes back to is read once, not with every request.
        own = self._own = self._own or _read_own(self.handle)
        # A handle that was made read-only could never be made writable again: the caller enforces that instead.
        changes = {name: value for name, value in settings.items() if name != "readonly"}
        # The tag stays: every request has one of its own.
        lasting = changes.keys() & self.names - {TAG_SETTING}
        back = [f"{name} = {own.settings.get(name, 'DEFAULT')}" for name in sorted(lasting)]
        visits = database is not None and database != own.database
        try:
            self.handle.apply(changes)
            if visits:
                self.handle.use(str(database))
            yield self.handle
        finally:
            if visits:
                self.handle.use(own.database)
            if back:
                self.handle.run(f"SET {', '.join(back)}")


class Sessions:
    """All sessions by rights and id. Times are of the monotonic clock."""

    def __init__(self, engine: Engine, sessions_max: int) -> None:
        self._engine = engine
        self._sessions_max = sessions_max
        self._by_id: dict[tuple[Rights | None, str], Session] = {}
        self._lock = threading.Lock()
        self._names = engine.setting_names()

    def acquire(self, wanted: SessionRequest, rights: Rights | None = None) -> Session:
        """Take the session of these rights; give it back with ``release``.

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
            return session

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

    def _create(self, wanted: SessionRequest, rights: Rights | None) -> Session:
        if wanted.must_exist:
            raise QueryError(f"Session {wanted.id} not found", code=ErrorCode.SESSION_NOT_FOUND)
        if len(self._by_id) >= self._sessions_max:
            raise QueryError(
                f"Too many sessions. Maximum: {self._sessions_max}",
                code=ErrorCode.TOO_MANY_SIMULTANEOUS_QUERIES,
                remedy="Close sessions with close_session=1 or give them a shorter session_timeout",
            )
        session = Session(self._engine.open(rights), self._names, wanted.timeout_s)
        self._by_id[rights, wanted.id] = session
        return session

    def _expire(self) -> None:
        now = time.monotonic()
        for name in [n for n, s in self._by_id.items() if not s.busy and s.expires_at_s <= now]:
            self._by_id.pop(name).handle.close()


def _read_own(handle: Handle) -> _Own:
    changed = handle.run("SELECT name, value FROM system.settings WHERE changed FORMAT JSONEachRow").body
    rows = [json.loads(line) for line in changed.splitlines()]
    return _Own(
        database=handle.run("SELECT currentDatabase() FORMAT TSVRaw").body.decode().rstrip("\n"),
        settings={row["name"]: row["value"] if row["value"].startswith("'") else quote(row["value"]) for row in rows},
    )
