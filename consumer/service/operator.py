"""Who runs a command, for the ledger's record."""

from __future__ import annotations

import getpass
import socket


def operator() -> str:
    """Return user and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
