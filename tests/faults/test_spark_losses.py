"""A driver that runs out of memory, and Python workers that the system ends, in the middle of a batch."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from py4j.protocol import Py4JError

from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import Application
from consumer.embedded.process_tree import command_line
from consumer.failpoints.acting import Failpoints
from spark.session import Session
from tests.support.local_platform import LocalPlatform, judge, offload, published
from tests.support.platform import day
from tests.support.processes import family
from tests.support.waiting import wait_for, wait_until

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

ROWS = 2000


@pytest.fixture
def consumer(local: LocalPlatform, spark_engine: SparkEngine) -> Iterator[Application]:
    """A consumer with Spark, and a day to offload."""
    local.add_stream()
    local.insert(ROWS)
    with local.consumer() as application:
        application.engine = spark_engine
        yield application


def session_of(engine: SparkEngine) -> Session:
    session = engine._session
    assert isinstance(session, Session)
    return session


def exhaust_heap(session: Session, doomed: list[int]) -> None:
    """Hold more objects in the driver than fit into it, once it runs a job; its processes then are the ``doomed``."""
    tracker = session.context.statusTracker()
    wait_for(tracker.getActiveJobsIds, 60, "a job under way")
    gateway = session.context._gateway
    assert gateway is not None
    assert session._process is not None
    doomed += family(session._process.pid)
    with contextlib.suppress(Py4JError, OSError):
        hoard = gateway.jvm.java.util.ArrayList()
        while True:
            hoard.add(gateway.new_array(gateway.jvm.byte, 64 << 20))


@pytest.mark.thorough
def test_a_driver_out_of_memory_is_replaced_and_the_batch_written_again(
    local: LocalPlatform,
    consumer: Application,
    spark_engine: SparkEngine,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (stream,) = consumer.streams
    spark_engine.start()
    before = session_of(spark_engine)
    scratch = Path(before._files.name)
    assert Path(before.context._temp_dir).is_relative_to(scratch)
    monkeypatch.setattr(spark_engine, "_failpoints", Failpoints("task.after-read=delay(60)"))
    doomed: list[int] = []
    killer = threading.Thread(target=exhaust_heap, args=(before, doomed))
    killer.start()
    try:
        assert offload(consumer, stream, day("2024-01-02")) == []
    finally:
        killer.join(60)

    (batch,) = published(consumer, stream)
    assert batch.attempts == 2
    assert session_of(spark_engine) is not before
    logged = capfd.readouterr()
    assert "java.lang.OutOfMemoryError" in logged.out
    assert "raise spark.driver_memory" in logged.out
    judge(consumer, stream, rows=ROWS)
    assert len(doomed) >= 2, "the JVM and the daemon of its Python workers, if its worker had ended by then"
    wait_until(lambda: not any(map(command_line, doomed)), seconds=60, what="the driver's processes to be gone")
    assert not scratch.exists()


def test_a_worker_that_the_system_ends_costs_one_attempt(
    local: LocalPlatform,
    consumer: Application,
    spark_engine: SparkEngine,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (stream,) = consumer.streams
    spark_engine.start()
    before = session_of(spark_engine)
    monkeypatch.setattr(spark_engine, "_failpoints", Failpoints("task.after-read=kill"))
    os.write(before._log.fileno(), b"x" * (2 << 20))

    assert offload(consumer, stream, day("2024-01-02")) == []

    (batch,) = published(consumer, stream)
    assert batch.attempts == 2
    assert session_of(spark_engine) is before
    assert os.fstat(before._log.fileno()).st_size < 1 << 20, "a log that had grown long was shortened"
    logged = capfd.readouterr()
    assert "Python worker exited unexpectedly" in logged.out
    assert "for want of memory" in logged.out
    judge(consumer, stream, rows=ROWS)
