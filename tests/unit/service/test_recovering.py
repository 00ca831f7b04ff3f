"""A table that ledger and catalog have lost is never made anew over what is left of it; it is found again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from consumer.domain.batch import BatchKind
from consumer.domain.errors import DivergenceError, TargetMismatchError, TargetMissingError
from consumer.domain.recovery import FoundMetadata
from consumer.domain.stream import OnDivergence, TableName
from consumer.ports import StreamState
from consumer.service.backfill.requests import BackfillRequests
from consumer.service.recovering.recoveries import Recoveries
from tests.unit.domain.test_recovery import FOLDER, TABLE, found
from tests.unit.service.test_late_rows import handle, insert
from tests.unit.service.test_offload import NOW, rows
from tests.unit.service.test_repair import Lake


@dataclass
class Shelf:
    """The metadata files of one table, and the catalog's pointer, as the port ``LostTables`` has them."""

    files: dict[str, FoundMetadata] = field(default_factory=dict)
    at: str | None = None
    room: list[tuple[str, int]] = field(default_factory=list)

    def put(self, *files: FoundMetadata) -> None:
        self.files |= {one.location: one for one in files}

    def pointer(self, table: TableName) -> str | None:
        return self.at

    def metadata_files(self, table: TableName) -> Sequence[str]:
        return [*self.files, f"{FOLDER}/snap-1.avro"]

    def read(self, table: TableName, location: str) -> FoundMetadata | None:
        return self.files.get(location)

    def point(self, table: TableName, *, base: str | None, location: str) -> None:
        assert self.at == base
        self.at = location

    def make_room(self, stream: str, start: datetime, epoch: int) -> None:
        assert start.tzinfo is UTC
        self.room.append((stream, epoch))


@pytest.fixture
def lake() -> Lake:
    made = Lake()
    insert(made, *rows(11))
    handle(made)
    assert made.whole()
    return made


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def recoveries(lake: Lake, shelf: Shelf) -> Recoveries:
    return Recoveries(
        tables=shelf, ledger=lake.ledger, recovery=shelf, repairs=lake.repairs, failpoints=lake.failpoints
    )


def lose_ledger(lake: Lake) -> None:
    """Let the ledger forget all that it knows of the stream."""
    lake.ledger.repairs.delete("trades")
    lake.edit(watermark=lake.record.start, last_upper=None, last_batch_id=None, source_uuid=None, target_uuid=None)


@pytest.mark.parametrize("on_divergence", OnDivergence)
def test_no_new_table_is_made_over_one_that_ledger_and_catalog_have_lost(on_divergence: OnDivergence) -> None:
    lake = Lake(on_divergence=on_divergence)
    insert(lake, *rows(5))
    handle(lake)
    lose_ledger(lake)
    lake.catalog.drop(lake.stream.target)
    handle(lake)
    assert lake.record.state is StreamState.HALTED
    assert "icehaul recover trades" in str(lake.record.halt_remedy)
    assert lake.stream.target not in lake.catalog.tables


def test_a_table_that_never_had_rows_is_made_again() -> None:
    lake = Lake()
    handle(lake)
    lose_ledger(lake)
    lake.catalog.drop(lake.stream.target)
    insert(lake, *rows(5))
    handle(lake)
    assert lake.whole()


def test_history_below_the_start_is_found_again_in_the_table_alone() -> None:
    lake = Lake(start=NOW - timedelta(days=3))
    insert(lake, *rows(5), *rows(6, days_ago=5), *rows(2, days_ago=9))
    handle(lake)
    requests = BackfillRequests(
        source=lake.source, ledger=lake.ledger, backfills=lake.ledger.backfills, failpoints=lake.failpoints
    )
    requests.request(lake.stream, NOW - timedelta(days=10), NOW - timedelta(days=3))
    while lake.ledger.backfills.open("trades"):
        handle(lake)
    assert lake.whole()
    lose_ledger(lake)
    done = lake.repair()
    assert done.watermark == lake.record.watermark
    kinds = {one.kind for one in lake.ledger.batches("trades", 100) if one.rows}
    assert kinds == {BatchKind.WINDOW, BatchKind.BACKFILL}
    insert(lake, *rows(4, days_ago=1.5))
    handle(lake)
    assert lake.whole()
    assert not lake.review().needed


def test_a_catalog_that_points_to_a_whole_table_is_left_as_it_is(lake: Lake, shelf: Shelf) -> None:
    shelf.put(found(8), found(9))
    shelf.at = found(9).location
    assert not recoveries(lake, shelf).recover(lake.stream).needed
    assert shelf.at == found(9).location
    assert not shelf.room


def test_a_review_changes_nothing(lake: Lake, shelf: Shelf) -> None:
    shelf.put(found(8, uuid=lake.record.target_uuid), found(9, uuid=lake.record.target_uuid))
    assert recoveries(lake, shelf).review(lake.stream).needed
    assert (shelf.at, shelf.room) == (None, [])


def test_an_empty_ledger_gets_room_above_the_epochs_of_before(lake: Lake, shelf: Shelf) -> None:
    shelf.put(found(9, epoch=41))
    lose_ledger(lake)
    done = recoveries(lake, shelf).recover(lake.stream)
    assert shelf.at == found(9).location
    assert shelf.room == [("trades", 41)]
    assert done.repaired is None, "a table without evidence is adopted, not repaired"


def test_a_ledger_that_knows_the_stream_is_left_to_a_repair(lake: Lake, shelf: Shelf) -> None:
    before = lake.record
    shelf.put(found(9, uuid=before.target_uuid))
    assert recoveries(lake, shelf).recover(lake.stream).repaired is None
    assert shelf.at == found(9).location
    assert not shelf.room
    assert lake.record == before


@pytest.mark.parametrize(
    ("files", "candidates"),
    [
        ([found(9), replace(found(9), location=f"{FOLDER}/00009-b.metadata.json"), found(8)], 3),
        ([found(9, missing=("s3://lake/gone",)), found(8, missing=("s3://lake/gone",)), found(7), found(6)], 3),
        ([found(9), found(8, sequence=12), found(7)], 2),
    ],
)
def test_what_is_in_doubt_is_shown_down_to_a_file_that_is_whole_and_nothing_is_changed(
    lake: Lake, shelf: Shelf, files: Sequence[FoundMetadata], candidates: int
) -> None:
    lose_ledger(lake)
    shelf.put(*files)
    done = recoveries(lake, shelf).recover(lake.stream)
    assert done.doubt is not None
    assert len(done.candidates) == candidates
    assert (shelf.at, shelf.room) == (None, [])


def test_a_file_that_somebody_has_chosen_is_taken_only_if_it_is_whole(lake: Lake, shelf: Shelf) -> None:
    lose_ledger(lake)
    shelf.put(found(9, missing=("s3://lake/gone",)), found(8))
    with pytest.raises(DivergenceError, match="needs 1 file that the store does not hold"):
        recoveries(lake, shelf).recover(lake.stream, found(9).location)
    with pytest.raises(TargetMissingError, match="--metadata"):
        recoveries(lake, shelf).recover(lake.stream, found(5).location)
    recoveries(lake, shelf).recover(lake.stream, found(8).location)
    assert shelf.at == found(8).location


def test_a_table_of_another_stream_is_not_taken(lake: Lake, shelf: Shelf) -> None:
    lose_ledger(lake)
    shelf.put(found(9, owner="quotes"))
    with pytest.raises(TargetMismatchError, match="belongs to the stream 'quotes'"):
        recoveries(lake, shelf).recover(lake.stream)
    assert shelf.at is None


def test_another_table_than_the_ledger_knows_is_not_taken(lake: Lake, shelf: Shelf) -> None:
    shelf.put(found(9, uuid=UUID(int=7)))
    with pytest.raises(DivergenceError, match="the ledger has recorded rows in the table"):
        recoveries(lake, shelf).recover(lake.stream)
    assert shelf.at is None


@pytest.mark.parametrize("pointer", [None, f"{FOLDER}/00099-gone.metadata.json"])
def test_where_nothing_is_left_it_is_said_so(lake: Lake, shelf: Shelf, pointer: str | None) -> None:
    shelf.at = pointer
    with pytest.raises(TargetMissingError, match="the store holds no metadata file of"):
        recoveries(lake, shelf).review(lake.stream)


def test_a_pointer_to_a_file_that_is_gone_is_moved_to_the_newest_that_is_there(lake: Lake, shelf: Shelf) -> None:
    known: Mapping[str, object] = {"uuid": lake.record.target_uuid}
    shelf.put(found(3, **known), found(4, **known))
    shelf.at = found(9).location
    assert lake.record.target_uuid != TABLE
    done = recoveries(lake, shelf).recover(lake.stream)
    assert done.chosen is not None
    assert shelf.at == done.chosen.location == found(4).location
