"""Released servers in containers, where a container engine runs."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

import pytest


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


needs_containers = pytest.mark.skipif(not _engine_answers(), reason="no container engine runs on this machine")
