"""`icehaul failpoints` lists every point with what may happen there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from typer.testing import CliRunner

from consumer.entrypoints.cli.main import app
from consumer.failpoints.acting import Failpoints, Mode
from consumer.failpoints.effects import POINTS


def test_the_table_names_every_point_and_every_mode() -> None:
    done = CliRunner().invoke(app, ["failpoints"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    words = set(re.findall(r"[a-z.-]+", done.stdout))
    assert words >= {*POINTS, *Mode}


def test_what_the_json_lists_can_be_armed_and_what_it_refuses_can_not() -> None:
    done = CliRunner().invoke(app, ["failpoints", "--output", "json"])
    found = json.loads(done.stdout)
    assert [one["point"] for one in found["points"]] == list(POINTS)
    for one in found["points"]:
        assert set(one["modes"]) | one["refused"].keys() == set(Mode)
        assert not set(one["modes"]) & one["refused"].keys()
        for mode in one["modes"]:
            Failpoints(f"{one['point']}={mode}{'(1)' if mode == 'delay' else ''}")


def test_the_page_of_the_matrix_shows_commands_and_failpoints_that_work() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "reference" / "crash-matrix.md"
    text = page.read_text(encoding="utf-8")
    (block,) = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    assert CliRunner().invoke(app, block.split()[1:]).exit_code == 0
    shown = re.findall(r"`([a-z.-]+=[a-z-]+(?:@\d+)?)`", text)
    assert shown
    Failpoints(",".join(shown))
