"""A watchdog ends the waiting on its own connection, when its time is over, and on no other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast

import psycopg
import pytest

from consumer.adapters.postgres.watchdog import Watchdog

LONG, SHORT = timedelta(minutes=5), timedelta(milliseconds=20)
PATIENCE_S = 60.0


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Two connections, each with the silent server at its other end."""
    made = [socket.socketpair() for _ in range(2)]
    for ours, _ in made:
        ours.settimeout(PATIENCE_S)
    yield made
    for pair in made:
        for end in pair:
            end.close()


def over(ours: socket.socket, limit: timedelta) -> Watchdog:
    return Watchdog(cast("psycopg.Connection[Any]", ours), limit)


def test_it_ends_the_waiting_of_the_connection_whose_time_is_over(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    (patient, server), (waiting, _) = pairs
    with over(patient, LONG), over(waiting, SHORT):
        assert waiting.recv(1) == b""
        server.send(b"!")
        assert patient.recv(1) == b"!"


def test_it_leaves_a_connection_alone_once_its_block_has_ended(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    (ended, server), (waiting, _) = pairs
    with over(ended, SHORT):
        pass
    with over(waiting, SHORT * 2):
        assert waiting.recv(1) == b""
    server.send(b"!")
    assert ended.recv(1) == b"!"


def test_all_share_one_thread(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    for _ in range(20):
        with over(pairs[0][0], LONG), over(pairs[1][0], LONG):
            pass
    assert [thread.name for thread in threading.enumerate()].count("icehaul-watchdog") == 1
