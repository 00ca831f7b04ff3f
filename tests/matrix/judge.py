"""The judge of a case: the rows as a multiset, the ledger against the table, every file, every offset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

from consumer.adapters.iceberg.store import StoreFileIO
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING
from consumer.ports import BatchRecord, StreamState
from tests.matrix.cases import MAINTAINED, Story
from tests.matrix.stage import Stage
from tests.support.cold_tier import other_engine
from tests.support.local_platform import proved_by_snapshots

_ALL = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found at the end of a case.

    Attributes:
        expected: rows of the source tables.
        found: rows of the target tables.
        lost: rows that stand in the hot tier only.
        doubled: rows that stand in the cold tier only, a second copy among them.
        orphans: files on the store that an attempt left behind: accounted for, but in no snapshot.
        problems: everything that is not as it has to be.
    """

    expected: int
    found: int
    lost: int
    doubled: int
    orphans: int
    problems: tuple[str, ...]


def judge(stage: Stage) -> Verdict:
    """Judge all streams of a stage on which nothing runs any more."""
    problems: list[str] = []
    expected = found = lost = doubled = orphans = 0
    for name in stage.streams:
        stream = stage.application.streams[name]
        rows = stage.platform.rows(stream.source.table)
        compared = stage.application.verifier.verify(stream)
        expected += rows
        found += compared.cold.rows
        lost += max(compared.missing, rows - compared.cold.rows)
        doubled += max(compared.surplus, compared.cold.rows - rows)
        if not compared.equal or compared.cold.rows != rows:
            problems.append(f"{name}: {rows} rows in the source, {compared}")
        problems += _ledger(stage, stream)
        left, unknown = _files(stage, stream)
        orphans += left
        problems += unknown
    problems += _events(stage)
    return Verdict(
        expected=expected, found=found, lost=lost, doubled=doubled, orphans=orphans, problems=tuple(problems)
    )


def _ledger(stage: Stage, stream: Stream) -> Iterator[str]:
    """Windows contiguous, one snapshot for each published batch, no watermark above what is committed."""
    ledger, name = stage.application.ledger, stream.name
    record = ledger.read([name])[name]
    if record.state is not StreamState.ACTIVE:
        yield f"{name}: halted: {record.halt_reason}"
    done = [batch for batch in ledger.batches(name, _ALL) if batch.status in {BatchStatus.PUBLISHED, BatchStatus.EMPTY}]
    windows = [batch for batch in done if batch.kind is BatchKind.WINDOW]
    yield from _windows(name, windows)
    if not windows or max(batch.window.upper for batch in windows) != record.watermark:
        yield f"{name}: the watermark {record.watermark} is not the end of the last window"
    target = stage.application.catalog.inspect(stream.target)
    evidence = None if target is None else target.evidence
    uppers = [batch.window.upper for batch in windows if batch.status is BatchStatus.PUBLISHED]
    if evidence is None or not evidence.upper == record.last_upper == max(uppers):
        yield f"{name}: the ledger's last window with rows ends at {record.last_upper}, the table's is {evidence}"
    with other_engine(stage.dsn, stage.application.configuration.store) as engine:
        snapshots = engine.load_table((stream.target.database, stream.target.table)).snapshots()
    ids = sorted(
        snapshot.summary.additional_properties.get("icehaul.batch-id", "no batch")
        for snapshot in snapshots
        # A rewrite carries the evidence of the batch below it.
        if snapshot.summary is not None and snapshot.summary.operation is not Operation.REPLACE
    )
    expected = sorted(proved_by_snapshots(stage.application, name))
    # A table that is maintained keeps its last snapshots only.
    known = set(ids) <= set(expected) and len(ids) == len(set(ids)) if stage.story in MAINTAINED else ids == expected
    if not known:
        yield f"{name}: snapshots of batches {ids}, published are {expected}"


def _windows(name: str, done: Sequence[BatchRecord]) -> Iterator[str]:
    windows = sorted(batch.window for batch in done)
    if windows and windows[0].lower != BEGINNING:
        yield f"{name}: the first window begins at {windows[0].lower}"
    for one, other in pairwise(windows):
        if one.upper != other.lower:
            yield f"{name}: window {one} is followed by {other}"


def _files(stage: Stage, stream: Stream) -> tuple[int, list[str]]:
    """Account for every file under the table: count what attempts left behind, name what nobody knows."""
    store = stage.application.configuration.store
    with other_engine(stage.dsn, store) as engine:
        table = engine.load_table((stream.target.database, stream.target.table))
        live = _referenced(table)
        there = _listed(StoreFileIO(store), table.location())
    missing = [f"{stream.name}: {path} is referred to, but not there" for path in sorted(live - there)]
    recorded = {path for (path,) in stage.query("SELECT path FROM offload_files")}
    prefixes = tuple(f"{prefix}/" for (prefix,) in stage.query("SELECT prefix FROM offload_attempts"))
    left = there - live
    # A metadata file that nothing refers to is what an attempt staged and did not live to remove.
    unknown = [
        path
        for path in sorted(left)
        if path not in recorded and not path.startswith((*prefixes, f"{table.location()}/metadata/"))
    ]
    return len(left), missing + [f"{stream.name}: nobody knows {path}" for path in unknown]


def _referenced(table: Table) -> set[str]:
    files = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    for snapshot in table.snapshots():
        files.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            files.add(manifest.manifest_path)
            files.update(entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io))
    return files


def _listed(io: StoreFileIO, location: str) -> set[str]:
    _, bucket, path = io.parse_location(location)
    found = io.fs_by_scheme("s3", bucket).get_file_info(pa.fs.FileSelector(path, recursive=True))
    return {f"s3://{file.path}" for file in found if file.type == pa.fs.FileType.File}


def _events(stage: Stage) -> Iterator[str]:
    """Offsets committed to the end, nothing waiting in the ledger, no dead letter that nobody wrote."""
    if behind := stage.behind():
        yield f"{behind} events are not acknowledged"
    letters = stage.dead_letters()
    if stage.story in {Story.LETTER, Story.REDRIVE}:
        if letters == 0:
            yield "the message that could not be handled has no dead letter"
        if stage.story is Story.REDRIVE and (left := stage.application.letters.list()):
            yield f"{len(left)} dead letters look unsent"
    elif letters:
        yield f"{letters} dead letters"
