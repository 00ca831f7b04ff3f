"""Origins where the ledger alone does not tell: one id in several tables, streams that are not configured any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.errors import ConfigurationError
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import Window
from consumer.service.origins import Origin, Origins, Snapshot

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
TRADES = Origin(
    stream="trades",
    batch_id=UUID(int=1),
    kind=BatchKind.WINDOW,
    status=BatchStatus.PUBLISHED,
    window=Window(lower=NOON, upper=NOON.replace(hour=13)),
    rows=3,
    snapshot_id=17,
    event_ids=("tick-1",),
    coordinates=None,
    trace_id="0af7651916cd43dd8448eb211c80319c",
    started=NOON,
    ended=NOON,
)
BARS = replace(TRADES, stream="bars", batch_id=UUID(int=2))


@dataclass
class Known:
    """A ledger and tables that hold what they are given."""

    batches: Sequence[Origin] = ()
    snapshots: dict[tuple[str, int], Snapshot] = field(default_factory=dict)

    def of_snapshot(self, snapshot_id: int) -> Sequence[Origin]:
        return [one for one in self.batches if one.snapshot_id == snapshot_id]

    def of_batch(self, batch_id: UUID) -> Sequence[Origin]:
        return [one for one in self.batches if one.batch_id == batch_id]

    def of_event(self, event_id: str) -> Sequence[Origin]:
        return [one for one in self.batches if event_id in one.event_ids]

    def snapshot(self, stream: Stream, snapshot_id: int) -> Snapshot | None:
        return self.snapshots.get((stream.name, snapshot_id))


def origins(known: Known, *streams: str) -> Origins:
    configured = {
        name: Stream(
            name=name,
            source=TableName.parse(f"market.{name}"),
            target=TableName.parse(f"bronze.{name}"),
            timestamp_column="ts",
        )
        for name in streams
    }
    return Origins(recorded=known, snapshots=known, streams=configured)


def test_an_id_that_several_streams_have_needs_the_name_of_one() -> None:
    found = origins(Known([TRADES, BARS]), "trades", "bars")
    with pytest.raises(ConfigurationError, match="stream bars and stream trades have a snapshot of that id") as refused:
        found.of_snapshot(17)
    assert "icehaul trace STREAM --snapshot ID" in refused.value.remedy
    assert found.of_snapshot(17, "bars") == BARS


def test_an_event_of_several_batches_has_them_all_or_those_of_a_stream() -> None:
    found = origins(Known([TRADES, BARS]), "trades", "bars")
    assert found.of_event("tick-1") == [TRADES, BARS]
    assert found.of_event("tick-1", "bars") == [BARS]
    assert found.of_event("tick-2") == []


@pytest.mark.parametrize("sampled", [True, False, None])
def test_the_snapshot_tells_whether_the_trace_was_sampled(sampled: bool | None) -> None:
    known = Known([TRADES], {("trades", 17): Snapshot(origin=replace(TRADES, sampled=sampled), by="icehaul")})
    assert origins(known, "trades").of_batch(TRADES.batch_id).sampled is sampled


def test_a_batch_of_a_stream_that_is_not_configured_any_more_is_still_known() -> None:
    assert origins(Known([TRADES])).of_batch(TRADES.batch_id) == TRADES


def test_a_seal_is_no_snapshot_of_a_batch() -> None:
    known = Known(snapshots={("trades", 17): Snapshot(origin=None, by="a seal of today, which has no rows")})
    with pytest.raises(ConfigurationError, match=r"it was not written by icehaul: in bronze\.trades it is a seal"):
        origins(known, "bars", "trades").of_snapshot(17)
