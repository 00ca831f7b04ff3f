"""What a committed offset says about where to go on, and what is told of one that does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.offset_incident import Bounds, IncidentKind, OffsetIncident, Standing, judge_standing

HERE = "one-id"
OFFSETS = st.one_of(st.none(), st.integers(0, 20))
IDS = st.one_of(st.none(), st.sampled_from([HERE, "other-id"]))
STANDINGS = st.builds(
    Standing, committed=OFFSETS, marked=st.booleans(), topic_id_then=IDS, topic_id=IDS, remembered=OFFSETS
)
BOUNDS = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda pair: Bounds(first=min(pair), end=max(pair)))


def incident(kind: IncidentKind, standing: Standing, bounds: Bounds, attempted: int | None = None) -> OffsetIncident:
    return OffsetIncident(
        kind=kind, topic="t", partition=3, partitions=12, standing=standing, bounds=bounds, attempted=attempted
    )


@pytest.mark.parametrize(
    ("standing", "bounds", "expected"),
    [
        (Standing(committed=5), Bounds(first=0, end=9), None),
        (Standing(committed=5), Bounds(first=5, end=5), None),
        (Standing(committed=5), Bounds(first=6, end=9), IncidentKind.RETENTION),
        (Standing(committed=5), Bounds(first=0, end=4), IncidentKind.BEYOND_END),
        (Standing(committed=5, marked=False), Bounds(first=0, end=9), IncidentKind.MOVED),
        (Standing(committed=5, marked=False), Bounds(first=0, end=4), IncidentKind.BEYOND_END),
        (Standing(committed=5, topic_id_then="a", topic_id="a"), Bounds(first=0, end=9), None),
        (Standing(committed=5, topic_id_then="a", topic_id="b"), Bounds(first=0, end=9), IncidentKind.TOPIC_RECREATED),
        (Standing(committed=5, topic_id_then="a"), Bounds(first=0, end=9), None),
        (Standing(committed=None), Bounds(first=0, end=9), None),
        (Standing(committed=None, remembered=5), Bounds(first=0, end=9), IncidentKind.OFFSETS_LOST),
        (Standing(committed=None, remembered=5), Bounds(first=0, end=5), IncidentKind.TOPIC_RECREATED),
    ],
)
def test_what_happened_is_told_from_offsets_topic_ids_and_the_ledgers_memory(
    standing: Standing, bounds: Bounds, expected: IncidentKind | None
) -> None:
    assert judge_standing(standing, bounds) is expected


@given(STANDINGS, BOUNDS)
def test_reading_goes_on_within_what_the_partition_holds_and_skips_nothing_that_nobody_skipped(
    standing: Standing, bounds: Bounds
) -> None:
    kind = judge_standing(standing, bounds)
    if kind is None:
        assert standing.committed is None or bounds.first <= standing.committed <= bounds.end
        return
    found = incident(kind, standing, bounds)
    assert bounds.first <= found.start <= bounds.end
    if kind is not IncidentKind.MOVED:
        assert found.start == bounds.first, "everything that is left is read"
    assert str(found.start) in found.message
    assert found.remedy


@given(STANDINGS, BOUNDS)
def test_only_a_suspicious_standing_is_wrong_whatever_the_partition_holds(standing: Standing, bounds: Bounds) -> None:
    kind = judge_standing(standing, bounds)
    out_of_range = {IncidentKind.RETENTION, IncidentKind.BEYOND_END}
    if kind is not None and kind not in out_of_range:
        assert standing.suspicious


@pytest.mark.parametrize("kind", IncidentKind)
def test_every_incident_says_what_happened_where_reading_goes_on_and_what_to_do(kind: IncidentKind) -> None:
    found = incident(kind, Standing(committed=2, remembered=7), Bounds(first=5, end=9))
    assert found.message.startswith("t/3: ")
    assert found.message.endswith(f"; reading goes on at offset {found.start}")
    assert found.remedy.endswith("no row is lost or doubled: the partition's streams are reconciled")


def test_an_offset_that_was_asked_for_in_vain_is_named_instead_of_the_committed_one() -> None:
    found = incident(IncidentKind.RETENTION, Standing(committed=2), Bounds(first=9, end=9), attempted=8)
    assert "1 event from offset 8 on was" in found.message.replace("were", "was")
