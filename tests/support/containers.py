"""Released servers in containers, where a container engine runs."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

import pytest
from packaging.version import Version

_RELEASE = os.environ.get("ICEHAUL_TEST_CLICKHOUSE")
"""The release of ClickHouse to try (``24.3.18.7``, ``26.9``), as `make containers` names it."""


def clickhouse_image(since: str) -> str:
    """Return the image of the release to try; of ``since``, where none is named or the named one is older."""
    release = since if _RELEASE is None or Version(_RELEASE) < Version(since) else _RELEASE
    return f"clickhouse/clickhouse-server:{release}"


def _engine_answers() -> bool:
    address = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    try:
        if address.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(address.path)
        else:
            socket.create_connection((address.hostname or "", address.port or 2375), timeout=5).close()
    except OSError:
        return False
    return True


# Whoever names a release wants it tried: nothing is left out silently.
needs_containers = pytest.mark.skipif(
    _RELEASE is None and not _engine_answers(), reason="no container engine runs on this machine"
)
