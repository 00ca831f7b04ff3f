"""A proxy in front of Postgres that strikes at a COMMIT: before it is applied, or between that and its reply."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tests.support.postgres_wire import (
    READY,
    ROLLBACK,
    error_response,
    holds_transaction,
    is_whole,
    next_message,
    starts_session,
    statement_of,
)
from tests.support.tcp_proxy import HOST, Link, TcpProxy

ANY = re.compile(b"")
COMMIT = re.compile(b"commit")


class CommitFault(StrEnum):
    """What happens to the next COMMIT."""

    APPLIED = "applied"
    """It reaches the server, whose reply is lost with the connection."""
    LOST = "lost"
    """It is lost with the connection, and the server rolls back."""
    LATE = "late"
    """The client's connection breaks; the server gets the COMMIT when the test calls ``deliver``."""
    POOLER_LEAVES = "pooler leaves"
    """It reaches the server, whose reply a pooler does not get: it says so as PgBouncer does, and hangs up."""
    POOLER_STAYS = "pooler stays"
    """The same, but the pooler goes on to serve the connection, as PgCat does."""
    REFUSED = "refused"
    """The server refuses it, and rolls back: another transaction would not have been serializable."""


_WORDS = {
    CommitFault.POOLER_LEAVES: ("FATAL", "08P01", "server conn crashed?"),
    CommitFault.POOLER_STAYS: ("ERROR", "58000", "error receiving data from server: SocketError"),
    CommitFault.REFUSED: ("ERROR", "40001", "could not serialize access due to concurrent update"),
}
_NOT_APPLIED = {CommitFault.LOST, CommitFault.REFUSED}
_STAYS = {CommitFault.POOLER_STAYS, CommitFault.REFUSED}


@dataclass
class _Session:
    """What is known about one connection."""

    backlog: bytes = b""
    greeted: bool = False
    marked: bool = False
    fault: CommitFault | None = None
    reply: bytes = b""


class PostgresProxy(TcpProxy):
    """A proxy that frames the client's messages, to strike at a COMMIT. Traffic has to be unencrypted.

    ``struck`` is set once the fault has happened. ``statements`` counts the statements that the last ``strike`` was
    aimed at, those that passed included.
    """

    def __init__(self, upstream_port: int, upstream_host: str = HOST) -> None:
        super().__init__(upstream_port, upstream_host)
        self._sessions: defaultdict[Link, _Session] = defaultdict(_Session)
        self._fault: CommitFault | None = None
        self._aim, self._after = COMMIT, ANY
        self._countdown = 0
        self._meanwhile: Callable[[], object] | None = None
        self._late: list[tuple[Link, bytes]] = []
        self.struck = threading.Event()
        self.statements = 0

    def strike(
        self,
        fault: CommitFault,
        *,
        skip: int = 0,
        aim: re.Pattern[bytes] = COMMIT,
        after: re.Pattern[bytes] = ANY,
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        """Let ``fault`` happen to the next COMMIT, after ``skip`` ones that pass.

        ``aim`` is how the statement begins, in lower case, where it is not COMMIT: a driver that commits each statement
        by itself sends none. With ``after`` only the COMMIT of a transaction that ran such a statement counts.
        ``meanwhile`` runs once the server has committed or rolled back, before the client hears of it.
        """
        self.struck.clear()
        self.statements = 0
        for session in self._sessions.values():
            session.marked = False
        self._aim, self._after = aim, after
        self._countdown = skip
        self._meanwhile = meanwhile
        self._fault = fault

    def cut(self) -> None:
        """Reset every open connection, also those whose COMMIT is held back."""
        late, self._late = self._late, []
        for link, _ in late:
            link.reset()
        super().cut()

    def deliver(self) -> None:
        """Deliver the COMMITs that were held back."""
        for link, message in self._late:
            link.server.sendall(message)

    def from_client(self, link: Link, data: bytes) -> None:
        """Frame messages, and strike where one is COMMIT."""
        session = self._sessions[link]
        session.backlog += data
        while True:
            message, session.backlog = next_message(session.backlog, greeted=session.greeted)
            if message is None:
                return
            session.greeted = session.greeted or starts_session(message)
            fault = self._due(session, message)
            if fault is CommitFault.LATE:
                self._late.append((link, message))
                link.orphan()
                self.struck.set()
                return
            if fault is not None:
                session.fault, session.reply = fault, b""
                message = ROLLBACK if fault in _NOT_APPLIED else message
            super().from_client(link, message)

    def from_server(self, link: Link, data: bytes) -> None:
        """Swallow the whole reply to a COMMIT that was struck, and do with the connection what the fault is."""
        session = self._sessions[link]
        if session.fault is None:
            super().from_server(link, data)
            return
        session.reply += data
        if not is_whole(session.reply):
            return
        if self._meanwhile is not None:
            self._meanwhile()
        fault, session.fault = session.fault, None
        self.struck.set()
        if fault not in _WORDS:
            link.reset()
            return
        link.client.sendall(error_response(*_WORDS[fault]))
        if fault in _STAYS:
            link.client.sendall(READY)
        else:
            link.close()

    def _due(self, session: _Session, message: bytes) -> CommitFault | None:
        statement = statement_of(message)
        if statement is None:
            return None
        whole = holds_transaction(statement)
        # Statements may travel together, in one message.
        session.marked = session.marked or self._after.search(statement) is not None
        if self._aim.match(statement) is None and not (whole and self._aim is COMMIT):
            return None
        marked, session.marked = session.marked, False
        if not marked:
            return None
        self.statements += 1
        self._countdown -= 1
        fault = None
        if self._countdown < 0:
            fault, self._fault = self._fault, None
        return fault


def runs(sql: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a statement of our own, with the server's parameters, or values, in the place of ours."""
    return re.compile(re.sub(rb"%\\\(\w+\\\)[sd]", rb".*?", re.escape(sql.strip().lower().replace(b"%%", b"%"))))
