"""What /readyz says of real servers, each of which is away in its own way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from consumer.bootstrap import Application
from consumer.embedded.stack import EmbeddedStack
from consumer.entrypoints.readiness import Readiness
from tests.support.platform import Platform
from tests.support.store_proxy import NO_BUCKET, SLOW_DOWN, WRONG_KEY, StoreProxy

TIMEOUT_S = 3.0
SERVERS = {"clickhouse", "kafka", "postgres", "store"}


@dataclass(frozen=True, slots=True)
class Scene:
    """A consumer that has no Spark session, and a proxy between it and the object store."""

    readiness: Readiness
    proxy: StoreProxy

    def states(self) -> Mapping[str, str]:
        """What is said of each server that is away or not."""
        found = self.readiness.probe()
        assert found.keys() == SERVERS | {"spark"}
        return {name: state for name, state in found.items() if name != "spark"}


@pytest.fixture
def scene(stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    port = urlsplit(stack.endpoints.store.endpoint).port
    assert port is not None
    platform = Platform(stack.endpoints, unique_name, tmp_path)
    for name, value in platform.environment().items():
        monkeypatch.setenv(name, value)
    platform.add_stream()
    with StoreProxy(port) as proxy:
        platform.sections["store"] = {"endpoint": f"http://127.0.0.1:{proxy.port}"}
        with Application(platform.configuration(), environment={}) as application:
            application.migrate()
            application.topics.ensure()
            yield Scene(Readiness(application.probes(), timeout=TIMEOUT_S), proxy)
    platform.close()


def test_every_server_is_asked_and_a_warehouse_without_files_is_no_fault(scene: Scene) -> None:
    assert scene.states() == dict.fromkeys(SERVERS, "ok")


def refuses_connections(proxy: StoreProxy) -> None:
    proxy.stop()


def hangs(proxy: StoreProxy) -> None:
    proxy.silence()


def asks_for_fewer_requests(proxy: StoreProxy) -> None:
    proxy.disturb("all", "", SLOW_DOWN)


def refuses_the_keys(proxy: StoreProxy) -> None:
    proxy.disturb("all", "", WRONG_KEY)


def has_no_such_bucket(proxy: StoreProxy) -> None:
    proxy.disturb("all", "", NO_BUCKET)


AWAY = [
    (refuses_connections, r"StoreUnavailableError: the object store at http://127\.0\.0\.1:"),
    # On a busy machine the client's own deadline may pass after that of the whole answer.
    (hangs, r"StoreUnavailableError: the object store at http://127\.0\.0\.1:|no answer within 3 s"),
    (asks_for_fewer_requests, "asks for fewer requests"),
    (refuses_the_keys, "AccessDeniedError: store.access_key: "),
    (has_no_such_bucket, "AccessDeniedError: store.bucket: "),
]


@pytest.mark.parametrize(("trouble", "said"), AWAY, ids=lambda value: getattr(value, "__name__", ""))
def test_a_store_that_is_away_is_named_in_time_with_the_reason_until_it_is_back(
    scene: Scene, trouble: Callable[[StoreProxy], None], said: str
) -> None:
    trouble(scene.proxy)
    started = time.monotonic()
    states = scene.states()
    assert time.monotonic() - started < TIMEOUT_S + 1
    assert re.search(said, states["store"])
    assert {name: state for name, state in states.items() if name != "store"} == dict.fromkeys(
        SERVERS - {"store"}, "ok"
    )
    scene.proxy.stop()
    scene.proxy.calm("all")
    scene.proxy.accept()
    assert scene.states()["store"] == "ok"
