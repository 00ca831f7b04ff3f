"""What staging a commit costs after many commits, beside PyIceberg's own way: ``make bench-history``.

*PyIceberg* is its merging append and its update of the metadata, with the settings that icehaul used before. Two
tables grow side by side in a folder of this machine, without any server. Measured is CPU time of this process, from the
base to the written metadata file, with the walk over the ancestry that each publish does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from pyiceberg.manifest import DataFile
from pyiceberg.table import TableProperties
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import update_table_metadata
from rich.console import Console
from rich.table import Table

from consumer.adapters.iceberg.evidence import PREFIX, read_ancestry
from consumer.adapters.iceberg.metadata_files import write_next
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.domain.window import PartitionBy
from tests.support.cold_tier import START, STREAM, TRIGGER
from tests.support.local_table import LocalTable, local_table
from tests.support.machine import describe_machine

_FIRST = 10


class _PyIcebergCommit(StagedCommit):
    """The same commit by PyIceberg's own means."""

    def append_files(self, files: Sequence[DataFile], summary: Mapping[str, str]) -> int:
        producer = self.update_snapshot(snapshot_properties=dict(summary)).merge_append()
        for file in files:
            producer.append_data_file(file)
        producer.commit()
        return producer.snapshot_id

    def result(self) -> TableMetadata:
        return update_table_metadata(
            self._table.metadata, self._updates, metadata_location=self._table.metadata_location
        )


@dataclass(slots=True)
class Growing:
    """A table that gets one commit after the other; ``costs`` are their CPU milliseconds."""

    table: LocalTable
    commit: type[StagedCommit]
    costs: list[float] = field(default_factory=list)

    def step(self) -> None:
        """Commit once more."""
        table, number = self.table, len(self.costs)
        file, summary = table.new_file(), _summary(number)
        started = time.process_time()
        commit = self.commit(table.base.table(table.io))
        commit.append_files([file], summary)
        commit.expire(table.stream.retain_snapshots)
        commit.set_properties({f"{PREFIX}last-upper": summary[f"{PREFIX}last-upper"]})
        table.base = write_next(table.base, commit.result(), table.io)
        read_ancestry(table.metadata)
        self.costs.append((time.process_time() - started) * 1000)

    def figures(self, snapshots: int, measured: int) -> dict[str, float]:
        """Return what commits took on average after the first ten and after all, their ratio, and the dearest."""
        young, old = self.costs[_FIRST : _FIRST + measured], self.costs[snapshots : snapshots + measured]
        return {
            f"ms after {_FIRST}": statistics.mean(young),
            f"ms after {snapshots:,}": statistics.mean(old),
            "ratio": statistics.mean(old) / statistics.mean(young),
            "dearest ms": max(self.costs[_FIRST:]),
            "manifests": len(self.table.manifests()),
        }


def _summary(number: int) -> dict[str, str]:
    upper = (START + timedelta(minutes=15) * number).isoformat()
    entries = {
        "batch-id": str(uuid4()),
        "kind": "window",
        "window-lower": upper,
        "window-upper": upper,
        "last-upper": upper,
        "last-generation": "1",
        "digest": "0" * 32,
        "event-id": str(uuid4()),
        "traceparent": str(TRIGGER.traceparent),
    }
    return {f"{PREFIX}{name}": value for name, value in entries.items()}


def measure(folder: Path, snapshots: int, measured: int, retain: int) -> dict[str, dict[str, float]]:
    """Let two tables grow in turn, and return the figures of both ways."""
    stream = replace(STREAM, retain_snapshots=retain, partition_by=PartitionBy.NONE)
    before = {TableProperties.MANIFEST_MIN_MERGE_COUNT: "20"}
    both = {
        "icehaul": Growing(local_table(folder / "ours", stream), StagedCommit),
        "PyIceberg": Growing(local_table(folder / "theirs", stream, **before), _PyIcebergCommit),
    }
    for _ in range(snapshots + measured):
        for one in both.values():
            one.step()
    return {name: one.figures(snapshots, measured) for name, one in both.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the target is that of a whole batch, so nothing fails here."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.commits", description=__doc__)
    parser.add_argument("--snapshots", type=int, default=500)
    parser.add_argument("--measured", type=int, default=200, help="commits of each mean: several merges are among them")
    parser.add_argument("--retain", type=int, default=100, help="retain_snapshots of the stream")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where the report goes")
    options = parser.parse_args(arguments)
    console = Console(width=200)
    console.print(f"$ python -m tests.bench.commits {' '.join(sys.argv[1:] if arguments is None else arguments)}")
    console.print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="icehaul-bench-") as folder:
        found = measure(Path(folder), options.snapshots, options.measured, options.retain)
    table = Table("CPU of one commit", *found["icehaul"])
    for name, figures in found.items():
        table.add_row(name, *(f"{value:.2f}" for value in figures.values()))
    console.print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": describe_machine(), **found}
    (options.out / "commits.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
