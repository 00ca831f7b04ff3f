"""docs/tutorial/day-2.md, followed step by step: consumers are processes of their own, whose tasks need no Spark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import yaml

from consumer.domain.due import CLOCKS_APART
from tests.integration.cli.conftest import Run
from tests.support.consuming import unhandled
from tests.support.local_platform import LocalPlatform, offload
from tests.support.platform import day
from tests.support.runbook_recording import record
from tests.support.runbooks import ROOT, Program, Runbook, Said, followed
from tests.support.waiting import wait_until

PAGE = ROOT / "docs" / "tutorial" / "day-2.md"
TRADES = "traded_at DateTime64(6, 'UTC'), trade_id UInt64, symbol LowCardinality(String), price Decimal(18, 8)"
SETTLE_LAG = timedelta(seconds=1)
"""Of the page's streams."""
RECORD = "RECORD_RUNBOOKS"


class Jobs:
    """Consumers in the background of the reader's shell, by the numbers of their jobs."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(self, log: str) -> None:
        """Start a consumer, and wait until it is a member of its group."""
        path = self._folder / log
        with path.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.sparkless_command", "run"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        self._running.append((process, path))
        wait_until(lambda: self._joined(path) >= 1, seconds=120, what=path.read_text())

    def kill(self, option: str, job: str) -> None:
        """Send a signal; wait until the process has begun anew (HUP), or is gone."""
        process, log = self._running[int(job.removeprefix("%")) - 1]
        before = self._joined(log)
        process.send_signal(signal.Signals[f"SIG{option.removeprefix('-')}"])
        if option == "-HUP":
            wait_until(lambda: self._joined(log) > before, seconds=120, what=log.read_text())
        else:
            process.wait(120)

    def end(self) -> None:
        """Kill whoever is left."""
        for process, _ in self._running:
            process.kill()
            process.wait(60)

    @staticmethod
    def _joined(log: Path) -> int:
        return log.read_text(encoding="utf-8").count("consumer.assigned")


@pytest.fixture
def jobs(local: LocalPlatform, tmp_path: Path) -> Iterator[Jobs]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with ExitStack() as running:
        made = Jobs(tmp_path, environment)
        running.callback(made.end)
        yield made


@pytest.fixture
def first_day(local: LocalPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the first day has left: a stream of trades that is offloaded, in ``icehaul.yaml``."""
    table = f"{local.name}.trades"
    local.add_stream(columns=f"ts DateTime, {TRADES}", name="trades", target="bronze.trades")
    local.client.command(f"DROP TABLE {table} SYNC")
    local.client.command(
        f"CREATE TABLE {table} ({TRADES}) ENGINE = MergeTree PARTITION BY toDate(traded_at)"
        " ORDER BY (symbol, traded_at)"
    )
    local.client.command(
        f"INSERT INTO {table} SELECT toDateTime64('2024-01-01', 6, 'UTC') + number, number, 'BTC', 42000"
        " FROM numbers(500)"
    )
    local.streams[0] |= {"timestamp_column": "traded_at", "sequence_columns": ["trade_id"], "settle_lag": "1s"}
    local.sections["consumer"] = {"http_port": 0, "lease_seconds": 5}
    local.sections["kafka"] = {"partitions": 2}
    with local.consumer() as application:
        application.topics.ensure()
        assert offload(application, "trades", day("2024-01-02")) == []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ICEHAUL_CONFIG", str(local.write()))
    monkeypatch.setenv("COLUMNS", "150")
    return Path(os.environ["ICEHAUL_CONFIG"])


def typed(local: LocalPlatform) -> bool:
    """Whether so much time has passed since the last tick as a person takes.

    What a tick asks for within it has been read already, and following ends before a consumer has looked.
    """
    with psycopg.connect(local.dsn) as connection:
        behind = connection.execute(
            "SELECT count(*) FROM offload_watermarks WHERE watermark >= clock_timestamp() - %s",
            [SETTLE_LAG + CLOCKS_APART],
        ).fetchone()
    return behind == (0,)


def test_the_second_day_goes_as_written(local: LocalPlatform, first_day: Path, jobs: Jobs, icehaul: Run) -> None:
    kafka = local.configuration().kafka

    def run(arguments: Sequence[str]) -> Said:
        if arguments[0] == "run":
            jobs.start(arguments[arguments.index(">", arguments.index(">") if "<" in arguments else 0) + 1])
            return Said("")
        if arguments[0] == "emit":
            wait_until(lambda: typed(local), what="the time that a person takes")
        if list(arguments) == ["dlq", "list"]:
            wait_until(lambda: "unknown-stream" in icehaul(*arguments).out, what="the dead letter")
        ended = icehaul(*arguments)
        return Said(ended.out, ended.code)

    def echo(arguments: Sequence[str]) -> Said:
        statement, bar, program = arguments
        assert (bar, program) == ("|", "clickhouse")
        # A tick that is still on its way would move the watermark past what the next one asks for.
        wait_until(lambda: "ALTER" not in statement or unhandled(kafka) == 0, what="every event's offset")
        local.client.command(statement)
        return Said("")

    def grep(arguments: Sequence[str]) -> Said:
        done = subprocess.run(["grep", *arguments], capture_output=True, text=True, check=False, timeout=60)
        return Said(done.stdout, done.returncode)

    def kill(arguments: Sequence[str]) -> Said:
        jobs.kill(*arguments)
        return Said("")

    def configure(text: str) -> None:
        document = yaml.safe_load(first_day.read_text(encoding="utf-8"))
        (shown,) = yaml.safe_load(text)["streams"]
        shown["source"] = shown["source"].replace("tutorial.", f"{local.name}.")
        document["streams"] = [one for one in document["streams"] if one["name"] != shown["name"]] + [shown]
        first_day.write_text(yaml.safe_dump(document), encoding="utf-8")

    programs: dict[str, Program] = {"icehaul": run, "echo": echo, "grep": grep, "kill": kill}
    page = Runbook(
        page=PAGE,
        names={
            "icehaul.events": local.topic,
            "tutorial.": f"{local.name}.",
            "tutorial_requests": f"{local.name}_requests",
            "tutorial": local.name,
        },
        programs=programs,
        configure=configure,
        record=record if os.environ.get(RECORD) else None,
    )
    with followed(page):
        for heading in dict.fromkeys(block.heading for block in page.left()):
            page.follow(heading)
