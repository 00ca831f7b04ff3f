"""The bounds of the server: nothing a client sends or asks for is unlimited."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    body_bytes_max: int = 1024 * MIB
    """A request body, as sent and again after decompression."""
    statement_bytes_max: int = 16 * MIB
    """A statement without the data of an INSERT."""
    form_bytes_max: int = 64 * MIB
    """A multipart form: a query with external data."""
    response_buffer_bytes: int = MIB
    """How much of a response is held back so that an error in it still becomes a proper status."""
    response_buffer_bytes_max: int = 64 * MIB
    connections_max: int = 256
    queries_max: int = 64
    sessions_max: int = 1024
    session_timeout_s_default: int = 60
    session_timeout_s_max: int = 3600
    idle_timeout_s: float = 30.0
    """How long a connection may stay silent between requests or within one."""
    send_timeout_s: float = 300.0
    """How long a client may leave a response unread."""
    stop_grace_s: float = 2.0
    """How long running queries may go on after a stop was asked for."""
    cancel_grace_s: float = 1.0
    """How long they may take to end once they are cancelled, and again once their clients are cut off."""
