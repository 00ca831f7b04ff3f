"""Processes of icehaul for which simulated time passes: ``python -m tests.soak.nursery`` is their nursery.

Everything is icehaul's own but what a soak has to hold in its hand: what time ClickHouse says it is, when it says that
a part was written, and, if asked for, where the tasks run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path

from consumer.adapters.clickhouse.inventory import ClickHouseInventory
from consumer.adapters.clickhouse.source import ClickHouseSource
from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import servers
from consumer.domain.inventory import Inventory
from consumer.domain.stream import Stream
from consumer.failpoints.acting import Failpoints
from consumer.settings.connections import ClickHouseSettings, SparkSettings, StoreSettings
from tests.soak.clock import SimulatedClock
from tests.support import nursery
from tests.support.local_engine import LocalEngine, LocalSession

CLOCK = "SOAK_CLOCK"
ENGINE = "SOAK_ENGINE"
LOCAL = "local"


@cache
def clock() -> SimulatedClock:
    """The clock that this process's environment names."""
    return SimulatedClock(Path(os.environ[CLOCK]))


class ToldSource(ClickHouseSource):
    """The hot tier, where simulated time passes."""

    def now(self) -> datetime:
        return clock().told()


class ToldInventory(ClickHouseInventory):
    """The hot tier as the emitter sees it, where simulated time passes."""

    def now(self) -> datetime:
        return clock().told()

    def inventory(self, stream: Stream) -> Inventory:
        found = super().inventory(stream)
        return replace(
            found, partitions=tuple(replace(one, modified=clock().at(one.modified)) for one in found.partitions)
        )


class ChosenEngine(LocalEngine):
    """The batch engine, whose tasks run in the consumer's own process."""

    def __init__(
        self,
        spark: SparkSettings,
        clickhouse: ClickHouseSettings,
        store: StoreSettings,
        failpoints: Failpoints | None = None,
    ) -> None:
        SparkEngine.__init__(self, SparkSettings(writer=spark.writer), clickhouse, store, failpoints)
        self.session = LocalSession()

    @property
    def ready(self) -> bool:
        return True


def engine(
    spark: SparkSettings, clickhouse: ClickHouseSettings, store: StoreSettings, failpoints: Failpoints | None = None
) -> SparkEngine:
    """Return the engine that this process's environment asks for."""
    made = ChosenEngine if os.environ.get(ENGINE) == LOCAL else SparkEngine
    return made(spark, clickhouse, store, failpoints)


REPLACED: Mapping[str, object] = {
    "ClickHouseSource": ToldSource,
    "ClickHouseInventory": ToldInventory,
    "SparkEngine": engine,
}
"""What the composition root builds in the place of what it names."""


def main() -> None:
    """Put the parts in, and be a nursery."""
    for name, part in REPLACED.items():
        assert hasattr(servers, name), name
        setattr(servers, name, part)
    nursery.main()


if __name__ == "__main__":
    main()
