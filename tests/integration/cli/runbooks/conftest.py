"""A platform as the runbooks know it: the stream ``trades`` of ``market.trades``, and the programs that they use."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import structlog
import yaml
from structlog.typing import EventDict, WrappedLogger

from consumer.adapters.telemetry.logs import configure_logging
from consumer.settings.connections import TelemetrySettings
from tests.integration.cli.conftest import Run
from tests.support.kafka_tools import KafkaTools, kafka_tools
from tests.support.local_platform import LocalPlatform
from tests.support.runbook_recording import record
from tests.support.runbooks import RUNBOOKS, Program, Runbook, Said, followed

RECORD = "RECORD_RUNBOOKS"
"""Environment variable: write what is said into the pages instead of comparing it."""

RunbookOf = Callable[[str], AbstractContextManager[Runbook]]


@pytest.fixture(autouse=True)
def _as_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands stand alone in their terminal: consumers of the same process are silent."""
    monkeypatch.setenv("COLUMNS", "150")
    structlog.configure(processors=[_dropped])


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Let consumers of this process log into a file, as those do that a service manager has started."""
    before = structlog.get_config()
    with path.open("w", encoding="utf-8") as stream:
        configure_logging(TelemetrySettings(log_format="json"), stream=stream)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(logging.getLogger().handlers[-1])
            structlog.configure(**before)


def _dropped(_logger: WrappedLogger, _name: str, _event: EventDict) -> EventDict:
    raise structlog.DropEvent


@pytest.fixture
def trades(local: LocalPlatform, monkeypatch: pytest.MonkeyPatch) -> str:
    """The pages' stream, whose source holds a day of 100 rows, none of them offloaded yet."""
    local.add_stream(name="trades", target="bronze.trades")
    local.insert(100)
    monkeypatch.setenv("ICEHAUL_CONFIG", str(local.write()))
    return "trades"


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaTools]:
    """Kafka's own tools, for the pages that use them."""
    with kafka_tools(tmp_path_factory.mktemp("tools")) as made:
        yield made


@pytest.fixture
def runbook(local: LocalPlatform, icehaul: Run, request: pytest.FixtureRequest) -> RunbookOf:
    """Open a runbook by the name of its file; when it is closed, all of it has to be done."""

    def run(arguments: Sequence[str]) -> Said:
        ended = icehaul(*arguments)
        complaint = ended.err[ended.err.find("error: ") :] if ended.code > 1 else ""
        return Said(ended.out + complaint, ended.code)

    def groups(arguments: Sequence[str]) -> Said:
        made: KafkaTools = request.getfixturevalue("tools")
        return Said(made.consumer_groups(arguments))

    programs: dict[str, Program] = {
        "icehaul": run,
        "clickhouse-client": lambda arguments: _clickhouse(local, arguments),
        "psql": lambda arguments: _psql(local, arguments),
        "kafka-consumer-groups.sh": groups,
        "grep": lambda arguments: _grep(local, arguments),
    }

    def opened(page: str) -> AbstractContextManager[Runbook]:
        return followed(
            Runbook(
                page=RUNBOOKS / page,
                names=_names(local),
                programs=programs,
                configure=lambda text: configure(local, text),
                record=record if os.environ.get(RECORD) else None,
            )
        )

    return opened


def _names(local: LocalPlatform) -> dict[str, str]:
    endpoints = local.endpoints
    return {
        "market.": f"{local.name}.",
        "icehaul.events": local.topic,
        "icehaul": local.name,
        "kafka:9092": endpoints.kafka.bootstrap_servers,
        "`market`": f"`{local.name}`",
        "warehouse": f"tests/{local.name}",
        "s3://lake/warehouse": f"s3://{endpoints.store.bucket}/tests/{local.name}",
    }


def configure(local: LocalPlatform, text: str) -> None:
    """Set what a page's YAML sets: sections of the configuration, and fields of its streams."""
    document = yaml.safe_load(text)
    for shown in document.pop("streams", []):
        known = next((one for one in local.streams if one["name"] == shown["name"]), None)
        assert known is not None, f"the page configures {shown['name']}, which the test has not made"
        known |= {field: value for field, value in shown.items() if field != "source"}
    for section, values in document.items():
        local.sections[section] = local.sections.get(section, {}) | values
    local.write()


def _clickhouse(local: LocalPlatform, arguments: Sequence[str]) -> Said:
    """What ``clickhouse-client --query STATEMENT`` prints."""
    option, statement = arguments
    assert option == "--query"
    if statement.split()[0] in {"SELECT", "SHOW", "WITH"}:
        return Said(local.client.raw_query(statement, fmt="TabSeparated").decode())
    local.client.command(statement)
    return Said("")


def _psql(local: LocalPlatform, arguments: Sequence[str]) -> Said:
    """What ``psql "$ICEHAUL_POSTGRES__DSN" -At -c STATEMENT`` prints."""
    dsn, unaligned, option, statement = arguments
    assert (dsn, unaligned, option) == ("$ICEHAUL_POSTGRES__DSN", "-At", "-c")
    with closing(psycopg.connect(local.dsn, autocommit=True)) as connection:
        cursor = connection.execute(statement.encode())
        if cursor.description is None:
            return Said(f"{cursor.statusmessage}\n")
        rows = ["|".join("" if cell is None else str(cell) for cell in row) for row in cursor.fetchall()]
    return Said("".join(f"{row}\n" for row in rows))


def _grep(local: LocalPlatform, arguments: Sequence[str]) -> Said:
    """What ``grep`` finds in the consumer's log."""
    done = subprocess.run(
        ["grep", *arguments], cwd=local.directory, capture_output=True, text=True, check=False, timeout=60
    )
    return Said(done.stdout + done.stderr, done.returncode)
