"""What the modules of this folder share: consumers without Spark, and the house of the crash matrix."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.matrix.stage import House
from tests.support.hot_drops import ROWS, Tiers
from tests.support.local_platform import LocalPlatform, local_platform, offload
from tests.support.module_ledger import ledger_dsn
from tests.support.nursery import Nursery
from tests.support.platform import day
from tests.support.spark_connect_server import SparkConnectServer
from tests.support.two_step_tier import TierDatabases, tier_databases

__all__ = ["ledger_dsn"]


@pytest.fixture(scope="module")
def databases(stack: EmbeddedStack) -> Iterator[TierDatabases]:
    """Databases for tiers whose catalog is not in the ledger's."""
    with tier_databases(stack.endpoints) as made:
        yield made


@pytest.fixture
def local(
    stack: EmbeddedStack, unique_name: str, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    """A platform of the test's own, whose consumers run their tasks in this process."""
    with local_platform(stack.endpoints, unique_name, ledger_dsn, tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture(scope="session")
def house(
    stack: EmbeddedStack, connect_server: SparkConnectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Where cases of the crash matrix are played, on the shared servers."""
    directory = tmp_path_factory.mktemp("crash-matrix")
    with (
        Nursery(directory / "nursery.log") as nursery,
        House(
            endpoints=stack.endpoints,
            nursery=nursery,
            directory=directory / "cases",
            spark={"remote": connect_server.url},
            spark_log=connect_server.log,
            name=f"m_{uuid.uuid4().hex[:8]}",
        ) as made,
    ):
        yield made


@pytest.fixture
def tiers(local: LocalPlatform) -> Tiers:
    """A stream of three days, all of which stand in both tiers."""
    stream = local.add_stream()
    for number in range(3):
        local.insert(ROWS, first=number * ROWS, day=f"2024-01-0{number + 1}")
    with local.consumer() as application:
        assert offload(application, stream, day("2024-01-04")) == []
    return Tiers(local, stream)
