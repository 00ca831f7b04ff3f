"""A broker that the tests of the consumer group may kill and restart."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from tests.support.kafka_group import Topic


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedStack]:
    with (
        tempfile.TemporaryDirectory(prefix="icehaul-broker-") as directory,
        EmbeddedStack.start(Path(directory), only=[ComponentName.KAFKA]) as stack,
    ):
        yield stack


@pytest.fixture
def topic(broker: EmbeddedStack) -> Topic:
    return Topic(broker.endpoints.kafka.bootstrap_servers)


@pytest.fixture
def make_topic(broker: EmbeddedStack) -> Callable[[int], Topic]:
    return lambda partitions: Topic(broker.endpoints.kafka.bootstrap_servers, partitions=partitions)
