"""The smoke test of a release: ``python -m tests.release ENVIRONMENT``, which has nothing but the wheel and its locks.

The servers are the embedded stack of this checkout; everything that icehaul does is done by the installed command.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from consumer import __version__
from consumer.embedded.stack import EmbeddedStack
from consumer.failpoints.effects import POINTS
from tests.release.installed import Installed
from tests.support.platform import Platform

ROOT = Path(__file__).resolve().parents[2]
ROWS = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every step; return 0 once all have succeeded. The first that fails ends it with what its command said."""
    parser = argparse.ArgumentParser(prog="python -m tests.release", description=__doc__)
    parser.add_argument("environment", type=Path, help="the environment that the wheel was installed into")
    environment = parser.parse_args(arguments).environment.resolve()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory(prefix="icehaul-release-") as scratch:
        folder = Path(scratch)
        assert not folder.is_relative_to(ROOT), "set TMPDIR to a directory outside of the checkout"
        for step in _without_servers(Installed(environment, folder)):
            console.print(step)
        with EmbeddedStack.start(folder / "stack") as stack:
            platform = Platform(stack.endpoints, "release", folder)
            for step in _with_servers(platform, environment):
                console.print(step)
            platform.close()
    console.print(f"icehaul {__version__} works as it was built")
    return 0


def _without_servers(icehaul: Installed) -> Iterator[str]:
    """What the wheel and its environment have."""
    for file in icehaul.packages():
        assert file.is_relative_to(icehaul.environment), f"{file} is not what was installed"
    yield f"packages, marked as typed, in {icehaul.environment}"
    assert icehaul.output("--version").strip() == f"icehaul {__version__}"
    schema = json.loads(icehaul.output("config", "schema"))
    assert schema == json.loads((ROOT / "schemas" / "config" / "icehaul.json").read_text("utf-8"))
    listed = json.loads(icehaul.output("failpoints", "--output", "json"))
    assert [point["point"] for point in listed["points"]] == [*POINTS]
    yield f"--version, config schema, failpoints ({len(POINTS)} of them)"
    page = icehaul.environment / "share" / "man" / "man1" / "icehaul.1"
    assert page.read_bytes() == (ROOT / "docs" / "man" / "icehaul.1").read_bytes()
    yield f"manual page: {page}"


def _with_servers(platform: Platform, environment: Path) -> Iterator[str]:
    """A table from the first migration to the comparison of both tiers, by a consumer and by `icehaul offload`."""
    stream = platform.add_stream(partition_by="day")
    platform.insert(ROWS)
    variables = {**platform.endpoints.environment(), **platform.environment()}
    icehaul = Installed(environment, platform.directory, {**variables, "ICEHAUL_CONFIG": str(platform.write())})
    for command in ("config show", "migrate", "topics", f"plan {stream}"):
        icehaul.output(*command.split())
        yield command
    icehaul.output("emit", "--tick", "2024-01-02", "--stream", stream)
    with icehaul.running("run", until='"outcome": "published"'):
        yield "emit --tick, run: a batch was published"
    platform.insert(ROWS, first=ROWS, day="2024-01-02")
    icehaul.output("offload", *_arguments_of(platform, stream), "--until", "2024-01-03")
    yield "offload: another one"
    (tiers,) = json.loads(icehaul.output("verify", stream, "--output", "json"))["streams"]
    assert (tiers["equal"], tiers["hot_rows"], tiers["cold_rows"]) == (True, 2 * ROWS, 2 * ROWS), tiers
    icehaul.output("verify", "--all")
    yield f"verify, verify --all: {2 * ROWS:,} rows equal in both tiers"


def _arguments_of(platform: Platform, stream: str) -> list[str]:
    table = f"{platform.name}.trades"
    names = ["--timestamp-col", "ts", "--sequence-col", "seq", "--stream", stream]
    return ["--source-table", table, "--target-table", table, *names]


if __name__ == "__main__":
    sys.exit(main())
