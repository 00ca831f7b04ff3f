"""The page schedule-with-prefect.md, followed with a real Prefect server, its worker and a real consumer."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
import yaml

from consumer.adapters.kafka.codec import decode_message
from consumer.bootstrap import Application
from consumer.domain.event import EventType
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from consumer.emitter.ticks import due_tick
from tests.support.kafka_topics import read_topic
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform, published
from tests.support.prefect_server import PrefectServer, installed, running_prefect_server
from tests.support.processes import icehaul, output_of
from tests.support.waiting import wait_for, wait_until

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.spark,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not installed(), reason="Prefect is not installed: `make prefect` does that"),
]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "ops" / "prefect"
PAGE = (ROOT / "docs" / "how-to" / "schedule-with-prefect.md").read_text(encoding="utf-8")
MAKE_POOL, DEPLOY, START_WORKER, RUN, NOTIFY = [
    line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]
QUARTER = timedelta(minutes=15)
LOSSY = "ts DateTime64(6, 'UTC'), seq UInt64, huge UInt256"


class Hook(BaseHTTPRequestHandler):
    """Takes notifications."""

    received: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def platform(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """Streams with rows, in a ledger of their own: the page names a stream that other pages name, too."""
    name, directory = f"t_{uuid4().hex[:12]}", tmp_path_factory.mktemp("platform")
    with ExitStack() as open_:
        patch = open_.enter_context(pytest.MonkeyPatch.context())
        dsn = open_.enter_context(ledger_database(stack.endpoints, name))
        made = open_.enter_context(local_platform(stack.endpoints, name, dsn, directory, patch))
        for stream in ("quickstart_trades", "pair", "unattended"):
            made.add_stream(stream, name=stream)
            made.insert(50, table=stream)
        made.add_stream("lossy", columns=LOSSY, name="lossy")
        patch.setenv("ICEHAUL_CONFIG", str(made.write()))
        output_of(["topics"])
        yield made


@pytest.fixture(scope="module")
def _consumer(platform: LocalPlatform) -> Iterator[None]:
    with icehaul("run", log=platform.directory / "consumer.log", environment={}) as consumer:
        consumer.http_port()
        yield
        assert consumer.terminate() == 0


@pytest.fixture(scope="module")
def view(platform: LocalPlatform) -> Iterator[Application]:
    with Application(platform.configuration(), environment={}) as application:
        yield application


@pytest.fixture(scope="module")
def server(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    directory = tmp_path_factory.mktemp("prefect")
    command = directory / "bin" / "icehaul"
    command.parent.mkdir()
    command.write_text(
        f"#!/bin/sh\nPYTHONPATH='{ROOT}' exec '{sys.executable}' -m consumer.entrypoints.cli.main \"$@\"\n",
        encoding="utf-8",
    )
    command.chmod(0o755)
    with running_prefect_server(directory) as running:
        running.environment |= {
            **platform.environment(),
            "ICEHAUL_CONFIG": str(platform.write()),
            "PATH": f"{running.environment['PATH'].replace(':', f':{command.parent}:', 1)}",
        }
        yield running


@pytest.fixture(scope="module")
def deployed(server: PrefectServer) -> Iterator[dict[str, Any]]:
    """The deployment and its first scheduled runs, as the page's commands made them; a worker waits for others."""
    for line in (MAKE_POOL, DEPLOY):
        server.command(line, folder=FOLDER)
    deployment: dict[str, Any] = server.call("deployments/name/icehaul/quarter-hour")

    def scheduled() -> list[str] | None:
        found = server.call("flow_runs/filter", {"deployments": {"id": {"any_": [deployment["id"]]}}})
        return sorted(one["expected_start_time"] for one in found) if len(found) > 1 else None

    deployment["scheduled"] = wait_for(scheduled, 120, "runs that the schedule made")
    # From here on only the tests' own runs are started.
    server.call(f"deployments/{deployment['id']}", {"paused": True}, method="PATCH")
    with server.process("worker", *START_WORKER.split()[1:], folder=FOLDER):
        yield deployment


@pytest.fixture(scope="module")
def notified(server: PrefectServer) -> Iterator[list[dict[str, str]]]:
    """What the page's automation sends to a webhook."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    block = (
        "from prefect.blocks.notifications import CustomWebhookNotificationBlock as Webhook;"
        f"Webhook(name='hook', url='http://127.0.0.1:{http.server_port}/',"
        " json_data={'subject': '{{subject}}', 'body': '{{body}}'}).save('icehaul')"
    )
    server.command(f'python -c "{block}"', folder=FOLDER)
    assert "slack-webhook/icehaul" in NOTIFY
    for _ in range(2):  # the second time it is renewed
        server.command(NOTIFY.replace("slack-webhook", "custom-webhook"), folder=FOLDER)
    (automation,) = server.call("automations/filter", {})
    assert automation["enabled"]
    yield Hook.received
    http.shutdown()
    http.server_close()


def test_the_deployment_runs_every_quarter_of_an_hour(deployed: dict[str, Any]) -> None:
    (schedule,) = deployed["schedules"]
    assert schedule["active"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("*/15 * * * *", "UTC")
    first, second = (datetime.fromisoformat(one) for one in deployed["scheduled"][:2])
    assert second - first == QUARTER
    assert first == due_tick(now=first, last=None, every=QUARTER)


@pytest.mark.usefixtures("deployed", "_consumer")
def test_a_run_follows_its_stream_to_the_commit_and_shows_the_batch(server: PrefectServer, view: Application) -> None:
    (started,) = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", server.command(RUN, folder=FOLDER))[:1]
    run = server.ended(started)
    assert (run.type, run.message) == ("COMPLETED", "50 rows in 1 batch")
    (batch,) = published(view, "quickstart_trades")
    found = view.verifier.verify(view.streams["quickstart_trades"])
    assert (found.equal, found.cold.rows) == (True, 50)
    assert server.task_runs(run.id) == {"send ticks": "Completed", "follow quickstart_trades": "Completed"}
    window = f"{batch.window.lower.isoformat()} to {batch.window.upper.isoformat()}"
    line = f"| window | {window} | 50 | {batch.bytes:,} | {batch.snapshot_id} | 1 | {batch.trace_id} |"
    assert line in server.artifact(run.id)


@pytest.mark.usefixtures("deployed", "_consumer")
def test_ticks_from_prefect_and_from_the_emitter_are_one_event_and_give_one_batch(
    platform: LocalPlatform, server: PrefectServer, view: Application
) -> None:
    document = yaml.safe_load(platform.write().read_text(encoding="utf-8"))
    document["streams"] = [one for one in document["streams"] if one["name"] == "pair"]
    config = platform.directory / "pair.yaml"
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    started = server.start_run({"streams": ["pair"]})
    output_of(["emit", "--once", "-c", str(config)])
    run = server.ended(started)
    # Where a quarter of an hour has passed between the two, the emitter's tick of that boundary is due now.
    output_of(["emit", "--once", "-c", str(config)])
    assert run.type == "COMPLETED", run.message
    boundary = datetime.fromisoformat(server.artifact(run.id).splitlines()[0].removeprefix("Ticks of "))
    assert boundary == due_tick(now=boundary, last=None, every=QUARTER)
    assert timedelta(0) <= datetime.now(UTC) - boundary < 2 * QUARTER
    events = [decode_message(one) for one in read_topic(platform.configuration().kafka, platform.topic)]
    ticks = [one.id for one in events if one.stream == "pair" and one.type is EventType.TICK]
    assert ticks.count(tick(stream="pair", boundary=boundary).id) == 2
    assert [batch.rows for batch in published(view, "pair")] == [50]


@pytest.mark.usefixtures("deployed", "_consumer")
def test_a_halted_stream_is_a_failed_run_with_reason_and_remedy_and_somebody_is_told(
    server: PrefectServer, view: Application, notified: list[dict[str, str]]
) -> None:
    run = server.run({"streams": ["lossy", "quickstart_trades"]})
    record = view.ledger.read(["lossy"])["lossy"]
    assert record.halt_reason is not None
    assert (run.type, run.name) == ("FAILED", "Failed")
    assert run.message == (
        f"1 of 2 streams: stream lossy is halted: {record.halt_reason}. Remedy: {record.halt_remedy};"
        " then run `icehaul resume lossy`"
    )
    states = server.task_runs(run.id)
    assert (states["follow lossy"], states["follow quickstart_trades"]) == ("Failed", "Completed")
    assert record.halt_reason in server.artifact(run.id)
    wait_until(lambda: any(run.message in one["body"] for one in notified), seconds=120, what="a notification")


@pytest.mark.usefixtures("deployed")
def test_what_no_consumer_takes_up_is_late_after_the_deadline_and_somebody_is_told(
    platform: LocalPlatform, server: PrefectServer, notified: list[dict[str, str]]
) -> None:
    topic = {"ICEHAUL_KAFKA__TOPIC": f"{platform.name}.unattended"}
    server.command(f"ICEHAUL_KAFKA__TOPIC={topic['ICEHAUL_KAFKA__TOPIC']} icehaul topics", folder=FOLDER)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    parameters = {"streams": ["unattended"], "deadline_minutes": 0.05, "boundary": tomorrow.isoformat()}
    run = server.run(parameters, **topic)
    assert (run.type, run.name) == ("FAILED", "Late")
    assert "1 of 1 streams: stream unattended is late: " in run.message
    assert "3s after its tick nothing has been read" in run.message
    assert "Remedy: see that a consumer runs (`icehaul run`)" in run.message
    assert server.task_runs(run.id)["follow unattended"] == "Late"
    wait_until(lambda: any("is Late" in one["subject"] for one in notified), seconds=120, what="a notification")


@pytest.mark.usefixtures("deployed")
def test_where_icehaul_cannot_work_the_run_fails_with_its_words(server: PrefectServer) -> None:
    run = server.run({"streams": ["nobody"]})
    assert (run.type, run.name) == ("FAILED", "Failed")
    assert "there is no stream 'nobody' in the configuration. Remedy: name one of: quickstart_trades" in run.message


SLOW = """
from datetime import timedelta
from pathlib import Path
from icehaul_flow import OffloadError, Ticks

def alive():
    return Path(f"/proc/{ticks._process.pid}").exists()

with Ticks([], patience=timedelta(hours=1)) as ticks:
    assert ticks.sent() == {"events": []} and alive()
assert not alive(), "the command outlives the flow"
with Ticks([], patience=timedelta(seconds=1)) as ticks:
    try:
        ticks.end("trades")
    except OffloadError as error:
        print(error)
"""


def test_the_command_ends_with_the_flow_and_does_not_hang_it_for_ever(tmp_path: Path) -> None:
    command = tmp_path / "icehaul"
    command.write_text("#!/bin/sh\necho '{\"events\": []}'\nexec sleep 300\n", encoding="utf-8")
    command.chmod(0o755)
    quiet = PrefectServer(tmp_path)
    quiet.environment["PATH"] = quiet.environment["PATH"].replace(":", f":{tmp_path}:", 1)
    said = quiet.command(f"python -c '{SLOW}'", folder=FOLDER)
    assert said.startswith("`icehaul emit` had not ended after 0:00:01. Remedy: ")
