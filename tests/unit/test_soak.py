"""What a soak is made of: the schedule, the clock, the lags, and a report that can fail."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.demo.market import TABLES
from tests.soak.campaign import Batch
from tests.soak.chart import PANELS, chart_of
from tests.soak.clock import SimulatedClock
from tests.soak.gauges import Reading, small_files
from tests.soak.lags import Lag, LagMeter, oldest_final, target
from tests.soak.report import Report, growth
from tests.soak.schedule import DAY_TICKS, LONG, Trouble, draw
from tests.soak.witness import Verdict
from tests.support.platform import day

_MIDNIGHT = day("2024-03-05")
_MINUTE = timedelta(minutes=1)


@given(ticks=st.integers(8, 800), seed=st.integers(0, 2**31))
@example(ticks=97, seed=1)
def test_every_schedule_has_each_kind_of_trouble_and_ends_in_peace(ticks: int, seed: int) -> None:
    schedule = draw(ticks, seed)
    assert schedule.troubles == draw(ticks, seed).troubles
    without = set(LONG) if ticks < 2 * DAY_TICKS else set()
    assert {trouble for trouble in set(Trouble) - set(LONG) if not schedule.count(trouble)} == set()
    assert sum(schedule.count(trouble) for trouble in LONG) == (0 if without else 2)
    assert all(0 < tick < ticks - 2 for tick in schedule.troubles)
    for tick, troubles in schedule.troubles.items():
        if Trouble.AHEAD in troubles:
            assert set(troubles) <= {Trouble.AHEAD, Trouble.TTL}
            assert set(schedule.at(tick + 1)) <= {Trouble.TTL}


def test_a_soak_that_ended_early_reports_what_was_played() -> None:
    schedule = draw(96, 1)
    played = schedule.first(40)
    assert played.ticks == 40
    assert [played.at(tick) for tick in range(40)] == [schedule.at(tick) for tick in range(40)]
    assert all(tick < 40 for tick in played.troubles)


def test_too_few_ticks_are_refused() -> None:
    with pytest.raises(ValueError, match="ticks: 7 are too few"):
        draw(7, 1)


def test_a_week_has_so_few_outages_that_their_lags_are_less_than_one_in_a_hundred() -> None:
    schedule = draw(7 * DAY_TICKS, 1)
    late = sum(map(schedule.count, (Trouble.AHEAD, Trouble.BEHIND, *LONG)))
    assert late * len(TABLES) < 7 * DAY_TICKS * len(TABLES[:7]) / 100


def test_the_clock_jumps_where_it_is_set_and_goes_on_by_itself(tmp_path: Path) -> None:
    setting, reading = SimulatedClock(tmp_path / "clock"), SimulatedClock(tmp_path / "clock")
    setting.set(_MIDNIGHT)
    assert _MIDNIGHT <= reading.told() < _MIDNIGHT + _MINUTE
    between = datetime.now(UTC)
    setting.set(_MIDNIGHT + 15 * _MINUTE, ahead=20 * _MINUTE)
    assert _MIDNIGHT + 15 * _MINUTE <= reading.true() < _MIDNIGHT + 16 * _MINUTE
    assert _MIDNIGHT + 35 * _MINUTE <= reading.told() < _MIDNIGHT + 36 * _MINUTE
    # What was written before the jump was written before the jump.
    assert _MIDNIGHT <= reading.at(between) < _MIDNIGHT + _MINUTE
    assert reading.at(datetime.now(UTC)) >= _MIDNIGHT + 35 * _MINUTE
    with pytest.raises(ValueError, match="is over"):
        setting.set(_MIDNIGHT)


@pytest.mark.parametrize(
    ("stream", "minutes", "final"),
    [
        ("bronze_trades_binance", 15, 0),
        ("silver_trades", 15, 0),
        ("gold_ohlcv_1m", 15, 1),
        ("gold_ohlcv_5m", 15, 5),
        ("gold_ohlcv_15m", 15, 15),
        ("gold_ohlcv_30m", 15, None),
        ("gold_ohlcv_30m", 30, 30),
        ("gold_ohlcv_1h", 60, 60),
        ("gold_ohlcv_1d", 60, None),
        ("gold_ohlcv_1d", 1440, 1440),
    ],
)
def test_a_row_is_final_at_its_time_and_a_bar_when_it_ends(stream: str, minutes: int, final: int | None) -> None:
    expected = None if final is None else _MIDNIGHT + final * _MINUTE
    assert oldest_final(stream, _MIDNIGHT + minutes * _MINUTE) == expected


def test_a_bar_that_ends_with_a_tick_is_below_the_watermark_that_is_wanted() -> None:
    assert target("gold_ohlcv_1h", _MIDNIGHT + 60 * _MINUTE) > _MIDNIGHT
    assert target("silver_trades", _MIDNIGHT) == _MIDNIGHT


def test_a_lag_lasts_until_all_rows_are_there_however_many_ticks_that_takes() -> None:
    meter = LagMeter()
    meter.begin(0, _MIDNIGHT, ["silver_trades"])
    meter.begin(1, _MIDNIGHT + 15 * _MINUTE, ["silver_trades"])
    meter.complete(["gold_ohlcv_1m"], _MIDNIGHT + 16 * _MINUTE)
    assert len(meter.waiting) == 2
    meter.complete(["silver_trades"], _MIDNIGHT + 17 * _MINUTE)
    assert [lag.seconds / 60 for lag in meter.found] == [32, 17]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"a": 1000}, 0),  # alone in its day: nothing to put it together with
        ({"a": 1000, "b": 1000}, 2),
        ({"a": 1000, "b": 60_000}, 0),
    ],
)
def test_files_that_could_be_fewer_are_small_ones_beside_small_ones(sizes: dict[str, int], expected: int) -> None:
    assert small_files({path: (1, size) for path, size in sizes.items()}) == expected


def test_what_grows_after_the_warm_up_is_growth() -> None:
    assert growth([100.0, 100, 200, 200, 200, 200, 200, 200]) == 0
    assert growth([200.0, 200, 200, 200, 200, 200, 220, 220]) == pytest.approx(0.1)


# ------------------------------------------------------------------------------------ a report can fail

_READING = Reading(tick=7, memory_mib=100, handles=50, threads=9, ledger_mib=10, files=20, small_files=0, snapshots=70)
_LAGS = [Lag(stream="silver_trades", tick=tick, seconds=1020) for tick in range(8)]
_SOUND = Report(
    machine="m",
    seed=1,
    rows=400,
    engine="Spark",
    seconds=100,
    schedule=draw(8, 1),
    lags=_LAGS,
    unseen=0,
    incomplete=(),
    began=[float(10 * tick) for tick in range(8)],
    batches=[Batch(started=float(10 * tick), seconds=1) for tick in range(8)],
    readings=[replace(_READING, tick=tick) for tick in range(8)] + [_READING],
    verdicts=[Verdict(table="silver_trades", inserted=800, found=800, lost=0, doubled=0)],
    faults={"silver_trades": ()},
)


def _broken(report: Report) -> Sequence[str]:
    return [figure.name for figure in report.figures() if not figure.holds]


def test_a_report_without_a_flaw_is_sound() -> None:
    assert _broken(_SOUND) == []
    assert _SOUND.sound
    assert _SOUND.exact


@pytest.mark.parametrize(
    ("flaw", "name"),
    [
        ({"verdicts": [replace(_SOUND.verdicts[0], lost=1)]}, "lost"),
        ({"verdicts": [replace(_SOUND.verdicts[0], doubled=1)]}, "doubled"),
        ({"unseen": 1}, "quarter hours never seen"),
        ({"faults": {"silver_trades": ["tiers"]}}, "streams with faults"),
        ({"batches": [Batch(started=0, seconds=601), Batch(started=1, seconds=1)]}, "batch_max_seconds"),
        ({"lags": [replace(lag, seconds=1201) for lag in _LAGS]}, "lag_p99_seconds"),
        (
            {"readings": [replace(_READING, memory_mib=100 + 2 * tick) for tick in range(8)] + [_READING]},
            "memory_growth",
        ),
        ({"readings": [_READING, _READING, replace(_READING, small_files=2)]}, "small_files_ratio"),
    ],
)
def test_each_promise_can_be_broken(flaw: dict[str, object], name: str) -> None:
    report = replace(_SOUND, **flaw)  # type: ignore[arg-type]
    assert _broken(report) == [name]
    assert not report.sound


def test_the_report_has_what_programs_ask_for_and_every_panel_is_drawn() -> None:
    document = _SOUND.document()
    assert {"ticks", "lost", "doubled", "lag_p99_seconds", "batch_max_seconds", "memory_growth"} <= document.keys()
    lines = re.findall(r'<polyline points="([^"]*)"', chart_of(document))
    assert len(lines) == sum(len(panel.series) for panel in PANELS)
    assert all(points.count(",") >= 2 for points in lines)
