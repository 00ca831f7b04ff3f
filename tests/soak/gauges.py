"""What a platform holds at the end of a quarter hour: memory and handles of a consumer, files, snapshots, ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyiceberg.table import Table

from consumer.demo.market import TABLES
from tests.soak.stage import TARGET_FILE_BYTES, SoakStage
from tests.support.cold_tier import other_engine
from tests.support.processes import family, rss_kib

_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was there at the end of a tick.

    Attributes:
        tick: number of the tick, from 0.
        memory_mib: resident memory of the consumer that stays, its Spark included. Shared pages count in full: it is
            forked from a process that lives on, and what it has of its own grows with each page that it touches.
        handles: open files and sockets of that consumer's processes.
        threads: threads of that consumer's processes.
        ledger_mib: size of the ledger's database, the catalog's tables included.
        files: live data files of the ten tables.
        small_files: those of them that could be fewer, see :func:`small_files`; ``None`` where nobody has counted.
        snapshots: snapshots that the ten tables keep.
    """

    tick: int
    memory_mib: float
    handles: int
    threads: int
    ledger_mib: float
    files: int
    small_files: int | None
    snapshots: int


def read_gauges(stage: SoakStage, pid: int, tick: int, *, every_file: bool = False) -> Reading:
    """Read all gauges; small files are counted with ``every_file``.

    ``pid`` is the process of the consumer that stays.
    """
    ((size,),) = stage.query(b"SELECT pg_database_size(current_database())")
    processes = family(pid)
    files = small = snapshots = 0
    for table in _tables(stage):
        current = table.current_snapshot()
        if current is None or current.summary is None:
            continue
        files += int(current.summary["total-data-files"] or 0)
        small += small_files(_live(table)) if every_file else 0
        snapshots += len(table.metadata.snapshots)
    return Reading(
        tick=tick,
        memory_mib=round(sum(map(rss_kib, processes)) / _KIB, 1),
        handles=sum(_entries(one, "fd") for one in processes),
        threads=sum(_entries(one, "task") for one in processes),
        ledger_mib=round(size / _KIB / _KIB, 2),
        files=files,
        small_files=small if every_file else None,
        snapshots=snapshots,
    )


def small_files(live: Mapping[str, tuple[object, int]]) -> int:
    """Count the files that could be fewer: less than half full, and not alone in that in their place.

    ``live`` has place and bytes of each file, by path. A place is a partition and a set of columns: a file keeps the
    columns with which its rows were written. A day with a single small file has no file too many.
    """
    small: dict[object, int] = {}
    for place, size in live.values():
        if size * 2 < TARGET_FILE_BYTES:
            small[place] = small.get(place, 0) + 1
    return sum(count for count in small.values() if count > 1)


def _tables(stage: SoakStage) -> Iterator[Table]:
    with other_engine(stage.dsn, stage.application.configuration.store) as engine:
        for name in TABLES:
            target = stage.application.streams[name].target
            path = (target.database, target.table)
            if engine.table_exists(path):
                yield engine.load_table(path)


def _live(table: Table) -> Mapping[str, tuple[object, int]]:
    found: dict[str, tuple[object, int]] = {}
    snapshot = table.current_snapshot()
    for manifest in snapshot.manifests(table.io) if snapshot is not None else ():
        for entry in manifest.fetch_manifest_entry(table.io):
            file = entry.data_file
            place = (file.partition[0] if len(file.partition) else None, frozenset(file.value_counts or ()))
            found[file.file_path] = (place, file.file_size_in_bytes)
    return found


def _entries(pid: int, kind: str) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/{kind}").iterdir())
    except OSError:
        return 0  # it has just ended
