"""The planner's work on a catalogue, counted: linear in partitions and streams, and none for what is not next."""

from __future__ import annotations

import pytest

from consumer.service.plan import Planner
from consumer.testing.ledger import MemoryLedger
from tests.bench.catalogue import SimulatedCatalogue, Size
from tests.bench.planning import IDENTITY, Costs, measure, record, report

SMALL = Size(streams=2, days=50, shards=10)
FACTOR = 20


@pytest.fixture(scope="module")
def small() -> Costs:
    return measure(SMALL)


@pytest.mark.parametrize(
    "large",
    [
        Size(streams=2, days=50 * FACTOR, shards=10),
        Size(streams=2, days=50, shards=10 * FACTOR),
        Size(streams=2 * FACTOR, days=50, shards=10),
    ],
    ids=["days", "shards", "streams"],
)
def test_the_planners_work_grows_no_faster_than_the_catalogue(small: Costs, large: Size) -> None:
    found = measure(large)
    assert found.backlog.given <= 1.5 * large.partitions + 1_000
    assert found.backlog.questions <= large.partitions / 300 + 5
    assert found.first_batches.given / large.streams <= max(4_000, small.first_batches.given / SMALL.streams)
    assert found.ticks.questions / large.streams <= small.ticks.questions / SMALL.streams
    assert found.ticks.given == 0


def test_a_stream_of_a_hundred_thousand_partitions_asks_for_one_look_before_its_first_batch() -> None:
    source = SimulatedCatalogue(Size(streams=1, days=10_000, shards=10))
    (stream,) = source.streams()

    next(Planner(source, MemoryLedger()).batches(stream, record(stream), IDENTITY, source.time))
    assert source.questions == 1
    assert source.given == 1_000


def test_the_report_names_both_catalogues_and_their_ratio(small: Costs) -> None:
    text = report(small, small)
    assert "2 streams, 500 partitions each on 10 shards" in text
    assert text.count("| 1.00 |") == 3
