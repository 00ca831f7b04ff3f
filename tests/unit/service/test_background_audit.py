"""Audits beside the work: of the streams that are this consumer's, when nothing else is to be done, at bounded cost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from consumer.adapters.telemetry.metrics import PrometheusMetrics
from consumer.domain.audit import Check, CheckName, StreamAudit, failed, passed, unchecked
from consumer.domain.errors import LedgerUnavailableError
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.domain.stream import Stream
from consumer.service.audit.background import BackgroundAudit
from consumer.service.threads import Signal, SystemThreads
from consumer.testing.telemetry import MemoryMetrics
from tests.support.waiting import wait_until
from tests.unit.service.test_offload import NEVER, make_stream

HOUR = timedelta(hours=1)
GOOD = passed(CheckName.STORED, "all there", {})


class Beside(SystemThreads):
    """A background audit with a clock of its own, and an auditor that finds what it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.audited: list[str] = []
        self.checks: list[Check] = [GOOD]
        self.metrics = MemoryMetrics()
        self.meanwhile: Callable[[], object] = lambda: None
        self.subject = BackgroundAudit(
            auditor=self,
            streams={name: make_stream(name) for name in ("trades", "quotes")},
            handler=self._handle,
            interval=HOUR,
            metrics=self.metrics,
            threads=self,
        )

    def monotonic(self) -> float:
        return self.now

    def audit(self, stream: Stream, *, rows: bool) -> StreamAudit:
        assert not rows, "rows are not read beside the work"
        self.audited.append(stream.name)
        return StreamAudit(
            stream=stream.name, source="a.b", target="c.d", watermark=None, snapshot_id=None, checks=self.checks
        )

    def _handle(self, event: Event, abandon: Signal) -> None:
        self.meanwhile()

    def handle(self, stream: str) -> None:
        self.subject.handle(tick(stream=stream, boundary=datetime(2026, 1, 1, tzinfo=UTC)), NEVER)


@pytest.fixture
def beside() -> Beside:
    return Beside()


def test_streams_whose_events_others_handle_are_theirs_to_audit(beside: Beside) -> None:
    assert beside.subject.run_once() is None
    beside.handle("trades")
    assert beside.subject.run_once() is not None
    assert beside.subject.run_once() is None
    assert beside.audited == ["trades"]


def test_a_stream_is_audited_once_in_an_interval_and_one_at_a_time(beside: Beside) -> None:
    for minute in range(0, 150, 15):
        beside.now = minute * 60
        beside.handle("trades")
        beside.handle("quotes")
        beside.subject.run_once()
        beside.subject.run_once()
    assert beside.audited == ["quotes", "trades"] * 3


def test_a_stream_of_which_no_event_came_since_is_not_audited_again(beside: Beside) -> None:
    beside.handle("trades")
    beside.subject.run_once()
    beside.now = 10 * 3600
    assert beside.subject.run_once() is None


def test_while_events_are_handled_an_audit_waits_for_an_interval_at_most(beside: Beside) -> None:
    found = []

    def look() -> None:
        for now in (0, 3599, 3600):
            beside.now = now
            found.append(beside.subject.run_once() is not None)

    beside.meanwhile = look
    beside.handle("trades")
    assert found == [False, False, True]


def test_an_event_that_fails_leaves_the_consumer_idle(beside: Beside) -> None:
    def fail() -> None:
        raise LedgerUnavailableError("away", remedy="wait")

    beside.meanwhile = fail
    with pytest.raises(LedgerUnavailableError):
        beside.handle("trades")
    assert beside.subject.run_once() is not None


def test_an_event_of_a_stream_that_is_not_configured_is_the_handlers_affair(beside: Beside) -> None:
    beside.handle("nonsense")
    assert beside.subject.run_once() is None


def test_what_failed_is_measured_and_logged_and_so_is_that_it_is_well_again(
    beside: Beside, capsys: pytest.CaptureFixture[str]
) -> None:
    beside.checks = [GOOD, failed(CheckName.WINDOWS, "a gap", {}, remedy="close it")]
    beside.handle("trades")
    beside.subject.run_once()
    assert beside.metrics.values == {"audit trades stored": False, "audit trades windows": True}
    assert beside.metrics.counts["audited trades"] == 1
    said = capsys.readouterr().out
    assert "a gap" in said
    assert "close it" in said
    beside.checks = [passed(CheckName.WINDOWS, "whole", {})]
    beside.now = 3600
    beside.handle("trades")
    beside.subject.run_once()
    assert beside.metrics.values["audit trades windows"] is False


def test_a_check_that_could_not_be_made_is_no_failure_and_no_audit(beside: Beside) -> None:
    beside.checks = [GOOD, unchecked(CheckName.EVIDENCE, "the store is away", "wait")]
    beside.handle("trades")
    beside.subject.run_once()
    assert beside.metrics.values == {"audit trades stored": False}
    assert beside.metrics.counts["audited trades"] == 0


def test_a_defect_of_an_audit_does_not_end_the_audits(beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.service.audit.background._PAUSE_SECONDS", 0.001)
    calls = []

    def broken() -> None:
        calls.append(1)
        raise RuntimeError("a defect")

    monkeypatch.setattr(beside.subject, "run_once", broken)
    stop = threading.Event()
    thread = threading.Thread(target=beside.subject.run, args=(stop,), daemon=True)
    thread.start()
    wait_until(lambda: len(calls) > 2, seconds=60)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()


def test_prometheus_sees_which_check_fails_and_when_the_last_audit_was() -> None:
    metrics = PrometheusMetrics(["trades"])
    metrics.audit_check("trades", "stored", failed=True)
    metrics.audited("trades")
    body, _ = metrics.render()
    assert b'icehaul_audit_failures{check="stored",stream="trades"} 1.0' in body
    assert b'icehaul_last_audit_timestamp_seconds{stream="trades"} ' in body
