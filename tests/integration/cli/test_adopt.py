"""`icehaul adopt` on tables that PyIceberg has filled, and the commands of its page, adopt-a-table.md."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.bootstrap import Application
from tests.integration.cli.conftest import Run
from tests.support.cold_tier import other_engine
from tests.support.former_tool import COLUMNS, Former
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import offload
from tests.support.platform import Platform, day

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "adopt-a-table.md"


@pytest.fixture
def former(platform: Platform) -> Iterator[Former]:
    configuration = platform.configuration()
    with other_engine(configuration.postgres.dsn.get_secret_value(), configuration.store) as catalog:
        yield Former(platform, catalog)


def go_on(platform: Platform, stream: str, *, rows: int = 60) -> None:
    """Offload what follows, and judge everything."""
    configuration = platform.configuration()
    with Application(configuration, environment={}) as application:
        application.engine = LocalEngine(configuration, application.failpoints)
        assert offload(application, stream, day("2024-01-04")) == []
        judge_adopted(application, stream, rows)


def judge_adopted(application: Application, stream: str, rows: int) -> None:
    settings = application.streams[stream]
    found = application.verifier.verify(settings)
    assert found.equal, found
    assert found.cold.rows == rows
    audit = application.auditor.audit(settings)
    assert audit.clean, [check for check in audit.checks if not check.clean]


def test_the_page_works_as_written(icehaul: Run, platform: Platform, former: Former) -> None:
    stream = former.fill("whole", list(range(40)))
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    commands = [shlex.split(line.replace("quickstart_trades", stream), comments=True)[1:] for line in lines]
    assert [command[0] for command in commands] == ["adopt", "adopt", "verify"]
    outputs = []
    for command in commands:
        ended = icehaul(*command)
        assert ended.code == 0, f"{command}: {ended.out}{ended.err}"
        outputs.append(ended.out)
    assert "watermark  2024-01-03 00:00:00" in outputs[0]
    assert "nothing was changed: give --yes to do it" in outputs[0]
    assert "the stream goes on from 2024-01-03 00:00:00" in outputs[1]
    go_on(platform, stream)
    again = icehaul("adopt", stream, "--yes")
    assert again.code == 4
    again.explained("by itself")


def test_a_last_day_that_is_there_in_part_is_gone_on_with_in_its_middle(
    icehaul: Run, platform: Platform, former: Former
) -> None:
    stream = former.fill("partial", list(range(47)))
    assert icehaul("adopt", stream, "--yes", "-o", "json").data["watermark"] == "2024-01-03T00:07:00+00:00"
    go_on(platform, stream)


def test_rows_that_differ_are_refused_where_they_are_and_missing_ones_left_on_request(
    icehaul: Run, platform: Platform, former: Former
) -> None:
    lacking = former.fill("lacking", [number for number in range(47) if number not in {3, 25}])
    shown = icehaul("adopt", lacking, "-o", "json")
    assert (shown.code, shown.data["missing"], shown.data["surplus"]) == (1, 2, 0)
    assert [one["missing"] for one in shown.data["differing"]] == [1, 1]
    refused = icehaul("adopt", lacking, "--yes")
    assert refused.code == 4
    refused.explained("2 stand in the source only, 0 in the target only", "--leave-missing")
    assert icehaul("adopt", lacking, "--yes", "--leave-missing").code == 0
    go_on(platform, lacking)
    doubled = former.fill("doubled", [*range(47), 30])
    shown = icehaul("adopt", doubled, "--leave-missing")
    assert shown.code == 1
    assert "can't be adopted" in shown.out
    icehaul("adopt", doubled, "--yes", "--leave-missing").explained("1 in the target only", "take out")


def test_a_table_of_another_shape_is_refused_with_what_differs(
    icehaul: Run, platform: Platform, former: Former
) -> None:
    unpartitioned = former.fill("unpartitioned", list(range(20)), partitioned=False)
    icehaul("adopt", unpartitioned).explained("partition spec")
    other = former.fill("other", list(range(20)))
    platform.client.command(f"ALTER TABLE {platform.name}.other ADD COLUMN extra UInt8")
    ended = icehaul("adopt", other)
    assert ended.code == 4
    ended.explained("extra")
    nothing = platform.add_stream("nothing", columns=COLUMNS)
    platform.write()
    icehaul("adopt", nothing).explained("does not exist")
