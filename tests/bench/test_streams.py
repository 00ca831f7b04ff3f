"""The benchmark of many streams on a scale that tells nothing about speed: what it counts, and what it makes of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.bench.streams import INTERVAL_S, ROWS, Round, Rounds, add_streams
from tests.support.consuming import consuming
from tests.support.local_platform import ledger_database, local_platform


def of(streams: int, seconds: float) -> Round:
    return Round(name="idle", streams=streams, seconds=seconds, queries=1, transactions=4, memory_mib=1, cpu={})


def test_a_round_is_told_as_a_share_of_the_interval_and_a_stream_by_what_it_costs_among_a_few() -> None:
    many = of(1000, INTERVAL_S / 10)
    assert many.share == pytest.approx(0.1)
    assert many.ratio(of(10, INTERVAL_S / 1000)) == pytest.approx(1.0)


@pytest.mark.thorough
def test_each_stream_of_a_round_is_handled_once_and_its_rows_are_read(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        ledger_database(stack.endpoints, unique_name) as dsn,
        local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch) as platform,
    ):
        add_streams(platform, 3)
        with platform.consumer() as application:
            application.topics.ensure()
            rounds = Rounds(platform, application, {"icehaul": os.getpid()})
            with consuming(application):
                found = [rounds.idle(), rounds.with_rows()]
            ledger = application.ledger
            rows = {stream: sum(one.rows for one in ledger.batches(stream, 10)) for stream in application.streams}
    assert [one.streams for one in found] == [3, 3]
    assert all(one.queries >= 1 and one.transactions >= 1 and one.seconds > 0 for one in found)
    assert list(rows.values()) == [ROWS] * 3
