"""The page recover-from-a-disaster.md, followed as written on real servers: no row is lost or doubled."""

from __future__ import annotations

import re
import shlex
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import structlog
from confluent_kafka.admin import AdminClient

from consumer.bootstrap import Application
from consumer.ports import StreamState
from tests.integration.cli.conftest import Ended, Run
from tests.support.cases import few
from tests.support.consuming import committed_offsets, consuming
from tests.support.disasters import StoreFolder, lose_database
from tests.support.local_platform import LocalPlatform, offload
from tests.support.platform import day
from tests.support.waiting import wait_until

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "recover-from-a-disaster.md"
ROWS = 40
NEXT = day("2024-01-08")
PATIENCE_S = 90.0


def played(section: str, stream: str) -> list[list[str]]:
    """The commands of a section of the page, in order, for the test's own stream."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [shlex.split(line.replace("quickstart_trades", stream), comments=True)[1:] for line in lines]


@pytest.fixture
def stream(local: LocalPlatform, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stream with two days in both tiers, the first of them with late rows, and history below its start."""
    name = local.add_stream(start="2024-01-01")
    monkeypatch.setenv("ICEHAUL_CONFIG", str(local.write()))
    for number in (1, 2):
        arrive(local, number)
    local.insert(3, first=9_000, day="2024-01-01")
    with local.consumer() as application:
        application.topics.ensure()
        assert offload(application, name, day("2024-01-03")) == []
    return name


def arrive(local: LocalPlatform, number: int) -> None:
    """Let the rows of a day arrive, and offload all that came."""
    local.insert(ROWS, first=number * ROWS, day=f"2024-01-0{number}")
    with local.consumer() as application:
        for name in application.streams:
            assert offload(application, name, day(f"2024-01-0{number + 1}")) == []


def go_on(local: LocalPlatform, stream: str, rows: int) -> None:
    """Let the next event come, with further rows, late ones too; then both tiers hold the same, each row once."""
    local.insert(2, first=9_100, day="2024-01-02")
    local.insert(ROWS, first=7 * ROWS, day="2024-01-07")
    with local.consumer() as application:
        assert offload(application, stream, NEXT) == []
        judge(application, stream, rows=rows + ROWS + 2)


def judge(application: Application, stream: str, *, rows: int) -> None:
    """No row is lost or doubled, and ledger, table and store tell one story."""
    settings = application.streams[stream]
    record = application.ledger.read([stream])[stream]
    assert record.state is StreamState.ACTIVE, f"{record.halt_reason}: {record.halt_remedy}"
    found = application.verifier.verify(settings)
    assert found.equal, found
    assert found.cold.rows == rows
    audit = application.auditor.audit(settings)
    assert audit.clean, [check for check in audit.checks if not check.clean]


def folder(local: LocalPlatform) -> StoreFolder:
    return StoreFolder(local.configuration().store)


def run_all(icehaul: Run, commands: list[list[str]], codes: list[int]) -> list[Ended]:
    """Give the commands, which have to end with these codes."""
    ended = []
    for command, code in zip(commands, codes, strict=True):
        one = icehaul(*command)
        assert one.code == code, f"{command}: {one.out}{one.err}"
        ended.append(one)
    return ended


def test_postgres_is_lost(icehaul: Run, local: LocalPlatform, stream: str) -> None:
    with local.consumer() as application:
        before = application.ledger.read([stream])[stream]
    lose_database(local.endpoints, local.dsn)
    commands = played("Postgres is lost", stream)
    assert [one[0] for one in commands] == ["migrate", "recover", "recover", "emit", "verify"]
    (migrated,) = run_all(icehaul, commands[:1], [0])
    assert "ledger" in migrated.out
    # A consumer that is started too early makes no new table over the old one.
    with local.consumer() as application:
        offload(application, stream, NEXT)
        halted = application.ledger.read([stream])[stream]
        assert (halted.state, halted.last_upper) == (StreamState.HALTED, None)
        assert f"icehaul recover {stream}" in str(halted.halt_remedy)
    looked, done = run_all(icehaul, commands[1:3], [1, 0])
    assert "nothing was changed: give --yes to do it" in looked.out
    assert "the ledger would follow the table" in looked.out
    assert f"repaired: {stream} is active" in done.out
    with local.consumer() as application:
        after = application.ledger.read([stream])[stream]
    assert (after.watermark, after.last_upper, after.target_uuid) == (
        before.last_upper,
        before.last_upper,
        before.target_uuid,
    )
    assert after.generation > before.generation
    assert after.epoch > before.epoch
    go_on(local, stream, 2 * ROWS + 3)
    run_all(icehaul, [*commands[3:], ["recover", stream]], [0, 0, 0])


@pytest.mark.thorough
def test_rows_that_the_cold_tier_alone_has_and_history_outlive_the_ledger(
    icehaul: Run, local: LocalPlatform, stream: str
) -> None:
    local.insert(ROWS, first=8_000, day="2023-12-30")
    with local.consumer() as application:
        assert icehaul("backfill", stream, "--from", "2023-12-30", "--to", "2023-12-31").code == 0
        offload(application, stream, day("2024-01-04"))
    local.client.command(f"ALTER TABLE {local.name}.trades DROP PARTITION '2024-01-01'")
    lose_database(local.endpoints, local.dsn)
    run_all(icehaul, [["migrate"], ["recover", stream, "--yes"]], [0, 0])
    with local.consumer() as application:
        assert offload(application, stream, NEXT) == []
        settings = application.streams[stream]
        target = application.catalog.inspect(settings.target)
        assert target is not None
        assert target.rows == 3 * ROWS + 3
        assert not application.repairs.review(settings).needed


def test_the_catalog_is_lost(icehaul: Run, local: LocalPlatform, stream: str) -> None:
    with psycopg.connect(local.dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM iceberg_tables")
    with local.consumer() as application:
        offload(application, stream, NEXT)
        assert application.ledger.read([stream])[stream].state is StreamState.HALTED
    commands = played("The catalog is lost", stream)
    assert [one[0] for one in commands] == ["recover", "recover", "repair", "resume", "verify"]
    _, _, repaired, *_ = run_all(icehaul, commands, [1, 0, 0, 0, 0])
    assert "tell the same story" in repaired.out
    go_on(local, stream, 2 * ROWS + 3)


def test_the_store_was_restored_to_an_earlier_day(icehaul: Run, local: LocalPlatform, stream: str) -> None:
    store = folder(local)
    earlier = store.copy()
    for number in (3, 4):
        arrive(local, number)
    store.put_back(earlier)
    with local.consumer() as application:
        offload(application, stream, NEXT)
        halted = application.ledger.read([stream])[stream]
        assert halted.state is StreamState.HALTED
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert str(halted.halt_remedy) in page
    assert "which the store does not hold" in str(halted.halt_reason)
    commands = played("The object store was restored to an earlier day", stream)
    assert [one[0] for one in commands] == ["recover", "recover", "repair", "repair", "emit", "verify"]
    looked, pointed, repair, repaired = run_all(icehaul, commands[:4], [1, 0, 1, 0])
    assert "which the store does not hold" in looked.out
    assert f"icehaul repair {stream}" in pointed.out
    assert repair.out.count("withdrawn: not in the table") == 2
    assert f"{2 * ROWS} rows of the source are written again" in repaired.out
    go_on(local, stream, 4 * ROWS + 3)
    run_all(icehaul, commands[4:], [0, 0])


@pytest.mark.thorough
def test_metadata_without_its_data_is_in_doubt_until_somebody_chooses(
    icehaul: Run, local: LocalPlatform, stream: str
) -> None:
    store = folder(local)
    earlier = store.copy()
    arrive(local, 3)
    for path in store.paths(".parquet"):
        if path not in earlier:
            store.remove(path)
    doubted = icehaul("recover", stream, "--yes", "--output", "json")
    assert doubted.code == 1
    (found,) = doubted.data
    assert "needs 1 file that the store does not hold" in found["doubt"]
    assert [len(one["missing"]) for one in found["candidates"]][:2] == [1, 0]
    refused = icehaul("recover", stream, "--metadata", found["candidates"][0]["location"], "--yes")
    assert refused.code == 4
    refused.explained("that the store does not hold")
    whole = found["candidates"][1]["location"]
    run_all(icehaul, [["recover", stream, "--metadata", whole, "--yes"], ["repair", stream, "--yes"]], [0, 0])
    go_on(local, stream, 3 * ROWS + 3)


@pytest.mark.thorough
def test_two_files_of_one_version_are_both_shown_and_none_is_taken(
    icehaul: Run, local: LocalPlatform, stream: str
) -> None:
    store = folder(local)
    newest = store.paths(".metadata.json")[-1]
    twin = f"{newest.rsplit('-', 1)[0]}-ffffffffffff.metadata.json"
    store.write(twin, store.read(newest))
    lose_database(local.endpoints, local.dsn)
    _, doubted = run_all(icehaul, [["migrate"], ["recover", stream, "--yes"]], [0, 1])
    assert "2 metadata files have the version" in doubted.out
    for one in (newest, twin):
        assert one.rsplit("/", 1)[-1] in doubted.out
    with local.consumer() as application:
        assert application.catalog.inspect(application.streams[stream].target) is None
    run_all(icehaul, [["recover", stream, "--metadata", f"s3://{newest}", "--yes"]], [0])
    go_on(local, stream, 2 * ROWS + 3)


@pytest.mark.parametrize(
    "point", few(["table.before-register=raise", "table.after-register=raise"], {"table.after-register=raise"})
)
def test_a_recovery_that_breaks_off_is_whole_after_the_next(
    icehaul: Run, local: LocalPlatform, stream: str, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    lose_database(local.endpoints, local.dsn)
    run_all(icehaul, [["migrate"]], [0])
    with monkeypatch.context() as patch:
        patch.setenv("ICEHAUL_FAILPOINTS", point)
        assert icehaul("recover", stream, "--yes").code == 3
    again = icehaul("recover", stream, "--yes")
    assert again.code == 0
    if "after" in point:
        assert "there is nothing to recover" in again.out
        run_all(icehaul, [["repair", stream, "--yes"]], [0])
    go_on(local, stream, 2 * ROWS + 3)


def test_a_table_of_another_stream_or_another_uuid_is_refused(icehaul: Run, local: LocalPlatform, stream: str) -> None:
    other = local.add_stream("quotes")
    local.write()
    local.insert(5, table="quotes")
    with local.consumer() as application, closing(local.cold_tier(stream)) as tier:
        offload(application, other, day("2024-01-02"))
        theirs = f"s3://{folder(local).paths('/quotes/metadata/00001-')[0]}"
        refused = icehaul("recover", stream, "--metadata", theirs, "--yes")
        assert refused.code == 4
        refused.explained(f"belongs to the stream '{other}'")
        tier.execute(f"UPDATE offload_watermarks SET target_uuid = gen_random_uuid() WHERE stream = '{stream}'")
        tier.execute("DELETE FROM iceberg_tables")
    refused = icehaul("recover", stream, "--yes")
    assert refused.code == 4
    refused.explained("the ledger has recorded rows in the table")


def test_kafka_is_lost(icehaul: Run, local: LocalPlatform, stream: str) -> None:
    kafka = local.configuration().kafka
    commands = played("Kafka is lost", stream)
    assert [one[0] for one in commands] == ["topics", "emit", "verify"]
    with local.consumer() as application:
        run_all(icehaul, commands[1:2], [0])
        with consuming(application):
            wait_until(lambda: committed_offsets(kafka) == {0: 1}, seconds=PATIENCE_S, what="the tick")
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
        topics = [kafka.topic, kafka.dead_letter_topic]
        for future in admin.delete_topics(topics).values():
            future.result(20)
        wait_until(lambda: not {*topics} & {*admin.list_topics(timeout=60).topics}, seconds=PATIENCE_S)
        # What an event asked for that is gone with the topic, and what came late meanwhile.
        local.insert(ROWS, first=3 * ROWS, day="2024-01-03")
        run_all(icehaul, commands[:2], [0, 0])
        with structlog.testing.capture_logs() as said, consuming(application):
            wait_until(
                lambda: (
                    application.ledger.read([stream])[stream].state is StreamState.ACTIVE
                    and application.verifier.verify(application.streams[stream]).cold.rows == 3 * ROWS + 3
                ),
                seconds=PATIENCE_S,
                what="the rows of the lost event",
            )
        # Which one of the two depends on whether the broker has forgotten the group's offsets with the topic already.
        (kind,) = [line["kind"] for line in said if line["event"] == "consumer.offset_incident"]
        assert kind in {"topic_recreated", "offsets_lost"}
        judge(application, stream, rows=3 * ROWS + 3)
    run_all(icehaul, commands[2:], [0])


CONFIGURED = """
streams:
  - {name: one, source: a.one, target: b.one, timestamp_column: ts}
  - {name: two, source: a.two, target: b.two, timestamp_column: ts}
"""


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--all"),
        (["one", "--all"], "--all"),
        (["--all", "--metadata", "s3://bucket/file"], "--metadata"),
        (["nobody"], "no stream 'nobody'"),
    ],
)
def test_what_is_not_said_clearly_is_refused(
    icehaul: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], named: str
) -> None:
    configuration = tmp_path / "icehaul.yaml"
    configuration.write_text(CONFIGURED, encoding="utf-8")
    monkeypatch.setenv("ICEHAUL_CONFIG", str(configuration))
    ended = icehaul("recover", *arguments)
    assert (ended.code, ended.out) == (2, "")
    ended.explained(named)
