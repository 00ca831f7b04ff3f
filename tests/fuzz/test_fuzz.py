"""A short campaign of hostile input; `make fuzz` plays a long one."""

from __future__ import annotations

import random
import socket
from typing import NoReturn

import pytest

from consumer.adapters.kafka.codec import decode_message
from consumer.domain.errors import InvalidEventError
from consumer.domain.invalid_reason import InvalidReason
from consumer.service.offload import Offload
from tests.fuzz.campaign import Kind, play
from tests.fuzz.messages import message
from tests.unit.service.test_offload import NEVER, World, make_stream

SEED = 20261126


@pytest.fixture(autouse=True)
def _no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever an input asks for, nobody connects to anything."""

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a connection is opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_every_message_is_an_event_or_a_dead_letter() -> None:
    found = play(Kind.EVENTS, 12_000, SEED)
    assert found.failures == []
    # The campaign reaches what it is for.
    assert found.outcomes["events: event"] > 20
    assert found.outcomes["events: wrong-partition"] > 200
    missed = {f"events: {reason}" for reason in InvalidReason} - found.outcomes.keys()
    assert missed <= {"events: other", "events: unknown-stream"}


def test_every_configuration_is_read_or_explained() -> None:
    found = play(Kind.CONFIGURATIONS, 400, SEED)
    assert found.failures == []
    assert {"configurations: read", "configurations: refused"} <= found.outcomes.keys()


def test_every_environment_and_secret_file_is_read_or_explained_without_a_secret() -> None:
    found = play(Kind.SURROUNDINGS, 200, SEED)
    assert found.failures == []
    assert min(found.outcomes[f"surroundings: {outcome}"] for outcome in ("read", "refused")) > 8


def test_what_strangers_send_reaches_no_table_but_the_configured_one() -> None:
    world = World({"trades": make_stream()})
    offload: Offload = world.offload()
    chance = random.Random(SEED)
    handled = refused = 0
    for _ in range(4_000):
        try:
            offload.handle(decode_message(message(chance)), NEVER)
            handled += 1
        except InvalidEventError:
            refused += 1
    assert handled > 50
    assert refused > 1_000
    assert set(world.catalog.tables) == {world.streams["trades"].target}
    assert set(world.ledger.read(["trades", "bars", "twice", "nobody"])) == {"trades"}
