"""Every command: results on standard output, messages on standard error, and the documented exit code."""

from __future__ import annotations

import pytest

from consumer import __version__
from consumer.bootstrap import Application
from consumer.domain.event_factory import tick
from tests.integration.cli.conftest import Run, spawn
from tests.support.platform import Platform, day

ESCAPE = "\x1b["


def halt(platform: Platform, stream: str) -> None:
    with Application(platform.configuration(), environment={}) as application:
        application.ledger.register(stream)
        application.ledger.halt(stream, reason="the reason of it", remedy="the cure of it", epoch=None)
        application.ledger.park(tick(stream=stream, boundary=day("2024-01-02")))


def test_version(icehaul: Run) -> None:
    ended = icehaul("--version")
    assert (ended.code, ended.out, ended.err) == (0, f"icehaul {__version__}\n", "")


@pytest.mark.parametrize(
    "command",
    [
        "",
        "stack",
        "migrate",
        "topics",
        "emit",
        "run",
        "status",
        "plan",
        "verify",
        "trace",
        "cut",
        "view",
        "resume",
        "streams",
        "config",
        "config show",
        "config schema",
        "offload",
    ],
)
def test_help_of_every_command(icehaul: Run, command: str) -> None:
    ended = icehaul(*command.split(), "--help")
    assert ended.code == 0
    assert "Usage: icehaul" in ended.out


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["status", "--nonsense"], ["plan"], ["resume"], ["status", "--batches", "0"]]
)
def test_wrong_usage(icehaul: Run, arguments: list[str]) -> None:
    ended = icehaul(*arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert "Usage: icehaul" in ended.err
    assert "Traceback" not in ended.err


def test_migrating_again_changes_nothing(icehaul: Run, platform: Platform) -> None:
    assert icehaul("migrate").out == "nothing to migrate\n"
    ended = icehaul("migrate", "--output", "json")
    assert (ended.code, ended.data, ended.err) == (0, {"applied": [], "newer": []}, "")


def test_topics_are_missing_then_created_then_as_configured(icehaul: Run, platform: Platform) -> None:
    missing = icehaul("topics", "--check", "--output", "json")
    assert missing.code == 1
    assert [finding["topic"] for finding in missing.data["findings"]] == [platform.topic, f"{platform.topic}.dead"]
    assert "icehaul topics" in icehaul("topics", "--check").out

    created = icehaul("topics", "--output", "json")
    assert created.code == 0
    assert created.data == {"created": [platform.topic, f"{platform.topic}.dead"], "findings": []}

    again = icehaul("topics", "--check")
    assert (again.code, again.err) == (0, "")
    assert "as configured" in again.out


def test_status_of_a_new_stream(icehaul: Run, platform: Platform, stream: str) -> None:
    ended = icehaul("status", "--output", "json")
    (found,) = ended.data["streams"]
    assert (ended.code, ended.err) == (0, "")
    assert (found["name"], found["state"], found["watermark"]) == (stream, "new", None)
    assert stream in icehaul("status").out
    assert stream in icehaul("status", stream).out


def test_status_and_resume_of_a_halted_stream(icehaul: Run, platform: Platform, stream: str) -> None:
    halt(platform, stream)
    text, data = icehaul("status"), icehaul("status", "-o", "json")
    assert text.code == data.code == 1
    assert "the reason of it" in text.out
    assert "the cure of it" in text.out
    (found,) = data.data["streams"]
    assert (found["state"], found["halt_reason"], found["parked_events"]) == ("halted", "the reason of it", 1)
    assert icehaul("plan", stream).code == 1

    resumed = icehaul("resume", stream, "--output", "json")
    assert resumed.code == 0
    assert resumed.data == {"stream": stream, "state": "active", "parked_events_taken_up": 1, "findings_accepted": 0}
    assert icehaul("status").code == 0


def test_resuming_an_active_stream_does_no_harm(icehaul: Run, platform: Platform, stream: str) -> None:
    with Application(platform.configuration(), environment={}) as application:
        application.ledger.register(stream)
    for _ in range(2):
        assert icehaul("resume", stream).code == 0
    assert icehaul("status").code == 0


def test_resuming_a_stream_of_which_no_event_was_ever_seen(icehaul: Run, platform: Platform, stream: str) -> None:
    ended = icehaul("resume", stream)
    assert ended.code in {0, 2, 4}
    assert "Traceback" not in ended.err


def test_plan_shows_what_the_next_event_would_do_and_writes_nothing(
    icehaul: Run, platform: Platform, stream: str
) -> None:
    ended = icehaul("plan", stream, "--output", "json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.data["creates_target"] is True
    assert sum(batch["rows"] for batch in ended.data["batches"]) == 100
    assert ended.data["queries"]
    text = icehaul("plan", stream)
    assert text.code == 0
    assert "does not exist yet" in text.out
    (found,) = icehaul("status", "-o", "json").data["streams"]
    assert found["state"] == "new"


def test_verify_before_anything_was_read(icehaul: Run, platform: Platform, stream: str) -> None:
    ended = icehaul("verify", "--output", "json")
    assert ended.code == 0
    assert ended.data["equal"] is True
    assert ended.data["streams"][0]["watermark"] is None
    text = icehaul("verify", stream)
    assert text.code == 0
    assert "equal" in text.out


def test_emit_once_sends_what_is_due(
    platform: Platform, icehaul: Run, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.sections["emitter"] = {"tick": "52w"}
    monkeypatch.setenv("ICEHAUL_CONFIG", str(platform.write()))
    assert (icehaul("migrate").code, icehaul("topics").code) == (0, 0)
    first = spawn("emit", "--once", "--output", "json")
    assert first.code == 0, first.err
    assert first.data["ticks"] == 1
    assert first.data["failed"] == {}
    second = spawn("emit", "--once")
    assert second.code == 0, second.err
    assert second.out.startswith("sent 0 ticks and ")


@pytest.mark.parametrize("command", ["status", "plan", "verify", "cut", "view", "resume"])
def test_an_unknown_stream_is_refused_with_the_known_ones(
    icehaul: Run, platform: Platform, stream: str, command: str
) -> None:
    ended = icehaul(command, "nobody", "--output", "json")
    assert (ended.code, ended.out) == (2, "")
    ended.explained("STREAM: there is no stream 'nobody'", stream)


@pytest.mark.parametrize(
    "command",
    [
        "migrate",
        "topics",
        "status",
        "verify",
        "plan x",
        "cut",
        "view x",
        "resume x",
        "emit --once",
        "emit --tick now",
        "run",
        "streams",
        "config show",
    ],
)
def test_without_a_configuration_every_command_says_how_to_name_one(
    icehaul: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: object, command: str
) -> None:
    monkeypatch.chdir(str(tmp_path))
    ended = icehaul(*command.split())
    assert (ended.code, ended.out) == (2, "")
    ended.explained("icehaul.yaml can't be read", "--config or ICEHAUL_CONFIG")


def test_a_wrong_configuration_is_told_field_by_field(icehaul: Run, platform: Platform) -> None:
    platform.sections["clickhouse"] = {"port": "many", "pasword": "hunter2"}
    ended = icehaul("status", "--config", str(platform.write()), "--output", "json")
    assert (ended.code, ended.out) == (2, "")
    ended.explained("clickhouse.port, value 'many'", "did you mean password?")
    assert "hunter2" not in ended.err


def test_as_a_process_of_its_own(platform: Platform, stream: str) -> None:
    good = spawn("status", "--output", "json")
    assert (good.code, good.err) == (0, "")
    assert good.data["streams"][0]["name"] == stream
    bad = spawn("status", "--config", "nowhere.yaml")
    assert (bad.code, bad.out) == (2, "")
    bad.explained("nowhere.yaml")


def test_a_narrow_terminal_loses_nothing(
    icehaul: Run, platform: Platform, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    halt(platform, stream)
    monkeypatch.setenv("COLUMNS", "60")
    for arguments in (["status", stream], ["plan", stream], ["verify"]):
        ended = icehaul(*arguments)
        assert "…" not in ended.out
        # A query is not broken: it would be another one where somebody pastes it.
        lines = [line for line in ended.out.splitlines() if not line.startswith("SELECT")]
        assert all(len(line) <= 60 for line in lines)
        assert any(stream in line for line in lines)
    as_json = icehaul("status", "-o", "json")
    assert as_json.data["streams"][0]["name"] == stream


@pytest.mark.parametrize(
    ("variables", "colours"), [({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)]
)
def test_no_color_is_obeyed(
    icehaul: Run,
    platform: Platform,
    stream: str,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    colours: bool,
) -> None:
    halt(platform, stream)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (f"{ESCAPE}31m" in icehaul("status").out) is colours
    assert (f"{ESCAPE}1;31m" in icehaul("plan", "nobody").err) is colours
    assert ESCAPE not in icehaul("status", "-o", "json").out
