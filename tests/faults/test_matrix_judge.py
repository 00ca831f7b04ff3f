"""The judge of the crash matrix finds what is wrong: a sound stage is spoiled in one way after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from confluent_kafka import Producer

from consumer.adapters.iceberg.store import StoreFileIO
from tests.matrix.cases import Story
from tests.matrix.judge import judge
from tests.matrix.stage import House, Stage, assigned
from tests.support.cold_tier import other_engine
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.thorough, pytest.mark.spark, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def stage(house: House) -> Iterator[Stage]:
    """One stream that was offloaded without a failure; nothing runs any more."""
    with Stage(house, f"{house.name}_judged", Story.OFFLOAD) as made:
        made.insert_history()
        consumer = made.start("consumer", "run")
        wait_for(lambda: assigned(consumer), 120, "the consumer to own the partition")
        made.start("emitter", "emit")
        wait_for(made.settled, 180, "the rows to arrive")
        made.end()
        yield made


def edit(statement: str) -> Callable[[Stage], None]:
    def spoil(stage: Stage) -> None:
        with psycopg.connect(stage.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    return spoil


def send(topic: str) -> Callable[[Stage], None]:
    def spoil(stage: Stage) -> None:
        producer = Producer({"bootstrap.servers": stage.house.endpoints.kafka.bootstrap_servers, "log_level": 0})
        producer.produce(topic.format(stage.platform.topic), value=b"nonsense")
        assert producer.flush(30) == 0

    return spoil


def leave_a_file(stage: Stage) -> None:
    store = stage.application.configuration.store
    with StoreFileIO(store).new_output(f"{location(stage)}/data/stray.parquet").create() as stray:
        stray.write(b"PAR1")


def remove_a_metadata_file(stage: Stage) -> None:
    store = stage.application.configuration.store
    target = stage.stream.target
    with other_engine(stage.dsn, store) as engine:
        older = engine.load_table((target.database, target.table)).metadata.metadata_log[0].metadata_file
    StoreFileIO(store).delete(older)


def location(stage: Stage) -> str:
    target = stage.application.catalog.inspect(stage.stream.target)
    assert target is not None
    return target.location


# In this order: each leaves what it spoiled, and the later ones have to be found all the same.
SPOILED: dict[str, Callable[[Stage], None]] = {
    "nobody knows": leave_a_file,
    "referred to, but not there": remove_a_metadata_file,
    "events are not acknowledged": send("{}"),
    "dead letters": send("{}.dead"),
    "901 rows in the source": lambda stage: stage.platform.insert(1, first=5000, day="2024-01-01"),
    "halted": edit("UPDATE offload_watermarks SET state = 'halted', halt_reason = 'r', halt_remedy = 'r'"),
    "not the end of the last window": edit("UPDATE offload_watermarks SET watermark = watermark + interval '1 day'"),
    "is followed by": edit("UPDATE offload_batches SET upper = upper - interval '1 hour' WHERE lower < '2000-01-01'"),
    "snapshots of batches": edit("UPDATE offload_batches SET batch_id = gen_random_uuid() WHERE lower > '2000-1-1'"),
}


def test_what_is_as_it_has_to_be_is_not_complained_of(stage: Stage) -> None:
    verdict = judge(stage)
    assert verdict.problems == ()
    assert verdict.expected == verdict.found == 900
    assert (verdict.lost, verdict.doubled, verdict.orphans) == (0, 0, 0)


@pytest.mark.parametrize("complaint", SPOILED)
def test_what_is_wrong_is_named(complaint: str, stage: Stage) -> None:
    assert not any(complaint in problem for problem in judge(stage).problems)
    SPOILED[complaint](stage)
    assert any(complaint in problem for problem in judge(stage).problems)


def test_a_row_that_is_missing_is_counted_as_lost(stage: Stage) -> None:
    verdict = judge(stage)
    assert (verdict.lost, verdict.doubled) == (1, 0)


def test_a_row_that_is_there_twice_is_counted_as_doubled(stage: Stage) -> None:
    stage.platform.client.command(
        f"ALTER TABLE {stage.name}.trades DELETE WHERE seq IN (5000, 7)", settings={"mutations_sync": 2}
    )
    verdict = judge(stage)
    assert (verdict.lost, verdict.doubled) == (0, 1)
