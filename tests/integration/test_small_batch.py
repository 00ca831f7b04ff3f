"""What an event costs from the topic to its committed offset: requests to each server are counted, none is timed."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from consumer.adapters.kafka.consumer import KafkaEventSource
from consumer.bootstrap import Application
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from consumer.service.runtime.ports import Partition
from tests.support.consuming import consuming
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform, published, session_of
from tests.support.platform import day
from tests.support.recording_proxies import HttpRecorder, StatementRecorder
from tests.support.waiting import wait_until

MINUTE = timedelta(minutes=1)
CLOCK = "SELECT toUnixTimestamp64Micro(now64(6))"
"""What is asked besides on a machine that is so slow that the server's time is not fresh any more.

So is nothing at all, of a connection to Postgres that has rested for a second.
"""


@dataclass
class Scene:
    """A consumer whose servers are behind proxies that keep what they are asked."""

    platform: LocalPlatform
    application: Application
    clickhouse: HttpRecorder
    store: HttpRecorder
    postgres: StatementRecorder
    commits: list[int]
    stream: str
    sent: list[Event] = field(default_factory=list)

    def send(self, events: Sequence[Event]) -> None:
        self.sent += events
        self.application.event_sink.send(events)

    def done(self) -> bool:
        """Whether the offsets of all events were committed."""
        return bool(self.commits) and self.commits[-1] == len(self.sent)

    def wait(self) -> None:
        wait_until(self.done, seconds=120, what="the committed offset of the last event")

    def asked(self) -> Counter[str]:
        """How often each server was asked so far."""
        return Counter(
            {
                "clickhouse": sum(not one.statement.startswith(CLOCK) for one in self.clickhouse.requests()),
                "postgres": sum(sent != "" for sent in self.postgres.round_trips()),
                "spark": session_of(self.application).jobs,
                "kafka": len(self.commits),
                **{f"store {method}": count for method, count in _methods(self.store).items()},
            }
        )

    def cost(self, event: Event) -> Counter[str]:
        """What the servers are asked for on behalf of an event, until its offset is committed."""
        before = self.asked()
        self.send([event])
        self.wait()
        return self.asked() - before


def _methods(store: HttpRecorder) -> Counter[str]:
    return Counter(request.method for request in store.requests())


@pytest.fixture
def scene(stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    endpoints = stack.endpoints
    with ExitStack() as running:
        clickhouse = running.enter_context(HttpRecorder(endpoints.clickhouse.port))
        store = running.enter_context(HttpRecorder(urlsplit(endpoints.store.endpoint).port or 80))
        postgres = running.enter_context(StatementRecorder(endpoints.postgres.port))
        dsn = running.enter_context(ledger_database(endpoints, unique_name))
        there = dsn.replace(f":{endpoints.postgres.port}/", f":{postgres.port}/") + "?sslmode=disable"
        platform = running.enter_context(local_platform(endpoints, unique_name, there, tmp_path, monkeypatch))
        platform.sections |= {
            "clickhouse": {"port": clickhouse.port},
            "store": {"endpoint": f"http://127.0.0.1:{store.port}"},
            "consumer": {"lease_seconds": 120},  # so long that nothing is renewed while it is counted
            "kafka": {"partitions": 1},
        }
        stream = platform.add_stream()
        application = running.enter_context(platform.consumer())
        application.topics.ensure()
        yield Scene(platform, application, clickhouse, store, postgres, _watch_commits(monkeypatch), stream)


def _watch_commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note each offset that is committed."""
    commits: list[int] = []
    original: Callable[..., None] = KafkaEventSource.commit

    @functools.wraps(original)
    def commit(source: KafkaEventSource, offsets: Mapping[Partition, int]) -> None:
        commits.extend(offsets.values())
        original(source, offsets)

    monkeypatch.setattr(KafkaEventSource, "commit", commit)
    return commits


@pytest.fixture
def warm(scene: Scene) -> Iterator[Scene]:
    """A consumer that knows its stream: a day was read, and the description of the source is old enough to be kept."""
    scene.platform.insert(50, day="2024-01-01")
    with consuming(scene.application):
        cutoffs = (day("2024-01-03") + number * MINUTE for number in range(10_000))

        def kept() -> bool:
            return scene.cost(tick(stream=scene.stream, boundary=next(cutoffs)))["clickhouse"] == 1

        wait_until(kept, seconds=120, what="a description that is kept")
        yield scene


def test_an_idle_tick_asks_clickhouse_once_postgres_in_seven_round_trips_and_the_store_for_nothing(warm: Scene) -> None:
    cutoff = day("2024-02-01")
    cost = warm.cost(tick(stream=warm.stream, boundary=cutoff))
    assert warm.application.ledger.read([warm.stream])[warm.stream].watermark == cutoff
    assert cost == {"clickhouse": 1, "kafka": 1, "postgres": 7}


def test_a_small_batch_asks_each_server_for_no_more_than_it_must(warm: Scene) -> None:
    warm.cost(tick(stream=warm.stream, boundary=day("2024-02-01")))
    warm.platform.insert(20, day="2024-02-02", first=50)
    cost = warm.cost(tick(stream=warm.stream, boundary=day("2024-02-03")))
    # What is read back is the new file's footer, its digest (by ClickHouse), and the list of manifests before it.
    most = {"clickhouse": 7, "postgres": 23, "spark": 1, "kafka": 1, "store PUT": 4, "store HEAD": 4, "store GET": 3}
    assert cost.keys() == most.keys()
    assert not cost - Counter(most)


def test_a_stream_that_is_behind_by_five_ticks_catches_up_in_two_batches_at_most(scene: Scene) -> None:
    scene.platform.insert(50, day="2024-01-01")
    steps = [day("2024-01-01") + timedelta(milliseconds=10 * number) for number in range(1, 6)]
    # The first may be handled before the others are there.
    scene.send([tick(stream=scene.stream, boundary=step) for step in steps])
    with consuming(scene.application):
        scene.wait()
    batches = published(scene.application, scene.stream)
    assert len(batches) <= 2
    assert (sum(one.rows for one in batches), batches[-1].window.upper) == (50, steps[-1])
