"""A short campaign of random tables, offloaded by both writers; `make round-trip` plays a long one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest

from consumer.bootstrap import Application
from consumer.domain.event import Event
from consumer.embedded.stack import EmbeddedStack
from tests.roundtrip import campaign
from tests.roundtrip.campaign import WRITERS, Stage, play
from tests.roundtrip.schemas import Expected, TableCase, case
from tests.support.local_platform import deliver, ledger_database
from tests.support.spark_connect_server import SparkConnectServer

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

SEED = 2
ROWS = 400
REGRESSIONS = tuple(sorted((Path(__file__).parent / "regressions").glob("*.json")))
"""Tables that did not come through once."""


@pytest.fixture(scope="module")
def stage(
    stack: EmbeddedStack, connect_server: SparkConnectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    name = f"r_{uuid4().hex[:8]}"
    with ledger_database(stack.endpoints, name) as dsn, pytest.MonkeyPatch.context() as patch:
        made = Stage(stack.endpoints, name, dsn, tmp_path_factory.mktemp("roundtrip"), connect_server.url)
        for variable, value in made.platforms[WRITERS[0]].environment().items():
            patch.setenv(variable, value)
        yield made
        made.close()


def first(expected: Expected, number: int) -> list[TableCase]:
    """The first tables of the campaign of which this is expected."""
    made = (case(SEED, index) for index in range(500))
    return [one for one in made if one.expected is expected][:number]


def test_random_tables_arrive_exactly_by_both_writers_or_are_refused(stage: Stage) -> None:
    again = [TableCase.read(path) for path in REGRESSIONS]
    exact = [*again, *first(Expected.EXACT, 2)]
    refused = [*first(Expected.REFUSED_BYTES, 1), *first(Expected.REFUSED_TYPE, 1)]

    found = play(stage, [*exact, *refused], ROWS)

    assert found.failures == []
    assert (found.schemas, found.refused, found.unequal) == (len(exact) + 2, 2, 0)
    assert found.rows == len(exact) * ROWS
    assert found.values_read == len(exact)


def test_the_campaign_notices_a_row_that_is_missing_and_one_that_is_refused_wrongly(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = case(SEED + 1, 0)
    (bytes_,) = first(Expected.REFUSED_BYTES, 1)
    wrongly = TableCase(name="wrongly", seed=1, time_type="Date", columns=bytes_.columns, expected=Expected.EXACT)

    def deliver_then_insert(application: Application, event: Event) -> object:
        raised = deliver(application, event)
        (source,) = (one.source for one in application.streams.values() if one.name == event.stream)
        with_one_more = f"INSERT INTO {source} (ts) SELECT '2024-01-02'"
        stage.platforms[WRITERS[0]].client.command(with_one_more)
        return raised

    monkeypatch.setattr(campaign, "deliver", deliver_then_insert)
    found = play(stage, [exact, wrongly], ROWS)

    assert {failure.case.name for failure in found.failures} == {exact.name, "wrongly"}
    assert found.unequal == 1


def test_values_are_compared_by_their_bits() -> None:
    def rows(*values: float) -> object:
        return campaign._rows(pa.table({"c": pa.array(values, pa.float64())}))

    assert rows(float("nan"), 0.0) == rows(0.0, float("nan"))
    assert rows(0.0) != rows(-0.0)
    assert rows(1.0, 1.0) != rows(1.0)
