"""A whole consumer process and its signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.kafka_group import Topic
from tests.support.waiting import wait_until

PROJECT = Path(__file__).resolve().parents[3]


class Process:
    """The consumer process under test."""

    def __init__(self, topic: Topic, directory: Path, log: Path | None = None) -> None:
        kafka = topic.settings
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.log = log or directory / "log"
        with self.log.open("a") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.support.consumer_process"),
                    *(kafka.bootstrap_servers, kafka.topic, kafka.group, str(directory)),
                ],
                cwd=PROJECT,
                stderr=output,
            )

    def started(self, stream: str) -> None:
        wait_until((self.directory / f"{stream}.started").exists, seconds=60, what=f"{stream}, see {self.log}")

    def go(self, stream: str) -> None:
        (self.directory / f"{stream}.go").touch()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, seconds: float) -> int:
        return self.process.wait(seconds)


@pytest.fixture
def process(topic: Topic, tmp_path: Path) -> Iterator[Process]:
    with ExitStack() as stack:
        process = Process(topic, tmp_path)
        stack.callback(process.process.wait)
        stack.callback(process.process.kill)
        yield process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_work_finish_and_ends_with_code_zero(
    topic: Topic, process: Process, number: signal.Signals
) -> None:
    topic.send("work 1")
    process.started("work")
    process.signal(number)
    wait_until(lambda: "consumer.stopping" in process.log.read_text())
    process.go("work")
    assert process.ended(15) == 0
    assert topic.committed() == 1
    assert "consumer.stopped" in process.log.read_text()


def test_work_that_outlasts_the_deadline_is_given_up_and_not_acknowledged(topic: Topic, process: Process) -> None:
    topic.send("deaf 1")
    process.started("deaf")
    process.signal(signal.SIGTERM)
    started = time.monotonic()
    assert process.ended(20) == 0
    assert 2 < time.monotonic() - started < 15
    assert topic.committed() < 0


@pytest.mark.thorough
def test_a_second_signal_ends_at_once(topic: Topic, process: Process) -> None:
    topic.send("done 1", "deaf 1")
    process.go("done")
    process.started("deaf")
    wait_until(lambda: topic.committed() == 1)
    process.signal(signal.SIGTERM)
    wait_until(lambda: "consumer.stopping" in process.log.read_text())
    started = time.monotonic()
    process.signal(signal.SIGTERM)
    assert process.ended(10) in {0, 128 + signal.SIGTERM}
    assert time.monotonic() - started < 2.5
    assert topic.committed() == 1


def test_what_was_in_flight_at_a_sigkill_is_delivered_to_the_next_process(
    topic: Topic, process: Process, tmp_path: Path
) -> None:
    topic.send("first 1", "second 1")
    process.go("first")
    process.started("second")
    wait_until(lambda: topic.committed() == 1)
    process.signal(signal.SIGKILL)
    process.ended(10)
    assert topic.committed() == 1
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "second.go").touch()
    heir = Process(topic, tmp_path / "again")
    try:
        wait_until(lambda: topic.committed() == 2, seconds=60)
        assert not (heir.directory / "first.started").exists()
        heir.signal(signal.SIGTERM)
        assert heir.ended(15) == 0
    finally:
        heir.process.kill()
        heir.process.wait()


@pytest.mark.thorough
def test_two_deaths_in_a_row_lose_nothing(topic: Topic, process: Process, tmp_path: Path) -> None:
    """One is asked to end and killed while it does, its heir is killed amid the same work."""
    topic.send("deaf 1")
    process.started("deaf")
    process.signal(signal.SIGTERM)
    wait_until(lambda: "consumer.stopping" in process.log.read_text())
    with ExitStack() as heirs:
        for number in (1, 2):
            process.signal(signal.SIGKILL)
            process.ended(10)
            assert topic.committed() < 0
            process = Process(topic, tmp_path / f"heir-{number}")
            heirs.callback(process.process.wait)
            heirs.callback(process.process.kill)
            process.started("deaf")
        process.go("deaf")
        wait_until(lambda: topic.committed() == 1, seconds=60)
        process.signal(signal.SIGTERM)
        assert process.ended(15) == 0


def test_the_process_serves_its_metrics_while_it_works(topic: Topic, process: Process) -> None:
    topic.send("work 1")
    process.started("work")
    base = f"http://127.0.0.1:{(process.directory / 'port').read_text()}"
    with urllib.request.urlopen(f"{base}/livez", timeout=60) as answer:  # noqa: S310 - our own server
        assert answer.status == 200
    with urllib.request.urlopen(f"{base}/metrics", timeout=60) as answer:  # noqa: S310
        metrics = answer.read().decode()
    assert "icehaul_partitions_assigned 1.0" in metrics
    assert "icehaul_events_in_flight 1.0" in metrics
    process.go("work")
    process.signal(signal.SIGTERM)
    assert process.ended(15) == 0


def test_an_unusable_configuration_ends_the_process_with_the_error(topic: Topic, tmp_path: Path) -> None:
    for future in topic.admin.delete_topics([topic.settings.dead_letter_topic]).values():
        future.result(20)
    failing = Process(topic, tmp_path)
    try:
        assert failing.ended(60) != 0
    finally:
        failing.process.kill()
    assert "icehaul topics" in failing.log.read_text()


def test_a_full_disk_of_the_log_and_the_traces_stops_nothing(topic: Topic, tmp_path: Path) -> None:
    full = Path("/dev/full")
    (tmp_path / "trace.jsonl").symlink_to(full)
    with ExitStack() as stack:
        process = Process(topic, tmp_path, log=full)
        stack.callback(process.process.wait)
        stack.callback(process.process.kill)
        for number, stream in enumerate(("one", "two"), start=1):
            topic.send(f"{stream} 1")
            process.started(stream)
            process.go(stream)
            wait_until(lambda number=number: topic.committed() == number)  # type: ignore[misc]
        process.signal(signal.SIGTERM)
        assert process.ended(30) == 0
