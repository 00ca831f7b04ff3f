"""Two owners of one stream, old code, and an old process: whoever is not at the stream's epoch changes nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from consumer.bootstrap import Application
from consumer.domain.errors import FencedError, LeaseHeldError, LedgerUnavailableError
from consumer.domain.event_factory import tick
from consumer.failpoints.acting import Failpoints
from tests.support.consuming import committed_offsets, consuming
from tests.support.local_platform import LocalPlatform, judge, offload, published
from tests.support.platform import day
from tests.support.waiting import wait_for, wait_until

ROWS = 30
CUTOFF = day("2024-01-03")
PATIENCE_S = 90.0


@pytest.fixture
def platform(local: LocalPlatform) -> LocalPlatform:
    local.sections["consumer"] = {"lease_seconds": 2}
    local.add_stream(batch={"window": "1d"})
    return local


@pytest.fixture
def stream(platform: LocalPlatform) -> str:
    return f"{platform.name}_trades"


# ---------------------------------------------------------------------------------------------- two owners


class RunsOut(Failpoints):
    """Lets the lease run out between writing and publishing, at every other batch of its owner."""

    def __init__(self, platform: LocalPlatform, stream: str) -> None:
        super().__init__()
        self._platform, self._stream = platform, stream
        self._batches = 0

    def hit(self, point: str) -> None:
        if point == "batch.after-write":
            self._batches += 1
            if self._batches % 2:
                with psycopg.connect(self._platform.dsn, autocommit=True) as connection:
                    connection.execute(
                        "UPDATE offload_watermarks SET lease_expires = clock_timestamp()"
                        " WHERE stream = %s AND owner IS NOT NULL",
                        (self._stream,),
                    )


def test_two_owners_that_take_one_stream_from_each_other_publish_every_window_once(
    platform: LocalPlatform, stream: str
) -> None:
    days = 6
    for number in range(days):
        platform.insert(ROWS // days, day=f"2024-01-0{number + 1}", first=ROWS // days * number)
    event = tick(stream=stream, boundary=day("2024-01-07"))
    fenced: list[str] = []

    def work(consumer: Application) -> None:
        def done() -> bool:
            try:
                consumer.offload.handle(event, threading.Event())
            except FencedError:
                fenced.append(consumer.owner)
            except (LeaseHeldError, LedgerUnavailableError):
                # On a slow machine a transaction may exceed what a lease of two seconds leaves it: it is begun anew.
                pass
            return consumer.ledger.read([stream])[stream].watermark == event.cutoff

        wait_until(done, seconds=PATIENCE_S)

    with (
        platform.consumer(owner="one", failpoints=RunsOut(platform, stream)) as one,
        platform.consumer(owner="two", failpoints=RunsOut(platform, stream)) as two,
        ThreadPoolExecutor(2) as pool,
    ):
        one.ledger.register(stream)
        for worker in [pool.submit(work, one), pool.submit(work, two)]:
            worker.result(PATIENCE_S)
        assert set(fenced) == {"one", "two"}, "they have not met"
        assert len(published(one, stream)) == days
        judge(one, stream, rows=ROWS)


# ---------------------------------------------------------------------------------------------- old code


def first_version() -> Mapping[str, bytes]:
    """The statements of the first ledger, by name."""
    text = (Path(__file__).parent / "sql" / "first_ledger.sql").read_text(encoding="utf-8")
    _, *parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return {name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def everything(connection: psycopg.Connection[dict[str, object]], stream: str) -> object:
    """All that the ledger holds of a stream."""
    return [
        connection.execute(f"SELECT * FROM {table} WHERE stream = %s ORDER BY 1", (stream,)).fetchall()
        for table in ("offload_watermarks", "offload_batches", "offload_files", "offload_outbox")
    ]


def test_statements_of_the_first_version_at_an_older_epoch_touch_nothing(platform: LocalPlatform, stream: str) -> None:
    platform.insert(ROWS)
    old = first_version()
    given = dict.fromkeys(("topic", "partition", "offset", "trace_id")) | {
        "stream": stream,
        "owner": "old",
        "ttl": timedelta(0),
        "batch_id": uuid4(),
        "kind": "window",
        "lower": day("1900-01-01"),
        "upper": day("2024-01-09"),
        "generation": 1,
        "event_id": "old",
        "error": "old",
        "reason": "old",
        "remedy": "old",
    }
    with (
        psycopg.connect(platform.dsn, autocommit=True, row_factory=dict_row) as connection,
        platform.consumer(owner="new") as new,
    ):
        connection.execute(old["register"], given)
        claimed = connection.execute(old["claim"], given).fetchone()
        assert claimed is not None
        given["epoch"] = claimed["epoch"]
        connection.execute(old["begin"], given)
        offload(new, stream, CUTOFF)
        given["lower"] = CUTOFF
        before = everything(connection, stream)
        found = connection.execute(old["lock"], given).fetchone()
        assert found is not None
        assert (found["epoch"], found["owner"]) != (given["epoch"], given["owner"]), "its look at the fence"
        for name in ("renew", "release", "halt_at_epoch", "advance_over_rows"):
            assert connection.execute(old[name], given).rowcount == 0, name
        assert everything(connection, stream) == before
        # What it began itself is no part of what counts: it may say that it failed.
        assert connection.execute(old["fail"], given).rowcount == 1
        judge(new, stream, rows=ROWS)


# ---------------------------------------------------------------------------------------------- an old process


def test_a_process_that_is_stopped_in_its_publish_and_goes_on_later_commits_nothing(
    platform: LocalPlatform, stream: str
) -> None:
    platform.insert(ROWS)
    log = platform.directory / "zombie.log"
    with platform.consumer(owner="heir") as heir, log.open("wb") as output:
        heir.topics.ensure()
        kafka = heir.configuration.kafka
        heir.event_sink.send([tick(stream=stream, boundary=CUTOFF)])
        zombie = subprocess.Popen(
            [sys.executable, "-m", "tests.support.local_consumer", str(platform.write())],
            env={**os.environ, "ICEHAUL_FAILPOINTS": "publish.before-commit=stop"},
            stdout=output,
            stderr=output,
        )
        try:
            wait_for(lambda: os.waitpid(zombie.pid, os.WNOHANG | os.WUNTRACED)[0], PATIENCE_S, "the process to stop")
            assert committed_offsets(kafka) == {}
            assert published(heir, stream) == []
            with consuming(heir):
                wait_until(
                    lambda: list(committed_offsets(kafka).values()) == [1], seconds=PATIENCE_S, what="the heir's offset"
                )
                done = published(heir, stream)
                zombie.send_signal(signal.SIGCONT)
                wait_until(
                    lambda: b"consumer.lost" in log.read_bytes(), seconds=PATIENCE_S, what="the zombie to notice"
                )
                assert published(heir, stream) == done
            assert list(committed_offsets(kafka).values()) == [1]
        finally:
            zombie.kill()
            zombie.wait(30)
        judge(heir, stream, rows=ROWS)
