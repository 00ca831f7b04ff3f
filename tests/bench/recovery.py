"""How long it takes to rebuild a ledger from a table with many snapshots: ``make bench-recovery``.

The table is put on the store without the product: a small data file and a snapshot with evidence for each quarter of
an hour. Neither catalog nor ledger knows it. Measured is `icehaul recover --yes`: finding the newest metadata file,
looking whether all files are there, pointing the catalog to it, and letting the ledger follow the table. Both tiers are
compared afterwards.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pytest
import structlog
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from rich.console import Console

from consumer.adapters.iceberg.evidence import PREFIX
from consumer.adapters.iceberg.metadata_files import home, write_next
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.adapters.iceberg.store import StoreFileIO
from consumer.adapters.iceberg.tables import new_metadata
from consumer.adapters.iceberg.target import Base
from consumer.bootstrap import Application
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.embedded.endpoints import Endpoints
from consumer.embedded.stack import EmbeddedStack
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform, mapping_of
from tests.support.machine import describe_machine
from tests.support.platform import day

LIMIT_S = 60.0
"""What the rebuild from 5,000 snapshots may take."""

_SPAN = timedelta(minutes=15)
_FIRST = day("2024-01-01")
_WRITERS = 8
_FILES_OF_A_COMMIT = 100
_COLUMNS = "ts DateTime64(6, 'UTC'), seq Int64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one recovery took and found."""

    snapshots: int
    rows: int
    windows: int
    fill_seconds: float
    seconds: float
    equal: bool


def _rows_of(window: Window, number: int, rows: int) -> pa.Table:
    step = _SPAN / rows
    return pa.table(
        {
            "ts": pa.array([window.lower + step * one for one in range(rows)], pa.timestamp("us", "UTC")),
            "seq": pa.array(range(number * rows, (number + 1) * rows), pa.int64()),
        },
        # Both are there in every row of the source.
        schema=pa.schema(
            [
                pa.field("ts", pa.timestamp("us", "UTC"), nullable=False),
                pa.field("seq", pa.int64(), nullable=False),
            ]
        ),
    )


def _summary(window: Window, number: int, rows: int) -> dict[str, str]:
    entries = {
        "batch-id": str(UUID(int=number + 1)),
        "kind": "window",
        "window-lower": window.lower.isoformat(),
        "window-upper": window.upper.isoformat(),
        "rows": str(rows),
        "epoch": "7",
        "last-upper": window.upper.isoformat(),
        "last-generation": "1",
    }
    return {f"{PREFIX}{name}": value for name, value in entries.items()}


def put_table(platform: LocalPlatform, application: Application, stream: Stream, snapshots: int, rows: int) -> None:
    """Put a table with so many snapshots on the store, and the same rows into the source.

    Commits would take longer than the recovery that is measured: files of many snapshots come with one of them, and the
    metadata lists the others besides.
    """
    store = application.configuration.store
    io = StoreFileIO(store)
    location = home(store, stream.target)
    metadata = new_metadata(stream, mapping_of(application, stream.name), location)
    base = Base(name=stream.target, location=f"{location}/metadata/00000-none.metadata.json", metadata=metadata)
    windows = [Window(lower=_FIRST + _SPAN * at, upper=_FIRST + _SPAN * (at + 1)) for at in range(snapshots)]
    arrived = [_rows_of(window, number, rows) for number, window in enumerate(windows)]

    def written(arrow: pa.Table) -> list[DataFile]:
        return list(_dataframe_to_data_files(table_metadata=metadata, df=arrow, io=io))

    ids: dict[int, int] = {}
    with ThreadPoolExecutor(_WRITERS) as pool:
        files = list(pool.map(written, arrived))
    for start in range(0, snapshots, _FILES_OF_A_COMMIT):
        last = min(start + _FILES_OF_A_COMMIT, snapshots) - 1
        commit = StagedCommit(base.table(io))
        together = [file for some in files[start : last + 1] for file in some]
        ids[last] = commit.append_files(together, _summary(windows[last], last, rows))
        base = Base(name=base.name, location=base.location, metadata=commit.result())
    write_next(base, _with_all_snapshots(base.metadata, windows, ids, rows), io)
    platform.client.insert_arrow(f"{stream.source.database}.{stream.source.table}", pa.concat_tables(arrived))


def _with_all_snapshots(
    metadata: TableMetadata, windows: Sequence[Window], ids: Mapping[int, int], rows: int
) -> TableMetadata:
    """Return metadata with a snapshot for each window, in one line of ancestors; those of ``ids`` are there already."""
    made = {snapshot.snapshot_id: snapshot for snapshot in metadata.snapshots}
    snapshots: list[Snapshot] = []
    for number, window in enumerate(windows):
        like = made[ids[next(at for at in ids if at >= number)]]
        own = number in ids
        summary = Summary(operation=Operation.APPEND, **_summary(window, number, rows))
        snapshots.append(
            like.model_copy(
                update={
                    "snapshot_id": like.snapshot_id if own else number + 1,
                    "parent_snapshot_id": snapshots[-1].snapshot_id if snapshots else None,
                    "summary": like.summary if own else summary,
                }
            )
        )
    return metadata.model_copy(update={"snapshots": snapshots})


def measure(platform: LocalPlatform, snapshots: int, rows: int) -> Found:
    """Recover a stream whose table has so many snapshots, of so many rows each."""
    name = platform.add_stream("lost", columns=_COLUMNS, partition_by="none", retain_snapshots=max(snapshots, 1))
    with platform.consumer() as application:
        stream = application.streams[name]
        started = time.perf_counter()
        put_table(platform, application, stream, snapshots, rows)
        filled = time.perf_counter()
        found = application.recoveries.recover(stream)
        ended = time.perf_counter()
        assert found.repaired is not None, found.doubt
        compared = application.verifier.verify(stream)
        return Found(
            snapshots=snapshots,
            rows=compared.cold.rows,
            windows=len(found.repaired.rebuilt),
            fill_seconds=filled - started,
            seconds=ended - filled,
            equal=compared.equal,
        )


@contextmanager
def running(endpoints: Endpoints, scratch: Path, name: str = "recovery") -> Iterator[LocalPlatform]:
    """A platform with an empty ledger."""
    with (
        pytest.MonkeyPatch.context() as patch,
        ledger_database(endpoints, name) as dsn,
        local_platform(endpoints, name, dsn, scratch, patch) as platform,
    ):
        yield platform


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if the rebuild takes longer than it may, or both tiers differ after it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.recovery", description=__doc__)
    parser.add_argument("--snapshots", type=int, default=200)
    parser.add_argument("--rows", type=int, default=20, help="of one snapshot")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where the report goes")
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console(width=200)
    console.print(f"$ python -m tests.bench.recovery {' '.join(sys.argv[1:] if arguments is None else arguments)}")
    console.print(describe_machine())
    with (
        tempfile.TemporaryDirectory(prefix="icehaul-bench-") as scratch,
        EmbeddedStack.start(Path(scratch) / "stack") as stack,
        running(stack.endpoints, Path(scratch)) as platform,
    ):
        found = measure(platform, options.snapshots, options.rows)
    console.print(f"filled in {found.fill_seconds:.1f} s")
    console.print(
        f"{found.snapshots:,} snapshots, {found.rows:,} rows: recovered in {found.seconds:.1f} s as {found.windows:,}"
        f" windows; may be {LIMIT_S:.0f} s; both tiers {'hold the same' if found.equal else 'DIFFER'}"
    )
    options.out.mkdir(parents=True, exist_ok=True)
    report = {
        "machine": describe_machine(),
        **{name: getattr(found, name) for name in ("snapshots", "rows", "windows", "fill_seconds", "seconds", "equal")},
    }
    (options.out / "recovery.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if found.equal and found.seconds <= LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
