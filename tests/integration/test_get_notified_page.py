"""What docs/how-to/get-notified.md shows: its commands are run, and whatever they and the receivers say is as shown."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.alert_desk import ROOT, SHIPPED, AlertDesk, alert_desk, first
from tests.support.alerting import RULE_FILES, program
from tests.support.programs import needs_program
from tests.support.waiting import wait_until

pytestmark = [needs_program("prometheus-alertmanager"), needs_program("amtool")]

PAGE = (ROOT / "docs" / "how-to" / "get-notified.md").read_text("utf-8")
COPY, CHECK, ROUTES, ALERT, SILENCE = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
CHECKED, ROUTED, CHAT, MAIL = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertDesk]:
    with alert_desk(tmp_path_factory.mktemp("desk")) as running:
        yield running


@pytest.fixture(scope="module")
def etc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page makes under /etc/alertmanager."""
    folder = tmp_path_factory.mktemp("etc") / "alertmanager"
    shell(COPY, {"/etc/alertmanager": str(folder)})
    return folder


def shell(block: str, elsewhere: dict[str, str]) -> str:
    """Run the commands of a block, with other places in the place of those that it names, and return what they say."""
    said = ""
    for line in block.replace("\\\n", " ").splitlines():
        for named, there in elsewhere.items():
            line = line.replace(named, there)  # noqa: PLW2901 - the same line, elsewhere
        command, *arguments = shlex.split(line)
        binary = program(command) if command == "amtool" else shutil.which(command)
        done = subprocess.run(
            [str(binary), *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said += done.stdout
    return said


def test_what_is_copied_is_accepted_as_the_page_shows(etc: Path) -> None:
    assert (etc / "templates" / "title.tmpl").is_file()
    assert (etc / "secrets").stat().st_mode & 0o777 == 0o700
    said = shell(CHECK, {"/etc/alertmanager": str(etc)}).replace(str(etc), "/etc/alertmanager")
    assert said.strip() == CHECKED.strip()


def test_alerts_go_where_the_page_says(etc: Path) -> None:
    assert shell(ROUTES, {"/etc/alertmanager": str(etc)}) == ROUTED


def test_the_table_of_severities_says_what_the_routes_say() -> None:
    route = yaml.safe_load(SHIPPED.read_text("utf-8"))["route"]
    own = {
        one["matchers"][0].removeprefix("severity = "): (
            one["receiver"],
            one.get("repeat_interval", route["repeat_interval"]),
        )
        for one in route["routes"]
    }
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| `([\w-]+)` \| [^|]+ \| [^|]+ \| (\d+) (\w) \|$", PAGE, re.MULTILINE)
    assert {severity: (receiver, number + unit) for severity, receiver, number, unit in rows} == own


def test_the_table_of_secrets_names_the_files_that_the_configuration_reads() -> None:
    read = set(re.findall(r"_file: /etc/alertmanager/secrets/(\w+)", SHIPPED.read_text("utf-8")))
    assert read == set(re.findall(r"^\| `(\w+_\w+)` \| ", PAGE, re.MULTILINE))


def test_the_table_of_what_is_kept_back_names_what_the_configuration_names() -> None:
    section = PAGE[PAGE.index("## What is kept back") :]
    configured = SHIPPED.read_text("utf-8")
    rules = configured[configured.index("inhibit_rules:") : configured.index("receivers:")]
    names = re.compile(r"Icehaul\w+")
    assert set(names.findall(section)) == set(names.findall(rules))


def test_the_alert_of_the_page_is_that_of_the_rule() -> None:
    (rule,) = [
        rule
        for path in RULE_FILES
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if rule.get("alert") == "IcehaulStreamHalted"
    ]
    words = shlex.split(ALERT.replace("\\\n", " "))
    said = dict(word.removeprefix("--annotation=").split("=", 1) for word in words if word.startswith("--annotation="))
    assert said == {name: text.replace("{{ $labels.stream }}", "trades") for name, text in rule["annotations"].items()}


def test_the_alert_of_the_page_arrives_as_the_page_shows(desk: AlertDesk) -> None:
    shell(ALERT, {"http://localhost:9093": desk.server.url})
    message = first(lambda: desk.chatted("production"), "a chat message")
    mail = first(lambda: desk.mailed("production"), "a mail")
    assert without_times(f"{message['title']}\n{message['text']}") == without_times(CHAT)
    assert without_times(f"Subject: {mail.message['Subject']}\n\n{mail.part('plain')}") == without_times(MAIL)
    first(lambda: desk.paged("production"), "a page")


def test_the_silence_of_the_page_keeps_back_what_is_told_of_the_stream(desk: AlertDesk) -> None:
    here = {"http://localhost:9093": desk.server.url}
    shell(SILENCE, here)
    shell(ALERT.replace("production", "silenced"), here)
    wait_until(lambda: desk.state("silenced", "IcehaulStreamHalted") == "suppressed", what="the silenced alert")
    assert desk.paged("silenced") == []


def without_times(text: str) -> str:
    return TIME.sub("TIME", text.replace("\r\n", "\n")).strip()
