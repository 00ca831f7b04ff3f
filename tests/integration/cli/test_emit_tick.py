"""`icehaul emit --tick`: ticks by hand, through the emitter's own sink, and following them to their commits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from consumer.adapters.kafka.codec import decode_message
from consumer.bootstrap import Application
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from tests.integration.cli.conftest import Ended, Run
from tests.support.kafka_topics import read_topic
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import offload, published
from tests.support.platform import Platform, day


def sent(platform: Platform) -> Sequence[Event]:
    """The events of the platform's topic, decoded as a consumer does."""
    return [decode_message(message) for message in read_topic(platform.configuration().kafka, platform.topic)]


@pytest.fixture(autouse=True)
def _topics(icehaul: Run, platform: Platform) -> None:
    assert icehaul("topics").code == 0


def test_a_tick_of_a_given_instant_is_the_emitters_own(icehaul: Run, platform: Platform, stream: str) -> None:
    ended = icehaul("emit", "--stream", stream, "--tick", "2024-01-02T00:00:00Z", "-o", "json")
    assert ended.code == 0, ended.err
    expected = tick(stream=stream, boundary=day("2024-01-02"))
    assert ended.data["events"] == [{"id": expected.id, "stream": stream}]
    (found,) = sent(platform)
    assert (found.id, found.stream, found.cutoff) == (expected.id, stream, expected.cutoff)


def test_an_instant_without_offset_is_utc(icehaul: Run, platform: Platform, stream: str) -> None:
    assert icehaul("emit", "--stream", stream, "--tick", "2024-01-02").code == 0
    assert [event.cutoff for event in sent(platform)] == [day("2024-01-02")]


def test_now_is_the_source_servers_time(icehaul: Run, platform: Platform, stream: str) -> None:
    def server_time() -> float:
        return float(platform.client.query("SELECT toUnixTimestamp64Micro(now64(6))").result_rows[0][0]) / 1e6

    before = server_time()
    ended = icehaul("emit", "--stream", stream, "--tick", "now")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("sent tick ")
    (found,) = sent(platform)
    assert before - 1 <= found.cutoff.timestamp() <= server_time() + 1


def test_several_streams_or_all_of_them(icehaul: Run, platform: Platform, stream: str) -> None:
    others = [platform.add_stream(table) for table in ("quotes", "books")]
    config = str(platform.write())
    some = icehaul("emit", "--config", config, "--stream", stream, "--stream", others[0], "--tick", "2024-01-02")
    assert some.code == 0, some.err
    assert {event.stream for event in sent(platform)} == {stream, others[0]}
    assert icehaul("emit", "--config", config, "--tick", "2024-01-03").code == 0
    assert {event.stream for event in sent(platform) if event.cutoff == day("2024-01-03")} == {stream, *others}


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--tick", "yesterday"], "--tick: 'yesterday' is no instant"),
        (["--tick", "0001-01-01T00:00:00+14:00"], "no instant"),
        (["--tick", "2024-01-02", "--once"], "--once and --tick"),
        (["--stream", "x"], "--stream is given without --tick"),
        (["--follow", "10m"], "--follow is given without --tick"),
        (["--tick", "now", "--follow", "10"], "--follow: '10'"),
        (["--stream", "nobody", "--tick", "now"], "there is no stream 'nobody'"),
    ],
)
def test_wrong_arguments_send_nothing(icehaul: Run, platform: Platform, arguments: list[str], part: str) -> None:
    ended = icehaul("emit", *arguments)
    assert (ended.code, ended.out) == (2, "")
    ended.explained(part)
    assert sent(platform) == []


def documents(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def test_a_stream_that_nobody_works_on_is_late_after_its_tick_was_sent(
    icehaul: Run, platform: Platform, stream: str
) -> None:
    ended = icehaul("emit", "--tick", "2024-01-02", "--follow", "1s", "-o", "json")
    assert ended.code == 1, ended.err
    told, end = documents(ended)
    assert told["events"] == [{"id": tick(stream=stream, boundary=day("2024-01-02")).id, "stream": stream}]
    assert (end["stream"], end["outcome"], end["watermark"], end["batches"]) == (stream, "late", None, [])
    assert (end["due"], end["due_reason"]) == ("2024-01-02T00:00:00+00:00", "event")
    assert "1s after its tick nothing has been read, and 2024-01-02 00:00:00 was due" in end["reason"]
    assert "`icehaul run`" in end["remedy"]
    assert len(sent(platform)) == 1


def test_a_halted_stream_ends_following_at_once_with_its_reason(icehaul: Run, platform: Platform, stream: str) -> None:
    with Application(platform.configuration(), environment={}) as application:
        application.ledger.register(stream)
        application.ledger.halt(stream, reason="the disk is full", remedy="empty it", epoch=None)
    ended = icehaul("emit", "--tick", "now", "--follow", "10m")
    assert ended.code == 1, ended.err
    assert ended.out.splitlines()[1:] == [
        f"{stream}: no new rows; watermark -",
        f"stream {stream} is halted: the disk is full",
        f"  remedy: empty it; then run `icehaul resume {stream}`",
    ]


def test_following_ends_with_the_batches_of_each_stream(icehaul: Run, platform: Platform, stream: str) -> None:
    idle = platform.add_stream("idle")
    until = day("2024-01-02")
    configuration = platform.configuration()
    with Application(configuration, environment={}) as consumer:
        consumer.engine = LocalEngine(configuration, consumer.failpoints)
        asked = consumer.follower.expect([stream, idle], until)
        for name in (stream, idle):
            offload(consumer, name, until)
        ends = {one.stream: one for one in consumer.follower.follow(asked, within=timedelta(seconds=60))}
        assert {name: list(one.batches) for name, one in ends.items()} == {
            stream: published(consumer, stream),
            idle: [],
        }
        assert sum(batch.rows for batch in ends[stream].batches) == 100
    # A second tick asks for what is there already: done at once, without new batches.
    ended = icehaul("emit", "-c", str(platform.write()), "--tick", "2024-01-02", "--follow", "60s", "-o", "json")
    assert ended.code == 0, ended.err
    assert {(one["outcome"], len(one["batches"])) for one in documents(ended)[1:]} == {("committed", 0)}
