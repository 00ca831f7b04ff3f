"""The systemd units, asked of the real systemd, and the page run-under-systemd.md on an empty root."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import stat
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from consumer.entrypoints.cli.emit import _SILENCE_SECONDS, _STEP_SECONDS
from consumer.entrypoints.cli.output import ExitCode
from consumer.entrypoints.poll_loop import SILENCE_SECONDS
from consumer.entrypoints.service_manager import GRACE_SECONDS
from consumer.settings.connections import ConsumerSettings
from consumer.settings.emission import EmitterSettings
from consumer.settings.load import load
from tests.support.command_words import understand

ROOT = Path(__file__).resolve().parents[3]
UNITS = ROOT / "ops" / "systemd"
PAGE = ROOT / "docs" / "how-to" / "run-under-systemd.md"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
INSTANCE = "8080"
MOST_EXPOSED = 2.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze: Debian's systemd"
)


def settings_of(name: str) -> dict[str, list[str]]:
    """What the section ``[Service]`` says, by the setting's name; a setting may be given several times."""
    found: dict[str, list[str]] = defaultdict(list)
    section = (UNITS / name).read_text("utf-8").partition("[Service]")[2].partition("[Install]")[0]
    for line in section.splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def one(name: str, setting: str) -> str:
    (value,) = settings_of(name)[setting]
    return value


def run_by(root: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-ec", command],
        cwd=ROOT,
        env={**os.environ, "ROOT": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root on which the page's commands were run; what the distribution has there is a stand-in."""
    made = tmp_path_factory.mktemp("root")
    for program in ("opt/icehaul/bin/icehaul", "bin/kill"):
        path = made / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    targets = made / "usr" / "lib" / "systemd" / "system"
    targets.mkdir(parents=True)
    for target in ("network-online", "multi-user", "sysinit", "basic", "shutdown"):
        (targets / f"{target}.target").write_text("[Unit]\nDescription=a stand-in\n")
    for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        done = run_by(made, block)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
    return made


@needs_systemd
def test_the_page_installs_and_enables_everything(root: Path) -> None:
    system = root / "etc" / "systemd" / "system"
    wanted = {path.name for path in (system / "icehaul.target.wants").iterdir()}
    assert wanted == {"icehaul-consumer@8080.service", "icehaul-consumer@8081.service", "icehaul-emitter.service"}
    assert (system / "multi-user.target.wants" / "icehaul.target").is_symlink()
    assert re.search(r"^icehaul:", (root / "etc" / "passwd").read_text(), re.MULTILINE)
    for secrets in ("secrets", "secrets-of-the-owner"):
        assert stat.S_IMODE((root / "etc" / "icehaul" / secrets).stat().st_mode) == 0o700


def instance(name: str) -> str:
    return name.replace("@.", f"@{INSTANCE}.")


def verified(root: Path, name: str) -> str:
    done = run_by(root, f"systemd-analyze verify --root=$ROOT --man=no {shlex.quote(instance(name))}")
    return done.stderr if done.returncode == 0 else f"{done.returncode}: {done.stderr}"


@needs_systemd
@pytest.mark.parametrize("name", [*SERVICES, "icehaul.target"])
def test_systemd_understands_every_line_of_a_unit(root: Path, name: str) -> None:
    assert verified(root, name) == ""


@needs_systemd
@pytest.mark.parametrize(
    ("line", "broken"),
    [
        ("ProtectSystem=strict", "ProtectSystm=strict"),
        ("ExecStart=/opt/icehaul/bin/icehaul", "ExecStart=/opt/icehaul/bin/nothing"),
        ("WatchdogSec=60", "WatchdogSec=soon"),
        ("SystemCallFilter=@system-service", "SystemCallFilter=@sytem-service"),
    ],
)
def test_systemd_complains_of_a_broken_unit(root: Path, line: str, broken: str) -> None:
    text = (UNITS / "icehaul-consumer@.service").read_text("utf-8")
    assert line in text
    path = root / "etc" / "systemd" / "system" / "broken@.service"
    path.write_text(text.replace(line, broken))
    try:
        assert verified(root, "broken@.service") != ""
    finally:
        path.unlink()


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardly_exposed(root: Path, name: str) -> None:
    # systemd rates no instance of a template without a running manager.
    shutil.copy(UNITS / name, root / "etc" / "systemd" / "system" / instance(name))
    done = run_by(root, f"systemd-analyze security --offline=true --root=$ROOT --no-pager {instance(name)}")
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None, done.stderr
    assert float(level[1]) <= MOST_EXPOSED


@pytest.mark.parametrize("name", SERVICES)
def test_the_commands_of_a_service_exist(name: str) -> None:
    service = settings_of(name)
    for command in service["ExecStart"] + service["ExecReload"]:
        words = shlex.split(command)
        if words != ["/bin/kill", "-HUP", "$MAINPID"]:
            understand(["icehaul", *words[1:]])
            assert words[0] == "/opt/icehaul/bin/icehaul"
    assert [bool(service["ExecReload"]), service["Type"] == ["notify"]] == [name != "icehaul-migrate.service"] * 2


def test_a_consumer_has_more_time_for_its_end_than_it_takes_itself() -> None:
    settings = ConsumerSettings()
    longest = max(settings.shutdown_deadline_seconds, settings.revoke_deadline_seconds)
    assert float(one("icehaul-consumer@.service", "TimeoutStopSec")) >= longest + GRACE_SECONDS
    assert float(one("icehaul-emitter.service", "TimeoutStopSec")) >= _STEP_SECONDS + GRACE_SECONDS


def test_the_watchdog_leaves_a_process_the_silence_that_its_health_allows() -> None:
    assert float(one("icehaul-consumer@.service", "WatchdogSec")) >= 2 * SILENCE_SECONDS
    allowed = _SILENCE_SECONDS + EmitterSettings().poll.total_seconds()
    assert float(one("icehaul-emitter.service", "WatchdogSec")) > allowed


@pytest.mark.parametrize("name", ["icehaul-consumer@.service", "icehaul-emitter.service"])
def test_what_an_operator_has_to_mend_is_not_tried_again_and_everything_else_is(name: str) -> None:
    assert one(name, "RestartPreventExitStatus") == f"{ExitCode.USAGE} {ExitCode.REFUSED}"
    assert one(name, "Restart") == "on-failure"
    assert "StartLimitIntervalSec=0" in (UNITS / name).read_text("utf-8")


def test_all_services_have_the_same_sandbox() -> None:
    def sandbox(name: str) -> list[str]:
        lines = (UNITS / name).read_text("utf-8").partition("CapabilityBoundingSet=")[2].partition("[Install]")[0]
        return lines.split()

    assert sandbox(SERVICES[0])
    for name in SERVICES:
        assert sandbox(name) == sandbox(SERVICES[0])
        assert {"User", "Group"} <= settings_of(name).keys()


def test_credentials_as_systemd_lays_them_out_are_the_secrets_that_the_page_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``LoadCredential=ID:DIRECTORY`` makes ID_FILE of each file of the directory (systemd.exec(5))."""
    for name in SERVICES:
        assert one(name, "LoadCredential").partition(":")[0] == "icehaul"
        assert "ICEHAUL_SECRETS_DIR=%d" in settings_of(name)["Environment"]
    named = re.findall(r"^\| `/etc/icehaul/secrets/(\w+)` \| `([\w.]+)`", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(named) == 4
    for file, field in named:
        assert file == field.replace(".", "__")
        value = '{"sasl.password": "planted"}' if "options" in file else "postgresql://planted"
        (tmp_path / f"icehaul_{file}").write_text(value)
        (tmp_path / f"icehaul_{file}").chmod(0o400)
    (tmp_path / "icehaul.yaml").write_text("store: {access_key: icehaul}\nstreams: []\n")
    monkeypatch.setenv("ICEHAUL_SECRETS_DIR", str(tmp_path))
    configuration = load(tmp_path / "icehaul.yaml")
    assert configuration.clickhouse.password.get_secret_value() == "postgresql://planted"
    assert configuration.kafka.secret_options["sasl.password"].get_secret_value() == "planted"


def test_variables_of_the_units_are_fields_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in SERVICES:
        for setting in settings_of(name)["Environment"]:
            variable, _, value = setting.partition("=")
            if variable.startswith("ICEHAUL_") and variable != "ICEHAUL_SECRETS_DIR":
                monkeypatch.setenv(variable, value.replace("%i", INSTANCE))
    (tmp_path / "icehaul.yaml").write_text("streams: []\n")
    configuration = load(tmp_path / "icehaul.yaml")
    assert configuration.consumer.http_port == int(INSTANCE)
    assert configuration.telemetry.log_format == "json"


def test_drop_ins_of_the_page_are_sections_of_a_unit() -> None:
    for block in re.findall(r"```ini\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        parser = configparser.ConfigParser()
        parser.read_string(block)
        assert parser.sections() == ["Service"]


def test_units_that_the_page_names_exist() -> None:
    for unit in re.findall(r"icehaul-(?:consumer@\d+|\w+)(?=[\s.]|$)", PAGE.read_text("utf-8")):
        service = re.sub(r"@\d+", "@", unit)
        if service.startswith(("icehaul-consumer@", "icehaul-emitter", "icehaul-migrate")):
            assert f"{service}.service" in SERVICES
