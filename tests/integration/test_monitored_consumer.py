"""A real Prometheus scrapes a consumer and evaluates the shipped rules: a halted stream reaches its receiver.

What Prometheus makes of all rules and of every process is seen at the demo (tests/e2e/test_demo.py).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consumer.bootstrap import Application
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from tests.support.alert_desk import AlertDesk, alert_desk
from tests.support.alerting import RULE_FILES, prometheus
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform
from tests.support.platform import day
from tests.support.processes import Running, icehaul
from tests.support.programs import needs_program
from tests.support.waiting import wait_until

pytestmark = [needs_program("prometheus"), needs_program("prometheus-alertmanager")]

ROWS = 1_000
ENVIRONMENT = "production"
WITHOUT_SPARK = "tests.support.sparkless_command"


@dataclass(frozen=True, slots=True)
class Monitored:
    """A consumer with a stream that works and one whose source is missing, and who watches it."""

    platform: LocalPlatform
    consumer: Running
    working: str
    broken: str
    desk: AlertDesk

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What the consumer has logged under the name of one event; whatever it writes is JSON."""
        lines = [json.loads(line) for line in self.consumer.text().splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if line["message"] == event]

    def told(self, status: str) -> list[dict[str, Any]]:
        """The pages about the stream, by what they say of it."""
        pages = [page.body for page in self.desk.paged(ENVIRONMENT)]
        return [page for page in pages if page["status"] == status and self.broken in str(page["commonLabels"])]


def hurried(directory: Path) -> list[str]:
    """Copy the rules, so that an alert holds after a second already; nothing else is changed."""
    for path in RULE_FILES:
        text = re.sub(r"^( *for): \w+$", r"\1: 1s", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        (directory / path.name).write_text(text, encoding="utf-8")
    return [str(directory / path.name) for path in RULE_FILES]


def watching(consumer: str, desk: AlertDesk, directory: Path) -> dict[str, object]:
    return {
        "global": {
            "scrape_interval": "200ms",
            "evaluation_interval": "200ms",
            "external_labels": {"environment": ENVIRONMENT},
        },
        "rule_files": hurried(directory),
        "scrape_configs": [{"job_name": "icehaul", "static_configs": [{"targets": [consumer]}]}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [desk.server.url.removeprefix("http://")]}]}]},
    }


@pytest.fixture(scope="module")
def monitored(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    directory, name = tmp_path_factory.mktemp("monitored"), f"t_{uuid.uuid4().hex[:12]}"
    with (
        pytest.MonkeyPatch.context() as patch,
        ledger_database(stack.endpoints, f"t_{uuid.uuid4().hex[:12]}") as dsn,
        local_platform(stack.endpoints, name, dsn, directory, patch) as platform,
    ):
        working, broken = platform.add_stream("works"), platform.add_stream("breaks")
        platform.insert(ROWS, table="works")
        platform.client.command(f"RENAME TABLE {name}.breaks TO {name}.elsewhere")
        with Application(platform.configuration(), environment={}) as application:
            application.topics.ensure()
        notify(platform, working, broken)
        run = ("run", "--config", str(platform.write()))
        with (
            icehaul(
                *run,
                log=directory / "log",
                environment=platform.environment(),
                program=WITHOUT_SPARK,
            ) as consumer,
            alert_desk(directory) as desk,
            prometheus(watching(f"127.0.0.1:{consumer.http_port()}", desk, directory), directory),
        ):
            yield Monitored(platform, consumer, working, broken, desk)


def notify(platform: LocalPlatform, *streams: str) -> None:
    with Application(platform.configuration(), environment={}) as application:
        application.event_sink.send([tick(stream=stream, boundary=day("2024-01-02")) for stream in streams])


def test_its_log_has_one_line_of_json_for_the_batch_with_the_trace_that_led_to_it(monitored: Monitored) -> None:
    wait_until(lambda: monitored.lines("batch.ended"), seconds=60, what=f"the line in {monitored.consumer.log}")
    (line,) = monitored.lines("batch.ended")
    assert (line["stream"], line["outcome"], line["rows"]) == (monitored.working, "published", ROWS)
    with Application(monitored.platform.configuration(), environment={}) as application:
        (batch,) = application.ledger.batches(monitored.working, 10)
    assert (line["batch"], line["snapshot"], line["trace_id"]) == (
        str(batch.batch_id),
        batch.snapshot_id,
        batch.trace_id,
    )
    (halted,) = monitored.lines("stream.halted")
    assert (halted["stream"], halted["level"]) == (monitored.broken, "error")


def test_a_stream_that_halts_is_told_to_whoever_is_on_call_until_it_is_resumed(monitored: Monitored) -> None:
    wait_until(lambda: monitored.told("firing"), seconds=60, what=f"the page, see {monitored.consumer.log}")
    (page,) = monitored.told("firing")
    assert page["commonLabels"].items() >= {"alertname": "IcehaulStreamHalted", "severity": "critical"}.items()
    assert page["commonLabels"]["stream"] == monitored.broken
    assert f"icehaul resume {monitored.broken}" in page["commonAnnotations"]["remedy"]
    assert "icehaulstreamhalted" in page["commonAnnotations"]["runbook_url"]
    assert monitored.broken in page["commonAnnotations"]["summary"]
    platform = monitored.platform
    platform.client.command(f"RENAME TABLE {platform.name}.elsewhere TO {platform.name}.breaks")
    with Application(platform.configuration(), environment={}) as application:
        application.ledger.resume(monitored.broken)
    notify(platform, monitored.broken)
    wait_until(lambda: monitored.told("resolved"), seconds=60, what="the page that it is over")
    assert len(monitored.told("firing")) == 1
