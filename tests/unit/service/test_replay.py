"""A stretch of time may be gone through again: what the table holds adds nothing, what it lacks is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from consumer.domain.errors import DivergenceError
from consumer.domain.window import BEGINNING, Window
from consumer.ports import Comparison, StreamState
from consumer.service.replay.replays import Recognition, Replay, Replays
from tests.unit.service.test_late_rows import handle, insert
from tests.unit.service.test_offload import NEVER, NOW, rows
from tests.unit.service.test_repair import Lake

ALL = Window(lower=BEGINNING, upper=NOW)


@pytest.fixture
def lake() -> Lake:
    found = Lake()
    insert(found, *rows(11))
    handle(found)
    return found


def replay(lake: Lake, within: Window = ALL, *, heal: bool = False) -> Replay:
    return Replays(
        source=lake.source,
        ledger=lake.ledger,
        catalog=lake.catalog,
        repairs=lake.repairs,
        run=lake.offload().run,
    ).replay(lake.stream, within, NEVER, heal=heal)


def hide(lake: Lake) -> None:
    """Let the ledger believe that it has compared the partitions as they are."""
    claim = lake.ledger.claim("trades", "nobody", timedelta(0))
    contents = lake.source.survey(lake.stream).contents
    known = lake.ledger.partitions("trades")
    partitions = [replace(one, content=contents[id_]) for id_, one in known.items()]
    lake.ledger.record_comparison(claim, Comparison(partitions=partitions))
    lake.ledger.release(claim)


def test_what_is_in_the_table_is_recognised_and_adds_no_row(lake: Lake) -> None:
    before = lake.snapshots()
    done = replay(lake)
    assert {one.recognition for one in done.windows} == {Recognition.RECOGNISED}
    assert sum(one.added for one in done.windows) == 0
    assert lake.snapshots() == before


def test_rows_that_nobody_noticed_are_found_although_their_partition_looks_as_before(lake: Lake) -> None:
    insert(lake, *rows(2))
    hide(lake)
    handle(lake)
    assert not lake.whole(), "an event does not look again"
    done = replay(lake)
    assert sum(one.added for one in done.windows if one.recognition is Recognition.SUPPLEMENTED) == 2
    assert lake.whole()


def test_rows_above_the_watermark_are_written(lake: Lake) -> None:
    insert(lake, *rows(3, days_ago=1))
    lake.source.time = NOW + timedelta(hours=1)
    done = replay(lake, Window(lower=BEGINNING, upper=NOW + timedelta(hours=1)))
    assert sum(one.added for one in done.windows) == 3
    assert lake.whole()


def test_a_table_that_lacks_rows_halts_the_stream(lake: Lake) -> None:
    (doomed, _), *_ = lake.catalog.tables[lake.stream.target].live()
    lake.catalog.rewrite(lake.stream.target, [doomed.path], [], carry=True)
    with pytest.raises(DivergenceError, match="rows of the window"):
        replay(lake)
    assert lake.record.state is StreamState.HALTED
    assert "icehaul repair trades" in str(lake.record.halt_remedy)


def test_a_table_that_lacks_rows_is_healed_where_that_is_asked_for(lake: Lake) -> None:
    lake.roll_back(2)
    done = replay(lake, heal=True)
    assert done.repaired is not None
    assert lake.whole()


def test_a_replay_that_fails_may_be_repeated(lake: Lake) -> None:
    lake.roll_back(1)
    with pytest.raises(DivergenceError):
        replay(lake)
    lake.ledger.resume("trades")
    assert not replay(lake, heal=True).windows[0].missing
    assert lake.whole()
