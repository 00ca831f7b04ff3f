"""As much of the Postgres protocol as the tests' proxies understand."""

from __future__ import annotations

import struct

READY = b"Z\0\0\0\5I"
"""ReadyForQuery, outside of a transaction: the end of the reply to a COMMIT."""

ROLLBACK = b"Q\0\0\0\rROLLBACK\0"
"""The statement that a client ends a transaction with, undoing it."""


def next_message(backlog: bytes, *, greeted: bool) -> tuple[bytes | None, bytes]:
    """Split the next whole message from what has arrived: type byte and length, then what it says.

    Before the greeting a client sends no type byte. ``None`` where it has not arrived in whole.
    """
    header = 5 if greeted else 4
    if len(backlog) < header:
        return None, backlog
    (length,) = struct.unpack("!i", backlog[header - 4 : header])
    end = length + header - 4
    return (None, backlog) if len(backlog) < end else (backlog[:end], backlog[end:])


def messages_in(backlog: bytes) -> tuple[list[bytes], bytes]:
    """Split all whole messages from what a server has said."""
    found: list[bytes] = []
    while True:
        message, backlog = next_message(backlog, greeted=True)
        if message is None:
            return found, backlog
        found.append(message)


def starts_session(message: bytes) -> bool:
    """Tell whether a message before the greeting is it, and no request for encryption (1234.567x) or cancellation."""
    (code,) = struct.unpack("!i", message[4:8])
    return bool(code >> 16 != 1234)


def statement_of(message: bytes) -> bytes | None:
    """Return a message's statement in lower case, run at once or to be prepared; ``None`` if it holds none."""
    match message[:1]:
        case b"Q":
            text = message[5:]
        case b"P":
            text = message[5:].partition(b"\0")[2]
        case _:
            return None
    return text.lstrip().lower()


def holds_transaction(statement: bytes) -> bool:
    """Tell whether a message holds a transaction from its begin to its COMMIT."""
    return statement.startswith(b"begin") and statement.rstrip(b"\0; \n").endswith(b"commit")


def is_whole(reply: bytes) -> bool:
    """Tell whether a server's reply is at its end: ReadyForQuery, in whatever state the transaction is."""
    return reply[-6:-1] == READY[:-1]


def error_response(severity: str, state: str, text: str) -> bytes:
    """Return the message by which a server, or somebody in its place, reports an error."""
    said = {b"S": severity, b"V": severity, b"C": state, b"M": text}
    fields = b"".join(kind + value.encode() + b"\0" for kind, value in said.items()) + b"\0"
    return b"E" + struct.pack("!i", len(fields) + 4) + fields
