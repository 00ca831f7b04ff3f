"""The README's commands, run as they stand there."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.support.local_platform import ledger_database
from tests.support.processes import icehaul, output_of

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README.split("## Your own ClickHouse in five minutes")[1].split("\n## ")[0]
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("icehaul ")
]


@pytest.fixture
def workplace(stack: EmbeddedStack, unique_name: str, tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with the README's configuration file, the stack's addresses in the environment, and a source table."""
    text = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)[0]
    (tmp_path / "icehaul.yaml").write_text(text, encoding="utf-8")
    server = stack.endpoints.clickhouse
    client = clickhouse_connect.get_client(
        host=server.host, port=server.port, username=server.user, password=server.password
    )
    client.command("CREATE DATABASE quickstart")
    client.command(
        "CREATE TABLE quickstart.trades (exchange_timestamp DateTime64(6, 'UTC'), sequence_number UInt64,"
        " price Float64) ENGINE = MergeTree PARTITION BY toDate(exchange_timestamp) ORDER BY exchange_timestamp"
    )
    client.command(
        "INSERT INTO quickstart.trades SELECT now64(6) - toIntervalHour(number), number, number / 7 FROM numbers(100)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ICEHAUL_")}
    environment |= stack.endpoints.environment() | {
        "ICEHAUL_CONSUMER__HTTP_PORT": "0",
        "COLUMNS": "160",
        "ICEHAUL_TELEMETRY__LOG_FORMAT": "json",
    }
    # A ledger of its own: another page's stream of the same name has sent its ticks already.
    with ledger_database(stack.endpoints, unique_name) as dsn:
        yield tmp_path, environment | {"ICEHAUL_POSTGRES__DSN": dsn}
    client.command("DROP DATABASE quickstart")
    client.close()


def test_the_five_minutes_work_as_written(workplace: tuple[Path, dict[str, str]]) -> None:
    folder, environment = workplace

    def run(arguments: list[str]) -> str:
        return output_of(arguments, environment=environment | {"PYTHONPATH": str(ROOT)}, folder=folder)

    names = [command[0] for command in COMMANDS]
    assert names == ["migrate", "topics", "plan", "emit", "run", "status", "verify"]
    before, after = COMMANDS[: names.index("run")], COMMANDS[names.index("run") + 1 :]
    for command in before:
        run(command)
    configured = environment | {"ICEHAUL_CONFIG": str(folder / "icehaul.yaml")}
    with icehaul("run", log=folder / "run.log", environment=configured) as consumer:
        consumer.wait_for(r'"published"', seconds=120)
        assert consumer.terminate() == 0
    outputs = [run(command) for command in after]
    assert "quickstart_trades" in outputs[0]
    assert "published" in outputs[0]
    assert "equal" in outputs[1]


def test_every_make_target_named_in_the_documentation_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        name
        for page in pages
        for name in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named <= targets
    assert {"demo", "test"} <= named
