"""A table after any publishes, replacements, foreign commits, tags and expiries: nothing is listed twice, or lost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    RemoveSnapshotsUpdate,
    SetPropertiesUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
    update_table_metadata,
)

from consumer.adapters.iceberg.ancestry import ancestors
from consumer.adapters.iceberg.evidence import read_ancestry, read_properties
from consumer.adapters.iceberg.next_metadata import next_metadata
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.fingerprint import EMPTY
from consumer.domain.repair import KnownBatch, judge
from consumer.domain.window import PartitionBy, Window
from tests.support.cold_tier import HOUR, START, STREAM
from tests.support.local_table import LocalTable, local_table

FAN_IN = 3


@contextmanager
def table_keeping(retain: int, **properties: str) -> Iterator[LocalTable]:
    """A new table; three manifests of a level are merged, so that a few publishes fill several levels."""
    stream = replace(STREAM, retain_snapshots=retain, partition_by=PartitionBy.NONE)
    with tempfile.TemporaryDirectory(prefix="icehaul-table-") as folder:
        yield local_table(Path(folder), stream, **({"commit.manifest.min-count-to-merge": str(FAN_IN)} | properties))


class Publishes:
    """Publishes as the ledger would have them, each with the evidence that it leaves in the table."""

    def __init__(self, table: LocalTable) -> None:
        self.table = table
        self.known: list[KnownBatch] = []

    def append(self, files: int) -> None:
        """The next window's files."""
        self._publish(lambda summary, properties: self.table.append(files, summary, properties))

    def replace(self, choice: int) -> None:
        """Another file for one of the live ones, if there is any."""
        live = sorted(self.table.live)
        if live:
            path = live[choice % len(live)]
            self._publish(lambda summary, properties: self.table.replace(path, summary, properties))

    def foreign(self) -> None:
        """A snapshot of another engine."""
        self.table.append(1, {}, {}, merging=False)

    def _publish(self, commit: Callable[[dict[str, str], dict[str, str]], int]) -> None:
        number, batch_id = len(self.known), uuid4()
        window = Window(lower=START + HOUR * number, upper=START + HOUR * (number + 1))
        proved = {"last-upper": window.upper.isoformat(), "last-generation": "1"}
        summary = {f"icehaul.{name}": value for name, value in {**proved, "batch-id": str(batch_id)}.items()}
        repeated = {
            **proved,
            "last-lower": window.lower.isoformat(),
            "last-end": window.upper.isoformat(),
            "last-batch-id": str(batch_id),
            "last-snapshot-id": "0",
        }
        snapshot_id = commit(summary, {f"icehaul.{name}": value for name, value in repeated.items()})
        self.known.append(known(batch_id, window, snapshot_id, number))


def known(batch_id: UUID, window: Window, snapshot_id: int, number: int) -> KnownBatch:
    """What the ledger says of a published batch."""
    return KnownBatch(
        id=batch_id,
        kind=BatchKind.WINDOW,
        window=window,
        status=BatchStatus.PUBLISHED,
        fingerprint=EMPTY,
        revision=0,
        snapshot_id=snapshot_id,
        epoch=1,
        ended=START + timedelta(seconds=number),
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 4)),
        st.tuples(st.just("append"), st.integers(1, 4)),
        st.tuples(st.just("replace"), st.integers(0, 100)),
        st.tuples(st.just("foreign"), st.just(0)),
        st.tuples(st.just("tag"), st.integers(0, 5)),
    ),
    max_size=24,
)


@settings(max_examples=15)
@given(STEPS, st.integers(1, 6))
@example([("append", 1)] * 20, 2)
@example([("append", 1)] * 9 + [("replace", 3)] + [("append", 2)] * 9, 3)
def test_after_any_series_each_file_is_listed_once_and_each_batch_is_found(
    steps: list[tuple[str, int]], retain: int
) -> None:
    with table_keeping(retain) as table:
        publishes = Publishes(table)
        tagged: dict[str, int] = {}
        for what, number in steps:
            if what == "append":
                publishes.append(number)
            elif what == "replace":
                publishes.replace(number)
            elif what == "foreign":
                publishes.foreign()
            elif table.metadata.current_snapshot_id is not None and f"cut-{number}" not in tagged:
                tagged[f"cut-{number}"] = table.tag(f"cut-{number}")
        check_snapshots(table, tagged)
        check_batches(publishes)


def check_snapshots(table: LocalTable, tagged: dict[str, int]) -> None:
    """Every snapshot that is kept lists what it always listed, each file once, and as old as it is."""
    kept = {snapshot.snapshot_id for snapshot in table.metadata.snapshots}
    assert kept >= set(tagged.values())
    for snapshot_id in kept:
        listed, twice = table.listed(snapshot_id)
        assert not twice
        assert listed == table.held[snapshot_id]
    assert {entry.snapshot_id for entry in table.metadata.snapshot_log} == kept


def check_batches(publishes: Publishes) -> None:
    """What was published is proved by the table, by a snapshot or by its place before the oldest that is left."""
    metadata = publishes.table.metadata
    ancestry, repeated = read_ancestry(metadata), read_properties(metadata)
    evidence = ancestry.evidence or (repeated.evidence if repeated is not None else None)
    if publishes.known:
        assert evidence is not None
        assert evidence.batch_id == publishes.known[-1].id
    judged = judge(publishes.known, ancestry.lineage, evidence)
    assert judged.kept == tuple(publishes.known)


def test_manifests_stay_few_and_the_newest_is_of_the_publish_alone() -> None:
    with table_keeping(2) as table:
        publishes, numbers = Publishes(table), []
        for _ in range(2 * FAN_IN**3):
            publishes.append(1)
            numbers.append(len(table.manifests()))
        assert max(numbers) <= 4 * (FAN_IN - 1) + 2
        newest = table.manifests()[0]
        assert newest.added_snapshot_id == table.metadata.current_snapshot_id
        assert (newest.added_files_count, newest.existing_files_count) == (1, 0)


def test_merging_leaves_no_manifest_behind_that_nothing_refers_to() -> None:
    with table_keeping(1_000) as table:
        publishes = Publishes(table)
        for _ in range(2 * FAN_IN**2):
            publishes.append(1)
        folder = Path(table.metadata.location.removeprefix("file://")) / "metadata"
        written = {f"file://{path}" for path in folder.iterdir() if "-m" in path.name}
        listed = {one.manifest_path for each in table.metadata.snapshots for one in table.manifests(each.snapshot_id)}
        assert written == listed


def test_nothing_is_merged_where_the_table_says_so() -> None:
    with table_keeping(2, **{"commit.manifest-merge.enabled": "false"}) as table:
        publishes = Publishes(table)
        for _ in range(10):
            publishes.append(1)
        assert len(table.manifests()) == 10


def test_one_append_writes_no_manifest_beyond_the_tables_target_size() -> None:
    with table_keeping(2, **{"commit.manifest.target-size-bytes": "20000"}) as table:
        publishes = Publishes(table)
        for _ in range(40):
            publishes.append(2)
        assert max(one.manifest_length for one in table.manifests()) <= 20_000
        assert len(table.manifests()) < 40


def with_snapshots(number: int) -> TableMetadata:
    """The metadata of a table with so many snapshots, all kept."""
    with table_keeping(1_000) as table:
        publishes = Publishes(table)
        for _ in range(number):
            publishes.append(1)
        table.tag("cut")
        return table.metadata


@pytest.fixture(scope="module")
def metadata() -> TableMetadata:
    return with_snapshots(8)


@pytest.mark.parametrize("expired", [(), (0,), (0, 1, 2), (1, 4)])
def test_the_next_metadata_is_what_pyiceberg_makes_of_the_same_changes(
    metadata: TableMetadata, expired: tuple[int, ...]
) -> None:
    current = metadata.current_snapshot()
    assert current is not None
    assert len(metadata.snapshot_log) == len(metadata.snapshots)
    new = current.model_copy(
        update={
            "snapshot_id": 7,
            "parent_snapshot_id": current.snapshot_id,
            "sequence_number": metadata.next_sequence_number(),
        }
    )
    main = {"type": "branch", "ref_name": "main", "snapshot_id": 7}
    changes: tuple[TableUpdate, ...] = (
        AddSnapshotUpdate(snapshot=new),
        SetSnapshotRefUpdate(**main),
        SetPropertiesUpdate(updates={"a": "b"}),
        SetSnapshotRefUpdate(
            **{**main, "type": "tag", "ref_name": "old", "snapshot_id": metadata.snapshots[3].snapshot_id}
        ),
        *(
            [RemoveSnapshotsUpdate(snapshot_ids=[metadata.snapshots[place].snapshot_id for place in expired])]
            if expired
            else []
        ),
    )
    before = metadata.model_dump_json()
    expected = update_table_metadata(metadata, changes, metadata_location="s3://lake/5.metadata.json")
    found = next_metadata(metadata, changes, location="s3://lake/5.metadata.json")
    assert found.model_dump_json() == expected.model_dump_json()
    assert metadata.model_dump_json() == before


def test_ancestors_end_where_expiry_has_been(metadata: TableMetadata) -> None:
    ids = [one.snapshot_id for one in metadata.snapshots]
    assert [one.snapshot_id for one in ancestors(metadata, ids[-1])] == ids[::-1]
    assert [one.snapshot_id for one in ancestors(metadata, ids[2])] == [ids[2], ids[1], ids[0]]
    shortened = metadata.model_copy(update={"snapshots": metadata.snapshots[3:]})
    assert [one.snapshot_id for one in ancestors(shortened, ids[-1])] == ids[:2:-1]
    assert list(ancestors(metadata, None)) == []
