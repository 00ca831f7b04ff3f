"""What a benchmark found: as a table for people, as JSON for programs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.measure import Measurement

PARQUET_CEILING = "clickhouse_parquet"
ARROW_CEILING = "arrow_stream"
JDBC = "spark_jdbc"
MAP_IN_ARROW = "spark_map_in_arrow"
CLICKHOUSE_ICEBERG = "clickhouse_iceberg"
STREAM = "icehaul_stream"
EXPORT = "icehaul_export"

_RATIOS = {
    "export_vs_parquet_ceiling": (EXPORT, PARQUET_CEILING),
    "export_vs_jdbc": (EXPORT, JDBC),
    "export_vs_clickhouse_iceberg": (EXPORT, CLICKHOUSE_ICEBERG),
    "export_vs_stream": (EXPORT, STREAM),
    "stream_vs_arrow_ceiling": (STREAM, ARROW_CEILING),
    "stream_vs_jdbc": (STREAM, JDBC),
    "stream_vs_parquet_ceiling": (STREAM, PARQUET_CEILING),
    "stream_vs_map_in_arrow": (STREAM, MAP_IN_ARROW),
    "stream_vs_clickhouse_iceberg": (STREAM, CLICKHOUSE_ICEBERG),
}
_MEGA = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Milliseconds from sending a tick to its committed offset."""

    small: Sequence[float]
    idle: Sequence[float]


@dataclass(slots=True, kw_only=True)
class Report:
    """The results of one run; ``absent`` holds the error of each path that could not run."""

    rows: int
    source_bytes: int
    notes: Mapping[str, str]
    paths: dict[str, Measurement] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    latencies: Latencies | None = None

    def ratios(self) -> dict[str, float]:
        """Return throughputs divided by one another, of the paths that ran."""
        return {
            name: round(self.paths[one].rows_per_second / self.paths[other].rows_per_second, 3)
            for name, (one, other) in _RATIOS.items()
            if one in self.paths and other in self.paths
        }

    def document(self) -> dict[str, object]:
        """Return the report as it is written to ``report.json``."""
        return {
            "rows": self.rows,
            "paths": {
                name: {
                    "seconds": round(found.seconds, 3),
                    "rows_per_second": round(found.rows_per_second),
                    "cpu_seconds": round(found.cpu_seconds, 2),
                    "rows_per_cpu_second": round(found.rows_per_cpu_second),
                    "peak_rss_mib": round(found.peak_rss_mib),
                    "bytes_written": found.bytes_written,
                }
                for name, found in self.paths.items()
            },
            "ratios": self.ratios(),
            "tick_ms": self._tick_ms(),
        }

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(json.dumps(self.document(), indent=2) + "\n", encoding="utf-8")

    def show(self, console: Console) -> None:
        """Print the tables."""
        console.print(self._throughput())
        console.print(self._cpu())
        for name, ratio in self.ratios().items():
            console.print(f"{name}: {ratio:.2f}")
        for name, value in self._tick_ms().items():
            console.print(f"tick {name}: {value:.0f} ms")

    def _tick_ms(self) -> dict[str, float]:
        if self.latencies is None:
            return {}
        return {
            "p50": round(percentile(self.latencies.small, 50), 1),
            "p99": round(percentile(self.latencies.small, 99), 1),
            "idle_p50": round(percentile(self.latencies.idle, 50), 1),
        }

    def _throughput(self) -> Table:
        table = Table(title=f"{self.rows:,} trades, 11 columns, {self.source_bytes / _MEGA:,.0f} MB uncompressed")
        table.add_column("path", overflow="fold")
        for heading in ("s", "rows/s", "MB/s", "CPU s", "rows/CPU s", "peak MiB", "MB written"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("note", overflow="fold")
        for name, found in self.paths.items():
            table.add_row(
                name,
                f"{found.seconds:.2f}",
                f"{found.rows_per_second:,.0f}",
                f"{self.source_bytes / found.seconds / _MEGA:,.0f}",
                f"{found.cpu_seconds:.1f}",
                f"{found.rows_per_cpu_second:,.0f}",
                f"{found.peak_rss_mib:,.0f}",
                f"{found.bytes_written / _MEGA:,.1f}",
                self.notes.get(name, ""),
            )
        for name, error in self.absent.items():
            table.add_row(name, *["-"] * 7, f"absent: {error}", style="yellow")
        return table

    def _cpu(self) -> Table:
        groups = sorted({group for found in self.paths.values() for group in found.cpu})
        table = Table(title="CPU seconds by process (with its children)")
        table.add_column("path")
        for group in groups:
            table.add_column(group, justify="right", no_wrap=True)
        for name, found in self.paths.items():
            table.add_row(name, *(f"{found.cpu[group]:.1f}" if group in found.cpu else "" for group in groups))
        return table


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile with interpolation; ``values`` must hold two values at least."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
