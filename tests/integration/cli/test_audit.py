"""`icehaul verify --all` on real servers: a sound stream passes, and each defect is found by the check for it."""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from html.parser import HTMLParser
from itertools import takewhile
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from pyarrow import parquet

from consumer import __version__
from consumer.domain.audit import CheckName
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from tests.integration.cli.conftest import Ended, Run
from tests.support.cold_tier import IcebergColdTier
from tests.support.local_platform import LocalPlatform, local_platform, offload
from tests.support.platform import Platform, day

ROWS = 600
PAGES = Path(__file__).resolve().parents[3] / "docs" / "how-to"


@pytest.fixture
def local(
    stack: EmbeddedStack, unique_name: str, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    """One stream whose rows of three days are offloaded, each day by a batch of its own."""
    with local_platform(stack.endpoints, unique_name, ledger_dsn, tmp_path, monkeypatch) as made:
        stream = made.add_stream()
        monkeypatch.setenv("ICEHAUL_CONFIG", str(made.write()))
        with made.consumer() as application:
            for number in range(3):
                made.insert(ROWS // 3, first=number * ROWS, day=f"2024-01-0{number + 1}")
                offload(application, stream, day(f"2024-01-0{number + 2}"))
        yield made


@pytest.fixture
def stream(local: LocalPlatform) -> str:
    return str(local.streams[0]["name"])


@pytest.fixture
def tier(local: LocalPlatform, stream: str) -> Iterator[IcebergColdTier]:
    """What others do to the stream's table."""
    with closing(local.cold_tier(stream)) as found:
        yield found


@pytest.fixture
def audit(icehaul: Run, local: LocalPlatform) -> Callable[[], Ended]:
    return lambda: icehaul("verify", "--all", "--output", "json")


def execute(local: LocalPlatform, statement: str, *values: object) -> None:
    """Edit the ledger by hand; each statement has to change something."""
    with psycopg.connect(local.dsn, autocommit=True) as connection:
        assert connection.execute(statement.encode(), values).rowcount > 0


def bad(ended: Ended) -> set[str]:
    (found,) = ended.data["streams"]
    assert ended.code == (0 if found["clean"] else 1)
    return {check["name"] for check in found["checks"] if check["outcome"] in {"failed", "unchecked"}}


def check(ended: Ended, name: CheckName) -> dict[str, Any]:
    (found,) = ended.data["streams"]
    (one,) = (check for check in found["checks"] if check["name"] == name)
    return dict(one)


# --------------------------------------------------------------------------------------------- sound


def test_a_sound_stream_is_clean(icehaul: Run, audit: Callable[[], Ended], stream: str) -> None:
    ended = audit()
    assert (ended.code, bad(ended)) == (0, set())
    assert ended.err == f"{stream}: 9 checks, clean\n"
    data = ended.data
    assert (data["clean"], data["version"]) == (True, __version__)
    assert data["counts"] == {"passed": 9, "failed": 0, "unchecked": 0, "not applicable": 0}
    assert check(ended, CheckName.TIERS)["figures"]["hot rows"] == ROWS
    assert check(ended, CheckName.TIERS)["figures"]["cold rows"] == ROWS
    assert check(ended, CheckName.RECORD)["figures"]["recorded rows"] == ROWS
    assert check(ended, CheckName.REGISTERED)["figures"]["live and published"] == 3
    # Per snapshot a manifest list; per batch a manifest and a data file.
    assert check(ended, CheckName.STORED)["figures"]["files referred to"] == 9
    assert check(ended, CheckName.ORPHANS)["figures"]["unknown"] == 0
    alone = icehaul("verify", stream, "-o", "json")
    assert (alone.code, alone.err, alone.data["equal"]) == (0, "", True)
    assert alone.data["streams"][0]["cold_rows"] == ROWS


def test_a_stream_of_which_nothing_was_read_has_nothing_to_check(icehaul: Run, local: LocalPlatform) -> None:
    name = local.add_stream("quotes")
    local.write()
    ended = icehaul("verify", "--all", name, "-o", "json")
    assert (ended.code, ended.data["counts"]["not applicable"]) == (0, 9)


@pytest.mark.thorough
def test_what_an_auditor_runs_by_hand_says_the_same(audit: Callable[[], Ended], local: LocalPlatform) -> None:
    ended = audit()
    (found,) = ended.data["streams"]
    answers: dict[str, list[tuple[Any, ...]]] = {}
    with psycopg.connect(local.dsn) as connection:
        for query in found["by_hand"]:
            if query["on"] == "Postgres":
                answers[query["check"]] = connection.execute(query["sql"].encode()).fetchall()
            elif query["on"] == "ClickHouse":
                ((rows, digest),) = local.client.query(query["sql"]).result_rows
    figures = check(ended, CheckName.RECORD)["figures"]
    assert (rows, f"{digest:016x}") == (figures["recorded rows"], figures["recorded digest"])
    assert answers["record"] == [(figures["recorded rows"], figures["recorded digest"])]
    assert answers["windows"] == answers["findings"] == []
    assert len(answers["registered"]) == len(answers["orphans"]) == 3
    assert answers["state"] == [("active", None, 0)]
    assert str(answers["evidence"][0][3]) == check(ended, CheckName.EVIDENCE)["figures"]["table's last batch"]


def test_the_page_about_audits_works_as_written(
    icehaul: Run, local: LocalPlatform, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (PAGES / "audit.md").read_text("utf-8")
    (block,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    for line in block.replace("quickstart_trades", stream).splitlines():
        ended = icehaul(*takewhile(lambda word: word != ">", shlex.split(line, comments=True)[1:]))
        assert ended.code == 0, ended.err
    assert (tmp_path / "audit.html").stat().st_size > 0
    rows = re.findall(r"^\| (\w+) \| ", page, re.MULTILINE)
    assert rows[1:] == list(CheckName)


def test_a_consumer_audits_beside_its_work_without_reading_rows(local: LocalPlatform, stream: str) -> None:
    local.sections["consumer"] = {"audit_interval": "1h"}
    tier = local.cold_tier(stream)
    with closing(tier), local.consumer() as application:
        beside = application.background_audit
        assert beside is not None
        beside.handle(tick(stream=stream, boundary=day("2024-01-04")), threading.Event())
        tier.io.delete(tier.keys("data")[0])
        audit = beside.run_once()
        body, _ = application.metrics.render()
    assert audit is not None
    assert [one.name for one in audit.checks if not one.clean] == [CheckName.STORED]
    assert len(audit.checks) == 7
    assert f'icehaul_audit_failures{{check="stored",stream="{stream}"}} 1.0' in body.decode()
    assert f'icehaul_audit_failures{{check="windows",stream="{stream}"}} 0.0' in body.decode()
    assert beside.run_once() is None


# ------------------------------------------------------------------------------------------- defects


def test_a_deleted_data_file(audit: Callable[[], Ended], tier: IcebergColdTier) -> None:
    gone = tier.keys("data")[0]
    tier.io.delete(gone)
    ended = audit()
    assert bad(ended) == {"stored", "tiers", "record"}
    assert check(ended, CheckName.STORED)["listed"] == [f"{gone}: not there"]
    assert check(ended, CheckName.TIERS)["outcome"] == "unchecked"


@pytest.mark.thorough
def test_a_deleted_manifest(audit: Callable[[], Ended], tier: IcebergColdTier) -> None:
    snapshot = tier.table().current_snapshot()
    assert snapshot is not None
    manifest = snapshot.manifests(tier.io)[0].manifest_path
    tier.io.delete(manifest)
    ended = audit()
    assert {"stored", "registered", "orphans"} <= bad(ended)
    assert check(ended, CheckName.STORED)["listed"] == [f"{manifest}: not there"]
    assert check(ended, CheckName.REGISTERED)["outcome"] == "unchecked"
    assert check(ended, CheckName.WINDOWS)["outcome"] == "passed"


def test_a_data_file_that_was_cut_short(audit: Callable[[], Ended], tier: IcebergColdTier) -> None:
    path = tier.keys("data")[0]
    tier.put(path, b"PAR1")
    ended = audit()
    assert bad(ended) == {"stored", "tiers", "record"}
    assert check(ended, CheckName.STORED)["listed"][0].startswith(f"{path}: 4 bytes on the store")


def test_a_data_file_that_was_overwritten_with_other_rows(audit: Callable[[], Ended], tier: IcebergColdTier) -> None:
    path = tier.keys("data")[0]
    with tier.io.new_input(path).open() as stored:
        rows = parquet.read_table(pa.BufferReader(stored.read()))
    place = rows.column_names.index("seq")
    sink = pa.BufferOutputStream()
    parquet.write_table(rows.set_column(place, rows.schema.field(place), rows["seq"].take([0] * len(rows))), sink)
    tier.put(path, sink.getvalue().to_pybytes())
    assert bad(audit()) == {"tiers", "record", "stored"}


@pytest.mark.thorough
def test_a_file_registered_twice(audit: Callable[[], Ended], tier: IcebergColdTier) -> None:
    path = tier.keys("data")[0]
    tier.table().add_files([path], check_duplicate_files=False)
    ended = audit()
    assert bad(ended) == {"tiers", "record", "registered"}
    assert check(ended, CheckName.REGISTERED)["listed"] == [f"{path}: registered more than once"]


def test_rows_of_another_engine(audit: Callable[[], Ended], tier: IcebergColdTier) -> None:
    path = f"{tier.target().location}/data/foreign.parquet"
    with tier.io.new_input(tier.keys("data")[0]).open() as stored:
        tier.put(path, stored.read())
    tier.table().add_files([path])
    ended = audit()
    assert bad(ended) == {"tiers", "record", "registered"}
    assert check(ended, CheckName.REGISTERED)["listed"] == [
        f"{path}: live, and no batch of this stream has recorded it"
    ]


@pytest.mark.thorough
def test_a_table_that_was_rolled_back(audit: Callable[[], Ended], tier: IcebergColdTier, stream: str) -> None:
    tier.roll_back(tier.table().snapshots()[0].snapshot_id)
    ended = audit()
    assert bad(ended) == {"tiers", "record", "registered", "evidence"}
    assert f"icehaul repair {stream}" in check(ended, CheckName.EVIDENCE)["remedy"]


@pytest.mark.thorough
def test_an_unknown_file_under_the_table(audit: Callable[[], Ended], tier: IcebergColdTier) -> None:
    path = f"{tier.target().location}/data/stray.parquet"
    tier.put(path, b"whatever")
    ended = audit()
    assert bad(ended) == {"orphans"}
    assert check(ended, CheckName.ORPHANS)["listed"] == [path]
    assert tier.io.new_input(path).exists()


def test_what_attempts_and_metadata_left_behind_is_counted_and_no_defect(
    audit: Callable[[], Ended], tier: IcebergColdTier
) -> None:
    folder = tier.keys("data")[0].rpartition("/")[0]
    tier.put(f"{folder}/0-left.parquet", b"left")
    tier.expire(1)
    ended = audit()
    assert bad(ended) == set()
    figures = check(ended, CheckName.ORPHANS)["figures"]
    assert (figures["left behind"], figures["left behind, bytes"]) == (1, 4)
    assert figures["left behind, oldest"] is not None
    # The manifest lists of the expired snapshots, which the metadata of before still refers to.
    assert (figures["held by other metadata"], figures["former metadata"]) == (2, 0)


def test_a_deleted_row_of_the_ledger_is_a_gap(audit: Callable[[], Ended], local: LocalPlatform, stream: str) -> None:
    which = (
        "stream = %s AND lower = (SELECT max(lower) FROM offload_batches WHERE stream = %s AND status = 'published')"
    )
    batch = f"batch_id IN (SELECT batch_id FROM offload_batches WHERE {which})"
    for table in ("offload_files", "offload_attempts", "offload_batches"):
        execute(local, f"DELETE FROM {table} WHERE {batch}", stream, stream)
    ended = audit()
    assert bad(ended) == {"windows", "record", "registered"}
    (gap,) = check(ended, CheckName.WINDOWS)["listed"]
    assert gap.startswith("gap from 2024-01-03")


@pytest.mark.thorough
def test_a_window_that_was_moved_in_the_ledger(audit: Callable[[], Ended], local: LocalPlatform, stream: str) -> None:
    execute(
        local,
        "UPDATE offload_batches SET lower = lower + interval '1 hour' WHERE stream = %s AND lower = '2024-01-03'",
        stream,
    )
    ended = audit()
    assert bad(ended) == {"windows"}
    assert check(ended, CheckName.WINDOWS)["listed"] == ["gap from 2024-01-03 00:00:00 to 2024-01-03 01:00:00"]


def test_a_flipped_digest(audit: Callable[[], Ended], local: LocalPlatform, stream: str) -> None:
    execute(
        local,
        "UPDATE offload_batches SET digest = reverse(digest) WHERE stream = %s AND lower = '2024-01-02'",
        stream,
    )
    ended = audit()
    assert bad(ended) == {"record", "registered"}
    (said,) = check(ended, CheckName.REGISTERED)["listed"]
    assert said.endswith("200 of the 200 rows that it published are live, with another digest")
    assert check(ended, CheckName.RECORD)["message"].endswith("with another digest")


def test_a_stream_that_can_not_be_audited_does_not_keep_another_from_it(
    icehaul: Run, local: LocalPlatform, stream: str
) -> None:
    local.client.command(f"DROP TABLE {local.streams[0]['source']}")
    second = local.add_stream("quotes")
    local.write()
    ended = icehaul("verify", "--all", "-o", "json")
    assert ended.code == 1
    one, other = ended.data["streams"]
    assert {check["outcome"] for check in one["checks"] if check["name"] in {"tiers", "record"}} == {"unchecked"}
    assert (other["name"], other["clean"]) == (second, True)


# --------------------------------------------------------------------------------------- text and page


class _Page(HTMLParser):
    """What a page loads, and whether every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.opened: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [
            value or "" for name, value in attrs if name in {"src", "href"} and not (value or "").startswith("#")
        ]
        if tag not in {"meta", "br", "link", "img"}:
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag


def test_the_report_is_one_page_that_loads_nothing_and_names_every_check(
    icehaul: Run, local: LocalPlatform, tier: IcebergColdTier, stream: str, tmp_path: Path
) -> None:
    tier.put(f"{tier.target().location}/data/<b>stray & co.parquet", b"whatever")
    page = tmp_path / "audit.html"
    ended = icehaul("verify", "--all", "--report", str(page))
    assert ended.code == 1
    assert f"report: {page}\n" in ended.err
    assert f"{stream}: orphans failed\n" in ended.err
    assert "remedy: find out who wrote them" in ended.out
    text = page.read_text("utf-8")
    parsed = _Page()
    parsed.feed(text)
    assert (parsed.loaded, parsed.opened) == ([], [])
    assert "&lt;b&gt;stray &amp; co.parquet" in text
    assert "<b>" not in text
    assert "1 failed, 8 passed" in text
    for part in (
        *CheckName,
        __version__,
        stream,
        local.endpoints.clickhouse.host,
        "prefers-color-scheme",
        "@media print",
    ):
        assert part in text
    secrets = (local.endpoints.clickhouse.password, local.endpoints.store.secret_key)
    assert not any(secret in text for secret in secrets if secret)


def test_a_page_that_can_not_be_written_is_refused_before_anything_is_audited(
    icehaul: Run, platform: Platform, tmp_path: Path
) -> None:
    ended = icehaul("verify", "--all", "--report", str(tmp_path / "nowhere" / "audit.html"))
    assert ended.code == 2
    ended.explained("--report", "No such file or directory")


def test_a_report_without_all_is_wrong_usage(icehaul: Run, tmp_path: Path) -> None:
    ended = icehaul("verify", "--report", str(tmp_path / "audit.html"))
    assert ended.code == 2
    assert "--all" in ended.err
