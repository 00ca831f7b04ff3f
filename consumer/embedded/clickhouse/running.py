"""The statements that run right now: how many at most, under which ids, and how to cancel them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from consumer.embedded.clickhouse.engine import Engine, quote
from consumer.embedded.clickhouse.errors import ErrorCode, QueryError
from consumer.embedded.clickhouse.statement import tokens

_REPLACE_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """One statement: the id the client knows it by, and the tag the engine knows it by."""

    query_id: str
    tag: str


class RunningQueries:
    """Admits statements and remembers them while they run."""

    def __init__(self, engine: Engine, queries_max: int) -> None:
        self._engine = engine
        self._queries_max = queries_max
        self._by_id: dict[str, Running] = {}
        self._changed = threading.Condition()
        self._stopping = False

    @contextmanager
    def admit(self, query_id: str | None, *, replace: bool) -> Iterator[Running]:
        """Count a statement as running for the duration of the block.

        Raises:
            QueryError: TOO_MANY_SIMULTANEOUS_QUERIES, QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING, or ABORTED while the
                server stops.
        """
        running = Running(query_id or str(uuid.uuid4()), tag=uuid.uuid4().hex)
        with self._changed:
            self._make_room(running.query_id, replace=replace)
            self._by_id[running.query_id] = running
        try:
            yield running
        finally:
            with self._changed:
                del self._by_id[running.query_id]
                self._changed.notify_all()

    def with_engine_ids(self, kill: bytes) -> bytes:
        """A KILL statement with the engine's ids in place of those the clients gave."""
        with self._changed:
            known = {quote(running.query_id): running.tag for running in self._by_id.values()}
        result = kill
        for token in reversed(list(tokens(kill))):
            tag = known.get(token.text)
            engine_id = None if tag is None else self._engine.engine_query_id(tag)
            if engine_id is not None:
                result = result[: token.start] + quote(engine_id).encode() + result[token.end :]
        return result

    def refuse_more(self) -> None:
        """Admit nothing from now on: the server stops."""
        with self._changed:
            self._stopping = True

    def wait_for_end(self, timeout_s: float) -> bool:
        """Wait until nothing runs; return whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._by_id, timeout=timeout_s)

    def cancel_all(self) -> None:
        """Ask everything that runs to stop."""
        with self._changed:
            left = list(self._by_id.values())
        for running in left:
            self._engine.cancel(running.tag)

    def _make_room(self, query_id: str, *, replace: bool) -> None:
        if self._stopping:
            raise QueryError(
                "The server is stopping", code=ErrorCode.ABORTED, remedy="Send the query again after a restart"
            )
        if query_id in self._by_id:
            if replace:
                self._engine.cancel(self._by_id[query_id].tag)
                deadline_s = time.monotonic() + _REPLACE_DEADLINE_S
                self._changed.wait_for(lambda: query_id not in self._by_id, deadline_s - time.monotonic())
            if query_id in self._by_id:
                raise QueryError(
                    f"Query with id = {query_id} is already running",
                    code=ErrorCode.QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
                    remedy="Choose a new query_id, or pass replace_running_query=1",
                )
        if len(self._by_id) >= self._queries_max:
            raise QueryError(
                f"Too many simultaneous queries. Maximum: {self._queries_max}",
                code=ErrorCode.TOO_MANY_SIMULTANEOUS_QUERIES,
                remedy="Send it again later, or start the server with a larger --max-queries",
            )
