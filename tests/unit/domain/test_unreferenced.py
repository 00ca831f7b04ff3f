"""What a file is that the current metadata does not refer to, and which place belongs to whom."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from consumer.domain.audit import Census, RecordedAttempt, RecordedFile, StoredFile
from consumer.domain.batch import BatchStatus
from consumer.domain.fingerprint import EMPTY
from consumer.domain.removal_policy import RemovalPolicy
from consumer.domain.unreferenced import (
    Heap,
    Kind,
    Unreferenced,
    absent,
    may_become_current,
    overlapping,
    sort_files,
)

TABLE = "s3://lake/bronze/trades"
U = "6f1c2d3e-0000-4000-8000-000000000000"
CURRENT = f"{TABLE}/metadata/00012-{U}.metadata.json"
BATCH = UUID(int=1)


def census(*, referenced: tuple[str, ...] = (), held: tuple[str, ...] = ()) -> Census:
    return Census(
        snapshot_id=1,
        live=(),
        referenced=dict.fromkeys(referenced),
        metadata=frozenset({CURRENT}),
        operations={},
        current=CURRENT,
        held=frozenset(held),
    )


def kind_of(
    path: str,
    *,
    attempt: BatchStatus | None = None,
    recorded: BatchStatus | None = None,
    held: tuple[str, ...] = (),
    location: str = TABLE,
) -> Kind | None:
    """The kind of one file; ``None`` where it is referred to."""
    attempts = []
    if attempt is not None:
        attempts.append(RecordedAttempt(prefix=f"{location}/data/{BATCH}", batch_id=BATCH, status=attempt))
    files = []
    if recorded is not None:
        files.append(
            RecordedFile(path=path, batch_id=BATCH, bytes=1, fingerprint=EMPTY, status=recorded, published=None)
        )
    kinds = sort_files([StoredFile(path=path, bytes=1, modified=None)], census(held=held), location, attempts, files)
    assert set(kinds) == set(Kind)
    found = [kind for kind, those in kinds.items() if those]
    return found[0] if found else None


DATA = f"{TABLE}/data/{BATCH}/0-{U}.parquet"
OPEN = [BatchStatus.WRITING, BatchStatus.PUBLISHING]
CLOSED = [status for status in BatchStatus if status not in OPEN]


@pytest.mark.parametrize("status", OPEN)
def test_files_of_an_open_attempt_are_under_way_whatever_else_is_known_of_them(status: BatchStatus) -> None:
    assert kind_of(DATA, attempt=status) is Kind.UNDER_WAY
    assert kind_of(DATA, attempt=status, recorded=BatchStatus.FAILED) is Kind.UNDER_WAY
    assert kind_of(DATA, attempt=BatchStatus.FAILED, recorded=status) is Kind.UNDER_WAY
    assert kind_of(f"{TABLE}/other/{U}.parquet", recorded=status) is Kind.UNDER_WAY


@pytest.mark.parametrize("status", CLOSED)
def test_files_of_a_closed_attempt_are_left_behind_unless_other_metadata_holds_them(status: BatchStatus) -> None:
    assert kind_of(DATA, attempt=status) is Kind.LEFT
    assert kind_of(DATA, recorded=status) is Kind.LEFT
    assert kind_of(DATA, attempt=status, held=(DATA,)) is Kind.HELD


def test_a_scheme_of_another_engine_makes_no_other_file() -> None:
    assert kind_of(DATA, attempt=BatchStatus.FAILED, location="s3a://lake/bronze/trades") is Kind.LEFT


def test_what_neither_ledger_nor_table_knows_is_unknown() -> None:
    for path in (DATA, f"{TABLE}/notes.txt", f"{TABLE}/metadata/{U}.txt", f"{TABLE}/data/{U}.avro"):
        assert kind_of(path) is Kind.UNKNOWN


@pytest.mark.parametrize("name", [f"{U}-m0.avro", f"snap-7-0-{U}.avro", f"7-{U}.stats", f"00003-{U}.metadata.json"])
def test_metadata_that_nothing_refers_to_is_former_metadata(name: str) -> None:
    assert kind_of(f"{TABLE}/metadata/{name}") is Kind.METADATA


@pytest.mark.parametrize("name", ["v3.metadata.json", "00003.metadata.json", "manifest.avro"])
def test_metadata_whose_name_may_be_given_again_stays(name: str) -> None:
    assert kind_of(f"{TABLE}/metadata/{name}") is Kind.HELD


@pytest.mark.parametrize(
    ("name", "may"),
    [
        (f"00013-{U}.metadata.json", True),
        (f"00012-{U[::-1]}.metadata.json", False),
        (f"00011-{U}.metadata.json", False),
        (f"00013-{U}.gz.metadata.json", True),
        ("v13.metadata.json", True),
        ("v12.metadata.json", False),
        ("anything.metadata.json", True),
    ],
)
def test_only_a_higher_number_may_become_the_current_one(name: str, *, may: bool) -> None:
    assert may_become_current(f"{TABLE}/metadata/{name}", CURRENT) is may


def test_of_a_current_file_without_a_number_nothing_is_known() -> None:
    assert may_become_current(CURRENT, f"{TABLE}/metadata/current.metadata.json")


@pytest.mark.parametrize(
    ("place", "both"),
    [
        (TABLE, True),
        (f"{TABLE}/", True),
        ("s3a://lake/bronze/trades", True),
        (f"{TABLE}/nested", True),
        ("s3://lake/bronze", True),
        (f"{TABLE}_2", False),
        ("s3://lake/bronze/trade", False),
        ("s3://other/bronze/trades", False),
    ],
)
def test_places_overlap_where_one_lies_in_the_other(place: str, *, both: bool) -> None:
    assert overlapping(TABLE, ["s3://lake/gold/bars", place]) is both


def test_a_file_that_is_referred_to_and_not_listed_is_absent_if_it_lies_below_the_table() -> None:
    there, gone, elsewhere = f"{TABLE}/a", f"{TABLE}//b", "s3://lake/other/c"
    found = absent(census(referenced=(there, gone, elsewhere)), TABLE, {there, CURRENT})
    assert list(found) == [gone]
    assert list(absent(census(), TABLE, set())) == [CURRENT]


HOUR = timedelta(hours=1)


def superfluous(policy: RemovalPolicy, found: dict[str, timedelta]) -> Unreferenced:
    kinds = {kind: [StoredFile(path=kind.value, bytes=2, modified=None)] for kind in Kind}
    return Unreferenced(stored=Heap(files=9, bytes=9), kinds=kinds, found=found, policy=policy)


def test_only_what_was_found_for_the_whole_period_is_due_and_the_oldest_comes_first() -> None:
    policy = RemovalPolicy(grace=5 * HOUR, unknown_after=10 * HOUR)
    found = {kind.value: 6 * HOUR for kind in Kind} | {Kind.METADATA.value: 7 * HOUR}
    seen = superfluous(policy, found)
    assert [file.path for file in seen.due] == [Kind.METADATA.value, Kind.LEFT.value]
    assert seen.waiting == Heap(files=1, bytes=2)
    assert seen.next_due == 4 * HOUR


def test_what_was_not_found_before_is_never_due() -> None:
    seen = superfluous(RemovalPolicy(grace=timedelta(0)), {})
    assert list(seen.due) == []
    assert (seen.waiting.files, seen.next_due) == (2, timedelta(0))


def test_without_a_period_for_them_unknown_files_never_go() -> None:
    seen = superfluous(RemovalPolicy(), {kind.value: 1_000 * HOUR for kind in Kind})
    assert {file.path for file in seen.doomed} == {Kind.LEFT.value, Kind.METADATA.value}
    assert (seen.waiting, seen.next_due) == (Heap(), None)
