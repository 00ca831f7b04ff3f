"""A consumer and an emitter at work say everything that the reference of metrics lists, and nothing else."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from consumer.adapters.telemetry.catalogue import METRICS
from consumer.bootstrap import Application
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import Claim
from consumer.service.runtime.deadline import Deadline
from tests.support.expelled_member import expel_members
from tests.support.ops_files import metrics_in
from tests.support.platform import Platform, day
from tests.support.processes import Running, icehaul
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

REFUSED = "icehaul_offset_commit_errors_total"
FIRST, SECOND, THIRD = (day(f"2024-01-0{number}") for number in (1, 2, 3))


@pytest.fixture
def platform(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    made = Platform(stack.endpoints, unique_name, tmp_path)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    made.sections = {
        "consumer": {
            "http_port": 0,
            "lease_seconds": 3,
            "loss_watch_seconds": 0.5,
            "table_watch_seconds": 0.5,
            "audit_interval": "1s",
        },
        "emitter": {"http_port": 0, "poll": "200ms", "grace": "1s", "lease_seconds": 3},
        "telemetry": {"trace_file": str(tmp_path / "traces.jsonl")},
    }
    yield made
    made.close()


def page(port: int, path: str = "metrics") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as answer:
        return str(answer.read().decode())


def status(port: int, path: str) -> int:
    try:
        page(port, path)
    except urllib.error.HTTPError as refused:
        return refused.code
    return 200


def with_values(*texts: str) -> set[str]:
    """The metrics of which there is a value."""
    families = (family for text in texts for family in text_string_to_metric_families(text))
    return {name for family in families for sample in family.samples for name in metrics_in(sample.name)}


def play(platform: Platform, view: Application, stream: str) -> None:
    """Let a batch, late rows, a backfill and a dead letter happen."""
    configured = view.streams[stream]
    view.event_sink.send([tick(stream=stream, boundary=THIRD)])
    wait_until(lambda: view.ledger.register(stream).watermark >= THIRD, seconds=90, what="the first batch")
    platform.insert(3, first=100, day="2024-01-02")
    producer = Producer({"bootstrap.servers": platform.endpoints.kafka.bootstrap_servers})
    producer.produce(platform.topic, key=b"x", value=b"{not json")
    assert producer.flush(30) == 0
    view.backfill_requests.request(configured, FIRST, SECOND)
    view.event_sink.send([tick(stream=stream, boundary=THIRD + timedelta(hours=1))])


def hold(view: Application, stream: str) -> Claim:
    """Take the lease, so that the consumer has to try again."""
    view.ledger.register(stream, view.streams[stream].begins)
    return view.ledger.claim(stream, "somebody else", timedelta(seconds=120))


def value(text: str, line: str) -> float:
    """The value of a series, 0 where there is none."""
    found = [one.rpartition(" ")[2] for one in text.splitlines() if one.startswith(f"{line} ")]
    return float(found[0]) if found else 0.0


@contextmanager
def broker_that_comes_late(platform: Platform) -> Iterator[tuple[TcpProxy, dict[str, str]]]:
    """A way to the broker that is closed until it is told to take connections, and the setting that leads there."""
    host, _, port = platform.endpoints.kafka.bootstrap_servers.partition(":")
    with TcpProxy(int(port), host) as proxy:
        proxy.refuse()
        yield proxy, {"ICEHAUL_KAFKA__BOOTSTRAP_SERVERS": f"{host}:{proxy.port}"}


def let_a_commit_be_refused(platform: Platform, view: Application, event: Event, port: int) -> None:
    """Take the consumer's membership away, and have it commit before it hears of that; again, if it was too late."""
    again = Deadline.after(0)

    def refused() -> bool:
        nonlocal again
        if again.expired:
            expel_members(platform.endpoints.kafka.bootstrap_servers, platform.name)
            view.event_sink.send([event])
            again = Deadline.after(3)
        return REFUSED in with_values(page(port))

    wait_until(refused, seconds=60, what="a commit that is refused")


def nudging(view: Application, event: Event) -> Callable[[], None]:
    """What sends an event every two seconds: each one does a piece of maintenance."""
    again = Deadline.after(0)

    def nudge() -> None:
        nonlocal again
        if again.expired:
            view.event_sink.send([event])
            again = Deadline.after(2)

    return nudge


def test_every_metric_of_the_reference_is_emitted_and_no_other(platform: Platform, tmp_path: Path) -> None:
    # A stream whose windows follow their changes, and whose table is maintained, has every metric.
    maintained = {"enabled": True, "every": "1s", "patience": "0s", "compaction": {"min_input_files": 1000}}
    stream = platform.add_stream(start="2024-01-02T00:00:00Z", mode="replace-window", maintenance=maintained)
    platform.insert(5, day="2024-01-01")
    platform.insert(5, first=5, day="2024-01-02")
    config, environment = str(platform.write()), platform.environment()
    with Application(platform.configuration(), environment={}) as view:
        view.migrate()
        view.topics.ensure()
        held = hold(view, stream)
        with (
            broker_that_comes_late(platform) as (broker, detour),
            icehaul("run", "-c", config, log=tmp_path / "run.log", environment={**environment, **detour}) as consumer,
            icehaul("emit", "-c", config, log=tmp_path / "emit.log", environment=environment) as emitter,
        ):
            ports = started(consumer, broker), int(emitter.wait_for(r'"port": (\d+)').group(1))
            view.event_sink.send([tick(stream=stream, boundary=THIRD)])
            refused = f'icehaul_event_retries_total{{cause="LeaseHeldError",stream="{stream}"}}'
            wait_until(lambda: value(page(ports[0]), refused) >= 1, seconds=60, what="an attempt that failed")
            view.ledger.release(held)
            play(platform, view, stream)
            expected = {one.name for one in METRICS}
            nudge = nudging(view, tick(stream=stream, boundary=THIRD))
            wait_until(
                lambda: nudge() or expected <= with_values(*map(page, ports)) | {REFUSED},
                seconds=60,
                what="all metrics",
            )
            for metric in ("late_rows_total", "table_files"):
                line = f'icehaul_{metric}{{stream="{stream}"}}'
                wait_until(lambda line=line: value(page(ports[0]), line) == 3, seconds=60, what=line)  # type: ignore[misc]
            pages = [page(port) for port in ports]
            assert with_values(*pages) | {REFUSED} == expected
            assert value(pages[0], 'icehaul_dead_letters_total{reason="not-json"}') == 1
            for port in ports:
                assert [status(port, path) for path in ("livez", "readyz", "startupz")] == [200, 200, 200]
            let_a_commit_be_refused(platform, view, tick(stream=stream, boundary=THIRD), ports[0])
            assert emitter.terminate() == 0
            assert consumer.terminate() == 0


def started(consumer: Running, broker: TcpProxy) -> int:
    """The port of a consumer; before Spark is warm it says that it is starting, and that it is not ready.

    Its broker is away until then.
    """
    port = int(consumer.wait_for(r'"port": (\d+)').group(1))
    early = [status(port, path) for path in ("livez", "startupz", "readyz")]
    if "consumer.warm" not in consumer.text():
        assert early == [200, 503, 503]
    consumer.wait_for(r"consumer\.warm")
    broker.accept()
    wait_until(lambda: status(port, "startupz") == 200, seconds=60, what="the consumer to have started")
    return port
