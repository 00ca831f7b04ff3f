"""The pages schedule.md, run-several-consumers.md and use-the-console.md, with two streams and two consumers."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from urllib.error import HTTPError

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.support.platform import Platform
from tests.support.processes import Running, icehaul, output_of
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.spark, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-for-the-console"
STREAMS = {"quickstart_trades": "trades", "quickstart_orders": "orders"}


def commands(page: str) -> list[list[str]]:
    text = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.fixture
def platform(
    own_stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    # A stack of its own: the pages name streams that other pages name, too, and a ledger knows each name once.
    made = Platform(own_stack.endpoints, unique_name, tmp_path)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    for stream, table in STREAMS.items():
        made.add_stream(table, name=stream)
        made.insert(50, table=table)
    made.sections["consumer"] = {"http_port": 0}
    monkeypatch.setenv("ICEHAUL_CONFIG", str(made.write()))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "160")
    output_of(["migrate"])
    output_of(["topics"])
    yield made
    made.close()


def told(*consumers: Running) -> set[str]:
    """The streams of which consumers have logged a published batch: a command for each look would take seconds."""
    lines = [line for one in consumers for line in one.text().splitlines() if '"batch.ended"' in line]
    # The last line may be there in part only.
    ended = [json.loads(line) for line in lines if line.endswith("}")]
    return {str(one["stream"]) for one in ended if one["outcome"] == "published"}


def published() -> set[str]:
    streams = json.loads(output_of(["status", "-o", "json"]))["streams"]
    return {one["name"] for one in streams if any(batch["status"] == "published" for batch in one["batches"])}


def get(consumer: Running, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{consumer.http_port()}{path}", timeout=20) as reply:
        assert reply.status == 200
        return str(reply.read().decode())


def ready(consumer: Running) -> bool:
    try:
        return bool(get(consumer, "/readyz"))
    except HTTPError as error:
        error.close()
        return False


def console_commands(consumer: Running) -> list[dict[str, object]]:
    """What the requests that the console's page shows are answered, in their order."""
    answers = []
    for words in commands("use-the-console.md"):
        address = words[-1]
        if not address.startswith("http"):
            continue
        given = {words[at]: words[at + 1] for at in range(len(words) - 1) if words[at].startswith("-")}
        headers = dict(words[at + 1].split(": ", 1) for at in range(len(words)) if words[at] == "-H")
        headers = {name: TOKEN if value.startswith("$") else value for name, value in headers.items()}
        data = given["-d"].encode() if "-d" in given else None
        connection = http.client.HTTPConnection("127.0.0.1", consumer.http_port(), timeout=20)
        connection.request(given.get("-X", "GET"), address.removeprefix("http://127.0.0.1:8080"), data, headers)
        reply = connection.getresponse()
        body = reply.read()
        assert reply.status == 200, body
        answers.append(json.loads(body))
        connection.close()
    return answers


def the_console_works(consumer: Running) -> None:
    assert "<title>icehaul</title>" in get(consumer, "/")
    streams, stream, batches, paused, resumed = console_commands(consumer)
    assert [one["name"] for one in cast("list[dict[str, object]]", streams["streams"])] == sorted(STREAMS)
    assert cast("dict[str, object]", stream["stream"])["state"] == "active"
    (batch, *_) = cast("list[dict[str, object]]", batches["batches"])
    assert batch["status"] in {"published", "empty"}
    assert (paused["paused"], paused["state"], resumed["state"]) == (True, "halted", "active")
    assert str(paused["reason"]).endswith("the disk is moved")
    assert TOKEN not in consumer.text()


def test_the_pages_work_as_written(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEHAUL_CONSUMER__CONSOLE_TOKEN", TOKEN)
    (start,) = commands("run-several-consumers.md")
    send, follow, look = commands("schedule.md")
    assert (send, look) == (["emit", "--once"], ["plan", "quickstart_trades"])

    assert "50" in output_of(look)
    assert "sent" in output_of(send)
    with (
        icehaul(*start, log=tmp_path / "one.log", environment={}) as one,
        icehaul(*start, log=tmp_path / "two.log", environment={}) as two,
    ):
        for consumer in (one, two):
            assert consumer.wait_for(r"consumer\.assigned")
            assert "icehaul" in get(consumer, "/metrics")
            get(consumer, "/livez")
            wait_until(lambda consumer=consumer: ready(consumer), what="ready")  # type: ignore[misc]
        wait_until(lambda: told(one, two) == STREAMS.keys(), seconds=120, what="a batch of each stream")
        assert published() == STREAMS.keys()
        the_console_works(one)
        assert output_of(follow).count("no new rows; watermark") == len(STREAMS)
        assert (one.terminate(), two.terminate()) == (0, 0)

    assert output_of(["verify"]).count("equal") == len(STREAMS)
