"""An object store in trouble at every step of a batch: it refuses, resets, is full, knows no key or bucket.

Most of it is waiting for the client's pauses, so all scenes are played side by side, each on a stream of its own.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from consumer.bootstrap import Application
from consumer.embedded.stack import EmbeddedStack
from consumer.failpoints.acting import Failpoints
from tests.support.local_platform import LocalPlatform, halted, judge, local_platform, offload, offload_once, published
from tests.support.platform import day
from tests.support.store_proxy import (
    FULL,
    INTERNAL,
    NO_BUCKET,
    RESET,
    SLOW_DOWN,
    WRONG_KEY,
    Refusal,
    StoreProxy,
)

ROWS = 20
ATTEMPTS = 2
"""How often a stream tries a batch before it is halted."""
CLIENT_ATTEMPTS = 4
"""How often the S3 client repeats one request, at most."""
PUT, GET = r"^(PUT|POST) ", r"^(GET|HEAD) "
STEPS = {
    "data": rf"{PUT}\S*/{{table}}/data/\S*\.parquet",
    "manifest": rf"{PUT}\S*/{{table}}/metadata/\S*-m\d+\.avro",
    "list": rf"{PUT}\S*/{{table}}/metadata/snap-\S*\.avro",
    "metadata": rf"{PUT}\S*/{{table}}/metadata/\S*\.metadata\.json",
    "footer": rf"{GET}\S*/{{table}}/data/\S*\.parquet",
}
BUSY, BROKEN = "asks for fewer requests", "failed (while"


@dataclass(frozen=True)
class Scene:
    """What the store does at a step, and what the operator is told if it lasts."""

    step: str
    refusal: Refusal
    says: str
    remedy: str

    @property
    def table(self) -> str:
        return f"{self.step}_{(self.refusal.code or 'reset').lower()}"


SCENES = (
    *(Scene(step, SLOW_DOWN, BUSY, "growing pauses") for step in STEPS),
    *(Scene(step, RESET, BROKEN, "store.endpoint") for step in ("data", "metadata")),
    Scene("manifest", INTERNAL, BROKEN, "disk space left"),
    Scene("data", FULL, "has no space left", "free space on the store"),
    Scene("list", FULL, "has no space left", "free space on the store"),
    Scene("metadata", WRONG_KEY, "refuses access", "store.secret_key"),
    Scene("manifest", NO_BUCKET, "does not exist", "create the bucket"),
)


@dataclass(frozen=True)
class Played:
    """How a scene went: whether a storm that passed was noticed, what a lasting one led to, and after it."""

    passing: list[str]
    reason: str
    remedy: str
    refused: int
    seconds: float
    attempts: int
    resumed: list[str]


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def proxy(stack: EmbeddedStack) -> Iterator[StoreProxy]:
    port = urlsplit(stack.endpoints.store.endpoint).port
    assert port is not None
    with StoreProxy(port) as running:
        yield running


@pytest.fixture(scope="module")
def platform(
    stack: EmbeddedStack,
    proxy: StoreProxy,
    ledger_dsn: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch_module: pytest.MonkeyPatch,
) -> Iterator[LocalPlatform]:
    """Consumers reach the store through the proxy, ClickHouse directly."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    directory: Path = tmp_path_factory.mktemp("storms")
    with local_platform(stack.endpoints, name, ledger_dsn, directory, monkeypatch_module) as made:
        made.sections["store"] = {"endpoint": f"http://127.0.0.1:{proxy.port}"}
        made.sections["clickhouse"] = {"store_endpoint": stack.endpoints.store.endpoint}
        for scene in SCENES:
            made.add_stream(scene.table, on_failure={"attempts": ATTEMPTS, "initial": "10ms", "maximum": "20ms"})
            made.insert(ROWS, table=scene.table, day="2024-01-01")
            made.insert(ROWS, table=scene.table, day="2024-01-02", first=ROWS)
        yield made


@pytest.fixture(scope="module")
def consumer(platform: LocalPlatform) -> Iterator[Application]:
    with platform.consumer() as application:
        yield application


@pytest.fixture(scope="module")
def played(platform: LocalPlatform, consumer: Application, proxy: StoreProxy) -> Mapping[Scene, Played]:
    """All scenes, side by side."""
    assert consumer.offload
    with ThreadPoolExecutor(len(SCENES)) as threads:
        running = {
            scene: threads.submit(play, consumer, proxy, scene, f"{platform.name}_{scene.table}") for scene in SCENES
        }
        return {scene: playing.result() for scene, playing in running.items()}


def play(consumer: Application, proxy: StoreProxy, scene: Scene, stream: str) -> Played:
    pattern = STEPS[scene.step].format(table=scene.table)
    lasting = scene.refusal in {WRONG_KEY, NO_BUCKET, FULL}
    # A storm that passes: the client's own repetitions get over it. What it does not repeat comes for long only.
    proxy.disturb(scene.table, pattern, scene.refusal, times=0 if lasting else 2)
    passing = [str(error) for error in offload(consumer, stream, day("2024-01-02"))]
    proxy.calm(scene.table)

    before, started = proxy.refused[scene.table], time.monotonic()
    proxy.disturb(scene.table, pattern, scene.refusal)
    offload_once(consumer, stream, day("2024-01-03"))
    seconds, refused = time.monotonic() - started, proxy.refused[scene.table] - before
    record = halted(consumer, stream)
    (latest, *_) = consumer.ledger.batches(stream, 1)

    proxy.calm(scene.table)
    consumer.ledger.resume(stream)
    resumed = [str(error) for error in offload(consumer, stream, day("2024-01-03"))]
    return Played(
        passing=passing,
        reason=record.halt_reason or "",
        remedy=record.halt_remedy or "",
        refused=refused,
        seconds=seconds,
        attempts=latest.attempts,
        resumed=resumed,
    )


CASES = [pytest.param(scene, id=f"{scene.refusal.code or 'reset'} at {scene.step}") for scene in SCENES]


@pytest.mark.parametrize("scene", CASES)
def test_a_storm_that_passes_costs_nothing_but_time(
    played: Mapping[Scene, Played], consumer: Application, platform: LocalPlatform, scene: Scene
) -> None:
    assert played[scene].passing == []
    first, *_ = published(consumer, f"{platform.name}_{scene.table}")
    assert first.attempts == 1


@pytest.mark.parametrize("scene", CASES)
def test_a_storm_that_lasts_halts_the_stream_with_an_error_that_names_the_store_and_the_remedy(
    played: Mapping[Scene, Played], scene: Scene
) -> None:
    happened = played[scene]
    assert scene.says in happened.reason
    assert scene.remedy in f"{happened.reason} {happened.remedy}"
    assert "Traceback" not in happened.reason


@pytest.mark.parametrize("scene", CASES)
def test_a_storm_meets_a_bounded_number_of_requests(played: Mapping[Scene, Played], scene: Scene) -> None:
    happened = played[scene]
    # Two kinds of requests may belong to a step, as HEAD and GET do to the footer's.
    assert 1 <= happened.refused <= ATTEMPTS * CLIENT_ATTEMPTS * 2
    assert happened.seconds < 60


@pytest.mark.parametrize("scene", CASES)
def test_after_a_storm_nothing_is_lost_or_doubled_and_every_file_accounted_for(
    played: Mapping[Scene, Played], consumer: Application, platform: LocalPlatform, scene: Scene
) -> None:
    assert played[scene].resumed == []
    judge(consumer, f"{platform.name}_{scene.table}", rows=2 * ROWS)


def test_files_that_can_not_be_deleted_stop_nothing_and_are_accounted_for(
    platform: LocalPlatform, proxy: StoreProxy
) -> None:
    stream = platform.add_stream("undeletable")
    platform.insert(ROWS, table="undeletable")
    # Of the refusals the one that the client does not repeat.
    proxy.disturb("undeletable", r"^(DELETE|POST \S*\?delete)", FULL)
    try:
        with platform.consumer(failpoints=Failpoints("publish.before-commit=raise")) as consumer:
            assert offload(consumer, stream, day("2024-01-03")) == []
            assert proxy.refused["undeletable"] > 0
            judge(consumer, stream, rows=ROWS)
            audit = consumer.auditor.audit(consumer.streams[stream])
    finally:
        proxy.calm("undeletable")
        platform.streams.pop()
    (orphans,) = [check for check in audit.checks if check.name == "orphans"]
    assert orphans.figures["former metadata"]
    assert orphans.figures["unknown"] == 0
