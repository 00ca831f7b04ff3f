"""Commands on a REST catalog, and what its page shows: use-a-rest-catalog.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from consumer.bootstrap import Application
from tests.integration.cli.conftest import Run
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import judge, offload
from tests.support.platform import Platform, day

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "use-a-rest-catalog.md").read_text("utf-8")


def block(language: str) -> str:
    return str(re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[0])


@pytest.fixture
def behind_rest(platform: Platform, stream: str, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The platform with its catalog behind REST, and its 100 rows of one day in both tiers."""
    store, rest = platform.endpoints.store, platform.endpoints.rest_catalog
    platform.sections["catalog"] = {"type": "rest", "uri": rest.uri, "warehouse": rest.warehouse}
    monkeypatch.setenv("ICEHAUL_CATALOG__CREDENTIAL", f"{store.access_key}:{store.secret_key}")
    monkeypatch.setenv("ICEHAUL_CATALOG__URI", rest.uri)
    monkeypatch.setenv("ICEHAUL_CONFIG", str(platform.write()))
    configuration = platform.configuration()
    with Application(configuration, environment={}) as application:
        application.topics.ensure()
        application.engine = LocalEngine(configuration, application.failpoints)
        assert offload(application, stream, day("2024-01-02")) == []
        judge(application, stream, rows=100)
    for name, value in platform.endpoints.environment().items():
        if name.startswith("ICEHAUL_STORE__"):
            monkeypatch.setenv(name, value)
    return platform


def test_the_commands_of_the_page_work_behind_rest(icehaul: Run, behind_rest: Platform, stream: str) -> None:
    lines = [line for one in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in one.splitlines()]
    assert [line.split()[1] for line in lines] == ["doctor", "migrate", "status", "verify"]
    said = ""
    for line in lines:
        ended = icehaul(*shlex.split(line)[1:], *(["-o", "json"] if "doctor" in line else []))
        assert ended.code == 0, f"{line}: {ended.out}{ended.err}"
        said += ended.out
    for shown in block("text").splitlines():
        assert shown.split("ok", 1)[1].strip() in said


def test_other_engines_read_what_was_published_behind_rest(behind_rest: Platform) -> None:
    code = block("python")
    for one, other in {
        "bronze.quickstart_trades": f"{behind_rest.name}.trades",
        "sequence_number": "seq",
        "s3://lake": behind_rest.endpoints.rest_catalog.warehouse,
    }.items():
        assert one in code
        code = code.replace(one, other)
    defined: dict[str, Any] = {}
    exec(code, defined)  # noqa: S102 - the documentation's own snippet
    assert sorted(defined["rows"].column("seq").to_pylist()) == list(range(10, 100))
    table = defined["table"]
    found = table.scan().to_duckdb("trades").sql("SELECT count(*), sum(seq) FROM trades").fetchall()
    assert found == [(100, sum(range(100)))]
    store = behind_rest.endpoints.store
    query = block("sql")
    for one, other in {
        "https://s3.example/FOLDER": f"{store.endpoint}/{table.location().removeprefix('s3://')}",
        "'reader', 'secret'": f"'{store.access_key}', '{store.secret_key}'",
        "NAME.metadata.json": PurePosixPath(table.metadata_location).name,
        "sequence_number": "seq",
    }.items():
        assert one in query
        query = query.replace(one, other)
    rows = behind_rest.client.query(query)
    assert len(rows.result_rows) == 90
    defined["catalog"].close()


def test_a_stream_is_renamed_moved_and_cut_behind_rest(icehaul: Run, behind_rest: Platform, stream: str) -> None:
    assert icehaul("cut", "--tag", "close").code == 0
    new, moved = f"{behind_rest.name}_new", f"{behind_rest.name}.moved"
    for command, field, value in (
        (("rename", stream, new), "name", new),
        (("move", new, "--to", moved), "target", moved),
    ):
        ended = icehaul("stream", *command, "--yes")
        assert ended.code == 0, f"{command}: {ended.out}{ended.err}"
        behind_rest.streams[0][field] = value
        behind_rest.write()
    behind_rest.insert(10, first=100, day="2024-01-02")
    configuration = behind_rest.configuration()
    with Application(configuration, environment={}) as application:
        application.engine = LocalEngine(configuration, application.failpoints)
        assert offload(application, new, day("2024-01-03")) == []
        judge(application, new, rows=110)
        base = application.catalog._bases.load(application.streams[new].target)
        assert base is not None
        assert base.metadata.properties["icehaul.stream"] == new
        assert "close" in base.metadata.refs
    assert icehaul("cut", "--untag", "close").code == 0
