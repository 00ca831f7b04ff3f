"""A cold table of many days in many small files: as quarter hours of ticks leave it behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from consumer.bootstrap import Application
from consumer.domain.writer import WriterPolicy
from consumer.settings.connections import SparkSettings
from tests.bench.trades import COLUMNS, DAY, TABLE, fill
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import offload
from tests.support.platform import Platform, day

ORDER_BY = "toStartOfFifteenMinutes(ts), symbol, ts, seq"
"""Within a quarter of an hour by symbol: what a table ordered by symbol is like to the ticks that read its newest part.
Here all of a day's rows are there before the first tick, and a tick should not have to look through all of them."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large the table is: days, rows of each, and ticks of each, every one of which leaves a file behind."""

    days: int
    rows: int
    ticks: int = 96

    @property
    def first(self) -> datetime:
        """Midnight of the first day."""
        return day(DAY)

    @property
    def all_rows(self) -> int:
        """Rows of all days."""
        return self.days * self.rows

    def midnights(self) -> Iterator[datetime]:
        """Yield the beginning of each day."""
        for number in range(self.days):
            yield self.first + number * _DAY

    def boundaries(self, midnight: datetime) -> Iterator[datetime]:
        """Yield the boundaries of a day's ticks; the last one is the next midnight."""
        for number in range(self.ticks):
            yield midnight + _DAY * (number + 1) / self.ticks


def add_stream(platform: Platform, settings: Mapping[str, object], target: str = TABLE) -> str:
    """Add a stream from the table of trades to a target; return its name. Call it before the application is made."""
    name = f"{platform.name}_{target}"
    stream = {
        "name": name,
        "source": f"{platform.name}.{TABLE}",
        "target": f"{platform.name}.{target}",
        "timestamp_column": "ts",
        "sequence_columns": ["seq"],
        "settle_lag": "0s",
    }
    platform.streams.append(stream | dict(settings))
    return name


def create_source(platform: Platform) -> None:
    """Create the table of trades, which stays as it is filled: merges would take the time of what is measured."""
    platform.client.command(
        f"CREATE TABLE {platform.name}.{TABLE} ({COLUMNS}) ENGINE = MergeTree PARTITION BY toDate(ts)"
        f" ORDER BY ({ORDER_BY})"
    )
    platform.client.command(f"SYSTEM STOP MERGES {platform.name}.{TABLE}")


@contextmanager
def exporting(platform: Platform) -> Iterator[Application]:
    """An application whose files ClickHouse writes, and whose tasks run in this process."""
    configuration = platform.configuration()
    own = configuration.model_copy(update={"spark": SparkSettings(writer=WriterPolicy.EXPORT)})
    with Application(own, environment={}) as application:
        application.engine = LocalEngine(own)
        application.migrate()
        yield application


def tick_by_tick(
    platform: Platform, application: Application, stream: str, shape: Shape, said: Callable[[str], None]
) -> None:
    """Generate the trades day by day, and offload each tick's."""
    for number, midnight in enumerate(shape.midnights()):
        fill(platform, shape.rows, day=midnight.date().isoformat(), merged=False)
        for boundary in shape.boundaries(midnight):
            raised = offload(application, stream, boundary)
            if raised:
                raise raised[-1]
        said(f"day {number + 1} of {shape.days}: {shape.rows:,} rows in {shape.ticks} files")


def a_trade(platform: Platform, shape: Shape) -> tuple[str, datetime]:
    """Return symbol and instant of a trade in the middle of the second day."""
    noon = shape.first + _DAY * 1.5
    found = platform.client.query(
        f"SELECT symbol, toString(ts) FROM {platform.name}.{TABLE} WHERE ts >= {{since:DateTime64(6, 'UTC')}}"
        " ORDER BY ts LIMIT 1",
        parameters={"since": noon.strftime("%Y-%m-%d %H:%M:%S.%f")},
    )
    symbol, at = found.result_rows[0]
    return str(symbol), day(str(at))


def spark_properties(cores: int) -> Mapping[str, str]:
    """Return what Spark needs here besides its catalog."""
    return {
        "spark.master": f"local[{cores}]",
        "spark.driver.memory": "2g",
        # A tenth faster than the usual collector, on few cores.
        "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
        # One machine: each of the usual 200 tasks of an aggregation takes longer than all of its rows.
        "spark.sql.shuffle.partitions": str(cores),
    }
