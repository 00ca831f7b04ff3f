"""`icehaul emit --stream S --tick`: one tick by hand, through the emitter's own sink."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from consumer.adapters.kafka.codec import decode_message
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from tests.integration.cli.conftest import Run
from tests.support.kafka_topics import read_topic
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
        (["--stream", "nobody", "--tick", "now"], "there is no stream 'nobody'"),
    ],
)
def test_wrong_arguments_send_nothing(icehaul: Run, platform: Platform, arguments: list[str], part: str) -> None:
    ended = icehaul("emit", *arguments)
    assert (ended.code, ended.out) == (2, "")
    ended.explained(part)
    assert sent(platform) == []
