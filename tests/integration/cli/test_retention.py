"""What the commands say of a stream whose source has a TTL."""

from __future__ import annotations

import pytest

from tests.integration.cli.conftest import Run
from tests.support.platform import Platform


@pytest.fixture
def bars(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stream that waits for the first one; the margin is longer than its TTL, so that it is in danger at once."""
    name = platform.add_stream(
        "bars", upstreams=[platform.streams[0]["name"]], retention={"margin": "36000d", "on_danger": "proceed"}
    )
    platform.insert(10, table="bars")
    platform.client.command(f"ALTER TABLE {platform.name}.bars MODIFY TTL toDateTime(ts) + INTERVAL 20 YEAR")
    monkeypatch.setenv("ICEHAUL_CONFIG", str(platform.write()))
    return name


def test_status_tells_the_time_to_loss(icehaul: Run, platform: Platform, stream: str, bars: str) -> None:
    trades, found = icehaul("status", "--output", "json").data["streams"]
    assert trades["time_to_loss"]["safe"]
    told = found["time_to_loss"]
    assert (told["at"], told["in_danger"]) == ("2044-01-01T00:00:00+00:00", True)
    assert told["clause"] == "toDateTime(ts) + toIntervalYear(20)"
    text = icehaul("status").out
    assert "time to loss" in text
    assert "never" in text
    assert f"{int(told['seconds']) // 86_400}d" in text


def test_plan_says_that_the_ttl_decided(icehaul: Run, platform: Platform, bars: str) -> None:
    found = icehaul("plan", bars, "--output", "json").data
    assert found["cutoff_reason"] == "ttl"
    assert "2044-01-01 00:00:00" in found["cutoff_detail"]
    assert found["rows"] == 10


def test_doctor_warns(icehaul: Run, platform: Platform, bars: str) -> None:
    findings = icehaul("doctor", "--output", "json").data["findings"]
    (found,) = [one for one in findings if one["check"] == "retention" and bars in one["subject"]]
    assert found["severity"] == "warning"
    assert "may be deleted at 2044-01-01 00:00:00" in found["message"]
