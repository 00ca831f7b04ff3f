"""No planted secret stands in anything that icehaul writes, shows or passes on, whatever fails."""

from __future__ import annotations

import random
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.support.exposed_consumer import World, configure, drop_database, free_port, make_database, play
from tests.support.planted_secrets import found_in, planted
from tests.support.platform import Platform

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "security.md"
pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def world(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A consumer that worked, met every failure, and was ended by a signal; with everything that it left behind."""
    name = f"t_secrets_{random.SystemRandom().randrange(10**9)}"
    directory = tmp_path_factory.mktemp("secrets")
    with ExitStack() as ending, pytest.MonkeyPatch.context() as patch:
        platform = Platform(stack.endpoints, name, directory)
        ending.callback(platform.close)
        made = World(
            platform,
            directory,
            postgres_password=planted("/@ %'\"\\"),
            sasl_password=planted(),
            key_password=planted(),
            spark_token=planted(),
            ui_port=free_port(),
        )
        ending.callback(drop_database, made)
        make_database(made)
        for table in ("trades", "quoted"):
            platform.add_stream(table)
            platform.insert(30, table=table)
        configure(made)
        for variable, value in made.environment().items():
            patch.setenv(variable, value)
        play(made, commands_of(PAGE))
        yield made


def commands_of(page: Path) -> list[list[str]]:
    """The commands that a page shows, without the program's name."""
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line]


MARKS = {
    "log": "can not reach ***",
    "traces": "offload.publish",
    "metrics": "icehaul_rows_total",
    "cmdline": "org.apache.spark.deploy.SparkSubmit",
    "environ": "SPARK_",
    "spark pages": "spark.ui.port",
    "spark events": "SparkListenerJobEnd",
    "table files": "icehaul.batch-id",
    "dead letters": "icehaul-error",
    "ledger": "offload_batches: ",
    "crash dumps": "SIGSEGV",
    "commands": "**********",
}
"""Where is searched, and what has to stand there: evidence that is not collected shows nothing."""


@pytest.mark.parametrize("place", MARKS)
def test_no_secret_stands_in(world: World, place: str) -> None:
    text = world.evidence[place]
    assert MARKS[place] in text
    assert found_in(text, world.secrets) == []


def test_every_failure_did_happen(world: World) -> None:
    said = world.evidence["commands"] + world.evidence["log"]
    for part in (
        "may not log in",
        "does not take connections",
        "is no connection string",
        "clickhouse.user and clickhouse.password",
        "did not answer",
        "refuses access to the bucket",
        "the Kafka client refuses its configuration",
        "the environment or a secret file can't be read",
        "no Spark Connect server answers",
        "the Spark job of batch",
    ):
        assert part in said, part
    assert "Fatal Python error: Aborted" in world.evidence["log"]
    assert not list(world.directory.glob("core*"))
