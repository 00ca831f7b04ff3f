"""The shipped Alertmanager configuration at work: a real Alertmanager, with receivers of the test's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.support.alerting import Server, alertmanager
from tests.support.receivers import Call, Mail, MailServer, WebServer, running
from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "ops" / "alertmanager" / "alertmanager.yml"
SECRETS = {"smtp_password": "the-mail-password", "slack_url": "/services/the-secret", "pager_token": "the-pager-token"}
PAGER, CHAT = "/pager", "/services/the-secret"
_WAITS = {"group_wait": "200ms", "group_interval": "200ms"}
_SECRETS_FOLDER = "/etc/alertmanager/secrets"


@dataclass(frozen=True, slots=True)
class AlertDesk:
    """Alertmanager, and all that it has sent; whoever tests gives its alerts an ``environment`` of their own."""

    server: Server
    web: WebServer
    mail: MailServer

    def fire(self, *alerts: dict[str, Any]) -> None:
        self.server.post("/api/v2/alerts", list(alerts))

    def resolve(self, *alerts: dict[str, Any]) -> None:
        self.fire(*(alert | {"endsAt": datetime.now(UTC).isoformat()} for alert in alerts))

    def paged(self, environment: str) -> list[Call]:
        """What came to the pager of one environment, oldest first."""
        return [call for call in self.web.to(PAGER) if call.body["commonLabels"].get("environment") == environment]

    def chatted(self, environment: str) -> list[dict[str, Any]]:
        """The attachments that came to the chat, each of which is one message."""
        attachments = [call.body["attachments"][0] for call in self.web.to(CHAT)]
        return [one for one in attachments if f"({environment})" in one["title"]]

    def mailed(self, environment: str) -> list[Mail]:
        return [mail for mail in self.mail.mails if f"({environment})" in str(mail.message["Subject"])]

    def state(self, environment: str, alertname: str) -> str:
        """Whether Alertmanager tells an alert (active), or keeps it back (suppressed); empty while it is not known."""
        found = self.server.get("/api/v2/alerts", filter=f'environment="{environment}"')
        states = [one["status"]["state"] for one in found if one["labels"]["alertname"] == alertname]
        return "".join(set(states))


def alert(name: str, environment: str, severity: str | None, **fields: str) -> dict[str, Any]:
    """An alert as Prometheus sends it; ``summary``, ``description``, ``remedy`` and ``runbook_url`` annotate it."""
    annotations = {key: fields.pop(key) for key in list(fields) if key in _ANNOTATIONS}
    labels = {"alertname": name, "environment": environment, **fields}
    return {
        "labels": labels | ({} if severity is None else {"severity": severity}),
        "annotations": annotations,
        "startsAt": datetime.now(UTC).isoformat(),
        "generatorURL": "http://prometheus.example/graph",
    }


_ANNOTATIONS = {"summary", "description", "remedy", "runbook_url"}


def pointed_here(web: WebServer, mail: MailServer, directory: Path) -> Path:
    """Write the shipped configuration with other addresses, secrets and times, and return its path.

    Nothing else is changed: routes, groups, inhibition and messages are those that are shipped.
    """
    for name, secret in SECRETS.items():
        (directory / name).write_text(f"{web.url}{secret}" if name == "slack_url" else secret, encoding="utf-8")
    text = SHIPPED.read_text(encoding="utf-8")
    for wait, shorter in _WAITS.items():
        text = re.sub(rf"^( *{wait}): .*$", rf"\1: {shorter}", text, flags=re.MULTILINE)
    for shipped, here in {
        _SECRETS_FOLDER: str(directory),
        "smtp.example:587": mail.address,
        "smtp_require_tls: true": "smtp_require_tls: false",
        "https://pager.example/icehaul": f"{web.url}{PAGER}",
        "templates/*.tmpl": f"{SHIPPED.parent}/templates/*.tmpl",
    }.items():
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    assert yaml.safe_load(text)["global"]["smtp_require_tls"] is False
    path = directory / "alertmanager.yml"
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def alert_desk(directory: Path) -> Iterator[AlertDesk]:
    """Run Alertmanager as it is shipped, with receivers."""
    with (
        running(WebServer()) as web,
        running(MailServer()) as mail,
        alertmanager(pointed_here(web, mail, directory), directory) as server,
    ):
        yield AlertDesk(server, web, mail)


def first(messages: Any, what: str, seconds: float = 15) -> Any:
    """Wait for the first of the messages that ``messages`` returns."""
    return wait_for(messages, seconds, what)[0]
