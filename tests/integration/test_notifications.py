"""What icehaul's alerts tell whom: the shipped configuration in a real Alertmanager, with local receivers."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from tests.support.alert_desk import SHIPPED, AlertDesk, alert, alert_desk, first
from tests.support.alerting import RULE_FILES, program
from tests.support.programs import needs_program
from tests.support.waiting import wait_until

pytestmark = [needs_program("prometheus-alertmanager"), needs_program("amtool")]

RUNBOOK = "https://docs.example/icehaul/docs/how-to/runbook.md#icehaulstreamhalted"
HALTED = {
    "summary": "Stream trades is halted",
    "description": "It waits for an operator; its events are kept & <others> go on.",
    "remedy": "run `icehaul status trades`, do what it says, then `icehaul resume trades`",
    "runbook_url": "docs/how-to/runbook.md#icehaulstreamhalted",
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertDesk]:
    with alert_desk(tmp_path_factory.mktemp("desk")) as running:
        yield running


def amtool(*arguments: str) -> str:
    done = subprocess.run([program("amtool"), *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_is_valid_and_finds_its_templates() -> None:
    said = amtool("check-config", str(SHIPPED))
    assert "SUCCESS" in said
    assert " - 1 templates" in said


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("severity=critical",), "on-call"),
        (("severity=warning",), "chat"),
        (("severity=info",), "mail"),
        ((), "chat"),
    ],
)
def test_each_severity_has_its_receiver(labels: tuple[str, ...], receiver: str) -> None:
    route = ("config", "routes", "test", f"--config.file={SHIPPED}", f"--verify.receivers={receiver}")
    assert amtool(*route, "alertname=IcehaulAnything", "stream=trades", *labels).strip() == receiver


def test_no_secret_stands_in_the_configuration() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    secret = re.findall(
        r"^\s*[a-z_]*(?:password|token|secret|credentials|api_url|api_key)\b(?!_file).*", text, re.MULTILINE
    )
    assert secret == []
    assert set(re.findall(r"\w+_file: (/etc/alertmanager/secrets/)", text)) == {"/etc/alertmanager/secrets/"}


def test_a_critical_alert_of_several_consumers_is_told_once_by_every_means(desk: AlertDesk) -> None:
    instances = [
        alert("IcehaulStreamHalted", "once", "critical", stream="trades", instance=f"c{n}", **HALTED) for n in (1, 2)
    ]
    desk.fire(*instances)
    page = first(lambda: desk.paged("once"), "a page")
    assert first(lambda: desk.chatted("once"), "a chat message")
    assert first(lambda: desk.mailed("once"), "a mail")
    assert [one["labels"]["instance"] for one in page.body["alerts"]] == ["c1", "c2"]
    desk.fire(*instances)  # Prometheus repeats itself every few seconds
    desk.fire(alert("IcehaulOther", "once", "critical", stream="trades"))
    wait_until(lambda: len(desk.paged("once")) == 2, what="the page of the other alert")
    assert desk.paged("once")[1].body["groupLabels"]["alertname"] == "IcehaulOther"
    assert titles(desk, "once")[0] == "[CRITICAL] IcehaulStreamHalted: trades (once)"


def test_the_chat_says_what_has_happened_and_what_to_do(desk: AlertDesk) -> None:
    desk.fire(alert("IcehaulStreamHalted", "chat", "critical", stream="trades", **HALTED))
    message = first(lambda: desk.chatted("chat"), "a chat message")
    assert message["color"] == "danger"
    assert message["title"] == "[CRITICAL] IcehaulStreamHalted: trades (chat)"
    assert message["title_link"] == RUNBOOK
    lines = message["text"].splitlines()
    assert lines[0] == "*Stream trades is halted*"
    assert lines[1] == "It waits for an operator; its events are kept &amp; &lt;others&gt; go on."
    assert lines[2] == f"*What to do:* {HALTED['remedy']}"
    assert lines[3].startswith(f"<{RUNBOOK}|Runbook> · since 20")


def test_the_mail_says_the_same_as_text_and_as_html(desk: AlertDesk) -> None:
    desk.fire(alert("IcehaulStreamHalted", "mail", "critical", stream="trades", **HALTED))
    mail = first(lambda: desk.mailed("mail"), "a mail")
    assert mail.message["Subject"] == "[CRITICAL] IcehaulStreamHalted: trades (mail)"
    for part in ("plain", "html"):
        text = mail.part(part)
        for word in ("Stream trades is halted", "icehaul resume trades", RUNBOOK, "What to do:"):
            assert word in text, part
    assert "kept & <others>" in mail.part("plain")
    assert "kept &amp; &lt;others&gt;" in mail.part("html")


def test_the_webhook_carries_remedy_and_runbook_for_programs(desk: AlertDesk) -> None:
    desk.fire(alert("IcehaulStreamHalted", "webhook", "critical", stream="trades", **HALTED))
    page = first(lambda: desk.paged("webhook"), "a page")
    assert page.body["commonAnnotations"] == HALTED
    assert page.body["groupLabels"] == {
        "alertname": "IcehaulStreamHalted",
        "environment": "webhook",
        "stream": "trades",
    }


def test_secrets_come_from_files(desk: AlertDesk) -> None:
    desk.fire(alert("IcehaulStreamHalted", "secrets", "critical", stream="trades", **HALTED))
    assert first(lambda: desk.paged("secrets"), "a page").authorization == "Bearer the-pager-token"
    assert first(lambda: desk.mailed("secrets"), "a mail").credentials == ("icehaul", "the-mail-password")
    assert first(lambda: desk.chatted("secrets"), "a message at the secret address")


def test_warnings_of_several_streams_are_one_message_that_lists_them(desk: AlertDesk) -> None:
    desk.fire(
        *(
            alert(
                "IcehaulStreamLagging",
                "list",
                "warning",
                stream=stream,
                summary=f"Stream {stream} lags",
                remedy=f"look at {stream}",
            )
            for stream in ("books", "trades")
        )
    )
    message = first(lambda: desk.chatted("list"), "a chat message")
    assert message["title"] == "[WARNING] IcehaulStreamLagging: 2 alerts (list)"
    assert message["color"] == "warning"
    assert "*Stream books lags*" in message["text"]
    assert "*What to do:* look at trades" in message["text"]
    assert (desk.paged("list"), desk.mailed("list"), len(desk.chatted("list"))) == ([], [], 1)


def test_of_many_alerts_the_first_are_written_out_and_all_are_counted(desk: AlertDesk) -> None:
    desk.fire(
        *(alert("IcehaulStreamLagging", "many", "warning", stream=f"s{n:03}", summary="It lags") for n in range(50))
    )
    message = first(lambda: desk.chatted("many"), "a chat message")
    assert message["text"].count("It lags") == 20
    assert message["text"].endswith("These are the first 20 of 50 alerts.")


STREAM = {"stream": "trades"}
DISK, OTHER_DISK = ({"instance": instance, "directory": "/var/spark"} for instance in ("c1", "c2"))
INHIBITED = [
    ("IcehaulStreamHalted", "IcehaulStreamLagging", STREAM),
    ("IcehaulStreamHalted", "IcehaulBatchesSlow", STREAM),
    ("IcehaulConsumerAbsent", "IcehaulStreamHalted", STREAM),
    ("IcehaulConsumerAbsent", "IcehaulConsumerLag", {"topic": "icehaul.events"}),
    ("IcehaulLossNear", "IcehaulLossApproaches", STREAM),
    ("IcehaulDiskFull", "IcehaulDiskFilling", DISK),
    ("IcehaulFreshnessBudgetBurnsFast", "IcehaulFreshnessBudgetBurnsSlowly", {}),
    ("IcehaulBatchBudgetBurnsFast", "IcehaulBatchBudgetBurnsSlowly", {}),
    ("IcehaulOfOurs", "IcehaulOfOurs", STREAM),
]
"""A critical alert, another one that follows from it, and the labels that they share."""
TOLD = [
    ("IcehaulStreamHalted", STREAM, "IcehaulStreamLagging", {"stream": "books"}),
    ("IcehaulStreamHalted", STREAM, "IcehaulLossApproaches", STREAM),
    ("IcehaulConsumerAbsent", {}, "IcehaulLossApproaches", STREAM),
    ("IcehaulConsumerAbsent", {}, "IcehaulDiskFilling", DISK),
    ("IcehaulLossNear", STREAM, "IcehaulLossApproaches", {"stream": "books"}),
    (
        "IcehaulDiskFull",
        DISK,
        "IcehaulDiskFilling",
        OTHER_DISK,
    ),
]
"""A critical alert, and another one that has a cause of its own."""


@pytest.mark.parametrize(("cause", "effect", "labels"), INHIBITED)
def test_what_follows_from_another_alert_is_told_only_once_that_is_over(
    desk: AlertDesk, cause: str, effect: str, labels: dict[str, str]
) -> None:
    environment = f"{cause}-{effect}"
    why, what = alert(cause, environment, "critical", **labels), alert(effect, environment, "warning", **labels)
    desk.fire(why)
    wait_until(lambda: desk.state(environment, cause), what="the cause")
    desk.fire(what)
    wait_until(lambda: "suppressed" in desk.state(environment, effect), what="the effect is kept back")
    wait_until(lambda: titles(desk, environment), what="the cause is told")
    assert titles(desk, environment, f"[WARNING] {effect}") == []
    desk.resolve(why)
    wait_until(lambda: titles(desk, environment, f"[WARNING] {effect}"), what="the effect is told")
    assert titles(desk, environment)[0].startswith(f"[CRITICAL] {cause}")


@pytest.mark.parametrize(("cause", "why", "other", "what"), TOLD)
def test_what_does_not_follow_is_told(
    desk: AlertDesk, cause: str, why: dict[str, str], other: str, what: dict[str, str]
) -> None:
    environment = f"{cause}-beside-{other}"
    desk.fire(alert(cause, environment, "critical", **why))
    first(lambda: desk.paged(environment), "the cause is told")
    desk.fire(alert(other, environment, "warning", **what))
    assert desk.state(environment, other) == "active"
    wait_until(lambda: titles(desk, environment, f"[WARNING] {other}"), what="the other alert")


def test_another_installation_is_told_for_itself(desk: AlertDesk) -> None:
    desk.fire(alert("IcehaulConsumerAbsent", "staging", "critical"))
    first(lambda: desk.paged("staging"), "a page for the one")
    desk.fire(alert("IcehaulStreamHalted", "production", "critical", stream="trades", **HALTED))
    first(lambda: desk.paged("production"), "a page for the other")


def test_what_is_over_is_told_to_everybody_who_heard_of_it(desk: AlertDesk) -> None:
    halted = alert("IcehaulStreamHalted", "over", "critical", stream="trades", **HALTED)
    desk.fire(halted)
    first(lambda: desk.mailed("over"), "a mail")
    desk.resolve(halted)
    wait_until(lambda: len(desk.paged("over")) == 2, what="the page that it is over")
    wait_until(lambda: len(desk.chatted("over")) == 2, what="the message that it is over")
    wait_until(lambda: len(desk.mailed("over")) == 2, what="the mail that it is over")
    assert desk.paged("over")[1].body["status"] == "resolved"
    message = desk.chatted("over")[1]
    assert (message["title"], message["color"]) == ("[RESOLVED] IcehaulStreamHalted: trades (over)", "good")
    assert re.fullmatch(r"Over: Stream trades is halted \(from .+ to .+ UTC\)", message["text"])
    assert desk.mailed("over")[1].message["Subject"] == "[RESOLVED] IcehaulStreamHalted: trades (over)"


def test_an_alert_that_lacks_everything_still_makes_a_message(desk: AlertDesk) -> None:
    desk.fire(alert("IcehaulBare", "bare", None))
    message = first(lambda: desk.chatted("bare"), "a chat message")
    assert message["title"] == "[FIRING] IcehaulBare (bare)"
    assert message["title_link"] == "http://alertmanager.example"
    assert message["text"].startswith("*IcehaulBare*")


def titles(desk: AlertDesk, environment: str, beginning: str = "") -> list[str]:
    return [one["title"] for one in desk.chatted(environment) if one["title"].startswith(beginning)]


def test_configuration_and_messages_find_in_the_rules_what_they_name() -> None:
    rules = [
        rule
        for path in RULE_FILES
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    known = {rule["alert"] for rule in rules}
    named = set(re.findall(r"Icehaul\w+", SHIPPED.read_text(encoding="utf-8")))
    assert {name for name in named if name != "IcehaulLoss"} <= known
    assert {rule["labels"]["severity"] for rule in rules} <= {"critical", "warning", "info"}
    assert [rule["alert"] for rule in rules if not rule["annotations"].keys() >= HALTED.keys()] == []
