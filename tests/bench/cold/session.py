"""Everything that asks one cold table: servers, engines, queries and the answers that all of them have to give."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from pyiceberg.table import Table

from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from tests.bench.cold.asking import Asked, Asker, Patience
from tests.bench.cold.filling import Shape, a_trade, spark_properties
from tests.bench.cold.queries import Query, queries
from tests.bench.cold.readers import (
    FRUGAL,
    Catalogs,
    ClickHouseReader,
    DuckDbReader,
    HotReader,
    PyIcebergReader,
    Reader,
    SparkReader,
)
from tests.bench.measure import cpu_by_group
from tests.bench.trades import TABLE
from tests.support.asked_spark import asked_spark
from tests.support.cold_tier import store_of
from tests.support.platform import Platform
from tests.support.store_meter import StoreMeter


class ColdTable:
    """A table, the engines that read it, and what is asked of them.

    Args:
        hot: the source, whose answers are the right ones.
        readers: the engines.
        catalogs: where the table is found.
        meter: what counts the bytes that leave the store.
        straight: the store's own address.
        asked: the queries.
        cpu: CPU seconds so far of servers and clients.
    """

    def __init__(
        self,
        *,
        hot: Reader,
        readers: Sequence[Reader],
        catalogs: Catalogs,
        meter: StoreMeter,
        straight: str,
        asked: Sequence[Query],
        cpu: Callable[[], float],
    ) -> None:
        self._cpu = cpu
        self._hot = hot
        self._readers = readers
        self._catalogs = catalogs
        self._meter = meter
        self._straight = straight
        self._asked = asked
        self._expected = {query.name: hot.ask(query, straight)[0] for query in asked}

    def now(self) -> Table:
        """Return the table as it is now."""
        self._catalogs.forget()
        return self._catalogs.table(self._straight)

    def hot(self, patience: Patience, said: Callable[[Asked], None] = lambda _: None) -> list[Asked]:
        """Ask the source."""
        return self._ask([self._hot], patience, said)

    def ask(self, patience: Patience, said: Callable[[Asked], None] = lambda _: None) -> list[Asked]:
        """Ask every engine."""
        return self._ask(self._readers, patience, said)

    def _ask(self, readers: Sequence[Reader], patience: Patience, said: Callable[[Asked], None]) -> list[Asked]:
        asker = Asker(self.now(), self._straight, self._meter, self._cpu)
        return asker.ask(readers, self._asked, patience, self._expected, said)


@contextmanager
def cold_table(
    stack: EmbeddedStack, platform: Platform, shape: Shape, scratch: Path, *, spark_cores: int | None
) -> Iterator[ColdTable]:
    """Start what reads the offloaded trades, and end it with the block; without cores for Spark, all but that."""
    endpoints = platform.endpoints
    name = f"{platform.name}.{TABLE}"
    store = store_of(endpoints, "")
    straight = endpoints.store.endpoint
    with ExitStack() as resources:
        meter = resources.enter_context(StoreMeter(urlsplit(straight).port or 0))
        catalogs = resources.enter_context(closing(Catalogs(endpoints.postgres.dsn, store, name)))
        readers: list[Reader] = [
            ClickHouseReader(platform.client, catalogs, store),
            ClickHouseReader(platform.client, catalogs, store, "ClickHouse, frugal", FRUGAL),
            PyIcebergReader(catalogs),
            DuckDbReader(catalogs, store),
        ]
        if spark_cores is not None:
            spark = resources.enter_context(asked_spark(endpoints, scratch, straight, spark_properties(spark_cores)))
            readers.append(SparkReader(spark, name))
        yield ColdTable(
            hot=HotReader(platform.client, name),
            readers=readers,
            catalogs=catalogs,
            meter=meter,
            straight=straight,
            asked=queries(shape.first, shape.days, *a_trade(platform, shape)),
            cpu=partial(_cpu, stack),
        )


def _cpu(stack: EmbeddedStack) -> float:
    """Return the CPU seconds of servers and clients; Spark is a child of this process, Kafka has no part in it."""
    found = cpu_by_group({one.value: stack.pid(one) for one in ComponentName} | {"clients": os.getpid()})
    return sum(seconds for name, seconds in found.items() if name != ComponentName.KAFKA.value)
