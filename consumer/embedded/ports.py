"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from consumer.domain.errors import EmbeddedStackError

LOOPBACK = "127.0.0.1"
# Below the kernel's usual ephemeral range, so that no outgoing connection takes a port between choice and bind.
_LOWEST, _HIGHEST = 15_000, 32_000
_ATTEMPTS = 500


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: ports in TIME_WAIT count as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int, *, avoiding: Collection[int] = ()) -> list[int]:
    """Choose ``count`` different free ports, none of them in ``avoiding``.

    Raises:
        EmbeddedStackError: if there are hardly any left.
    """
    chosen: list[int] = []
    generator = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        if len(chosen) == count:
            return chosen
        port = generator.randrange(_LOWEST, _HIGHEST)
        if port not in chosen and port not in avoiding and is_free(port):
            chosen.append(port)
    raise EmbeddedStackError(
        f"found {len(chosen)} of {count} free ports on {LOOPBACK} between {_LOWEST} and {_HIGHEST}",
        remedy="stop servers that are no longer needed",
    )
