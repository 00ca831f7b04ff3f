"""`icehaul stream` as an operator meets it, and the commands of its page, rename-move-remove.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from consumer.bootstrap import Application
from tests.integration.cli.conftest import Run
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import judge, offload
from tests.support.platform import Platform, day

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "rename-move-remove.md"
PUT = {"rename": ("name", "{name}_new"), "move": ("target", "{name}.moved")}


def go_on(platform: Platform, stream: str, to: str, *, rows: int) -> None:
    configuration = platform.configuration()
    with Application(configuration, environment={}) as application:
        application.engine = LocalEngine(configuration, application.failpoints)
        assert offload(application, stream, day(to)) == []
        judge(application, stream, rows=rows)


@pytest.fixture
def offloaded(platform: Platform, stream: str) -> str:
    """The stream, with its 100 rows of one day in both tiers."""
    go_on(platform, stream, "2024-01-02", rows=100)
    return stream


def test_the_page_works_as_written(icehaul: Run, platform: Platform, offloaded: str) -> None:
    renamed, moved = f"{platform.name}_new", f"{platform.name}.moved"
    text = PAGE.read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines() if line]
    commands = [shlex.split(line)[1:] for line in lines]
    names = {"quickstart_trades": offloaded, "trades": renamed, "archive.trades": moved}
    assert [" ".join(command[:2]) for command in commands] == [
        "doctor",
        *(f"stream {what}" for what in ("rename", "rename", "move", "move", "remove", "remove", "list")),
    ]
    rows = 100
    for command in commands[1:]:
        ended = icehaul(*(names.get(word, word) for word in command))
        assert ended.code == 0, f"{command}: {ended.out}{ended.err}"
        if "--yes" in command and command[1] in PUT:
            field, value = PUT[command[1]]
            platform.streams[0][field] = value.format(name=platform.name)
            platform.insert(10, first=rows, day=f"2024-01-0{2 + rows % 9}")
            rows += 10
            go_on(platform, renamed, "2024-01-09", rows=rows)
    assert f"{renamed}__removed_" in ended.out
    with Application(platform.configuration(), environment={}) as application:
        assert application.catalog.inspect(application.streams[renamed].target) is not None
        (left,) = [one for one in application.register.known() if one.name.startswith(renamed)]
        assert application.register.counts(left.name)["batches"] >= 3
    # Another stream of this name does not take the table for its own.
    configuration = platform.configuration()
    with Application(configuration, environment={}) as application:
        application.engine = LocalEngine(configuration, application.failpoints)
        offload(application, renamed, day("2024-01-09"))
        record = application.ledger.read([renamed])[renamed]
        assert "the ledger has recorded nothing" in str(record.halt_reason)


def test_what_would_be_changed_is_shown_and_nothing_is_changed(
    icehaul: Run, platform: Platform, offloaded: str
) -> None:
    platform.add_stream("bars", upstreams=[offloaded])
    platform.write()
    shown = icehaul("stream", "rename", offloaded, "other", "-o", "json")
    assert (shown.code, shown.data["dry_run"], shown.data["ledger_rows"]["batches"]) == (0, True, 1)
    assert any(f"upstreams of {platform.name}_bars: {offloaded} → other" in one for one in shown.data["follow"])
    assert "nothing was changed: give --yes" in icehaul("stream", "move", offloaded, "--to", "a.b").out
    refused = icehaul("stream", "remove", offloaded)
    assert refused.code == 2
    refused.explained(f"{platform.name}_bars would wait for {offloaded} for ever")
    (listed,) = [one for one in icehaul("stream", "list", "-o", "json").data["streams"] if one["name"] == offloaded]
    assert (listed["configured"], listed["removed"], listed["watermark"]) == (True, None, "2024-01-02T00:00:00+00:00")


def test_streams_that_are_not_configured_are_named(icehaul: Run, platform: Platform, offloaded: str) -> None:
    platform.streams.clear()
    platform.add_stream("bars")
    platform.write()
    listed = icehaul("stream", "list").out
    assert re.search(rf"{offloaded}\s.*no", listed)
    assert offloaded in icehaul("doctor", "-o", "json").out
    assert icehaul("stream", "remove", offloaded, "--purge", "--yes").code == 0
    assert offloaded not in icehaul("stream", "list").out


def test_names_and_tables_that_make_no_sense_are_refused(icehaul: Run, platform: Platform, offloaded: str) -> None:
    for arguments, part in (
        (("rename", "nobody", "x"), "the ledger has no stream 'nobody'"),
        (("rename", offloaded, "a-b"), "NEW: 'a-b' is not an allowed name"),
        (("rename", offloaded, offloaded), "already"),
        (("move", offloaded, "--to", "table"), "--to:"),
        (("move", offloaded, "--to", f"{platform.name}.trades"), "already, which the stream"),
        (("remove", "nobody"), "the ledger has no stream 'nobody'"),
    ):
        ended = icehaul("stream", *arguments)
        assert ended.code == 2, arguments
        ended.explained(part)
