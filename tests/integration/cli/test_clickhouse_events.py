"""Events that ClickHouse makes itself, through the real broker: those of the emitter, and what comes of them."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import murmur2

from consumer.adapters.kafka.codec import decode_message
from consumer.bootstrap import Application
from consumer.domain.event import Event, EventType
from consumer.embedded.stack import EmbeddedStack
from tests.integration.cli.conftest import Run
from tests.support.event_objects import apply, make_database
from tests.support.kafka_topics import read_topic
from tests.support.local_platform import LocalPlatform, judge, ledger_database, local_platform, published
from tests.support.waiting import wait_until

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "let-clickhouse-emit.md"
BY_CLICKHOUSE, BY_EMITTER = "/icehaul/clickhouse", "/icehaul/emitter"
KEYS = {
    "none": "",
    "hour": "PARTITION BY toStartOfHour(ts)",
    "day": "PARTITION BY toDate(ts)",
    "month": "PARTITION BY toYYYYMM(ts)",
    "tuple": "PARTITION BY (symbol, toYYYYMM(ts))",
    "expression": "PARTITION BY intDiv(seq, 40)",
    "hash": "PARTITION BY seq % 3",
}


class Emitting:
    """A platform whose server makes the events."""

    def __init__(self, platform: LocalPlatform, icehaul: Run) -> None:
        self.platform, self.icehaul = platform, icehaul
        self.database = f"{platform.name}_events"
        self.collection = f"{platform.name}_kafka"
        platform.sections["emitter"] = {"tick": "1d", "poll": "1s", "grace": "1s"}
        make_database(platform.client, self.database)

    def connect(self, brokers: str, timeout_ms: int = 30_000) -> None:
        """Say how the server reaches the broker; the page's own collection is one for all tests on the server."""
        self.platform.client.command(
            f"CREATE NAMED COLLECTION {self.collection} AS kafka_broker_list = '{brokers}',"
            f" kafka_group_name = 'unused', `kafka.partitioner` = 'murmur2_random',"
            f" `kafka.message_timeout_ms` = '{timeout_ms}'"
        )

    def disconnect(self) -> None:
        self.platform.client.command(f"DROP NAMED COLLECTION IF EXISTS {self.collection}")

    def statements(self, *arguments: str) -> list[str]:
        self.platform.write()
        ended = self.icehaul(
            "clickhouse-events", "--database", self.database, "--named-collection", self.collection, *arguments
        )
        assert ended.code == 0, ended.err
        return ended.out.split(";\n\n")[:-1]

    def start(self) -> None:
        apply(self.platform.client, self.statements())

    def drop(self) -> None:
        apply(self.platform.client, self.statements("--drop"))

    def events(self, source: str = BY_CLICKHOUSE) -> Sequence[Event]:
        settings = self.platform.configuration().kafka
        messages = read_topic(settings, settings.topic)
        assert all(one.partition() == murmur2(one.key() or b"", settings.partitions) for one in messages)
        return [event for event in map(decode_message, messages) if event.source == source]

    def closes(self) -> Sequence[Event]:
        return [event for event in self.events() if event.type is EventType.PARTITION_CLOSED]

    @contextmanager
    def consumer(self, log: Path) -> Iterator[None]:
        """A consumer process."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.local_consumer", str(self.platform.write())], stderr=output
            )
            try:
                yield
            finally:
                process.kill()
                process.wait(60)


@pytest.fixture
def emitting(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, icehaul: Run
) -> Iterator[Emitting]:
    with (
        ledger_database(stack.endpoints, f"t_{uuid.uuid4().hex[:12]}") as dsn,
        local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch) as platform,
    ):
        monkeypatch.setenv("ICEHAUL_CONFIG", str(platform.write()))
        with Application(platform.configuration(), environment={}) as application:
            application.topics.ensure()
        made = Emitting(platform, icehaul)
        yield made
        made.drop()
        platform.client.command(f"DROP DATABASE {made.database}")
        made.disconnect()


def facts(events: Sequence[Event]) -> set[tuple[object, ...]]:
    """Everything that the event says but who says it; a partition may close once more when a merge is late."""
    return {
        (one.id, one.type, one.stream, one.cutoff, one.partition_id, one.content_id, one.content, one.table)
        for one in events
    }


@pytest.mark.thorough
def test_for_every_partition_key_the_events_are_those_of_the_emitter(emitting: Emitting) -> None:
    platform = emitting.platform
    for name, key in KEYS.items():
        platform.add_stream(name)
        platform.client.command(f"DROP TABLE {platform.name}.{name} SYNC")
        platform.client.command(
            f"CREATE TABLE {platform.name}.{name} (ts DateTime64(3, 'UTC'), seq UInt64, symbol String)"
            f" ENGINE = MergeTree {key} ORDER BY ts"
        )
        platform.client.command(
            f"INSERT INTO {platform.name}.{name} SELECT toDateTime64('1969-12-30 23:00:00', 3, 'UTC')"
            " + toIntervalHour(number * 8), number, ['BTC', 'ETH'][number % 2 + 1] FROM numbers(100)"
        )
    emitting.connect(platform.endpoints.kafka.bootstrap_servers)
    emitting.start()

    def emitted() -> set[tuple[object, ...]]:
        assert emitting.icehaul("emit", "--once").code == 0
        return facts(emitting.events(BY_EMITTER))

    wait_until(lambda: emitted() == facts(emitting.events()), seconds=120, what="the same events from both")
    # Sent again on purpose, in case the broker had not taken them; the second refresh may come after the first events.
    wait_until(
        lambda: len(emitting.closes()) > len(facts(emitting.closes())), seconds=60, what="closes that are sent again"
    )
    closed = {event.stream.removeprefix(f"{platform.name}_") for event in emitting.closes()}
    assert closed == {"hour", "day", "month", "tuple", "expression"}
    ((due,),) = platform.client.query(
        f"SELECT toUnixTimestamp(next_refresh_time) % 86400 FROM system.view_refreshes"
        f" WHERE database = '{emitting.database}' AND view = 'ticks'"
    ).result_rows
    assert due == 0


def test_a_consumer_publishes_what_clickhouse_announces_and_both_emitters_make_one_batch(
    emitting: Emitting, tmp_path: Path
) -> None:
    platform = emitting.platform
    stream = platform.add_stream(settle_lag="1s")
    platform.insert(1_000)
    platform.sections["emitter"]["tick"] = "0"
    emitting.connect(platform.endpoints.kafka.bootstrap_servers)
    emitting.start()
    with platform.consumer() as application, emitting.consumer(tmp_path / "consumer.log"):

        def rows() -> int:
            return sum(batch.rows for batch in published(application, stream))

        wait_until(lambda: rows() == 1_000, seconds=60, what="the day's snapshot")
        assert emitting.icehaul("emit", "--once").code == 0
        platform.insert(5, first=1_000)
        wait_until(lambda: rows() == 1_005, seconds=60, what="the late rows' snapshot")

        # The first close is sent twice; the second time it may meet the late rows before their own close is sent.
        def contents() -> set[object]:
            return {event.content_id for event in emitting.closes()}

        wait_until(lambda: len(contents()) == 2, seconds=60, what="the close with the late rows")
        assert len(published(application, stream)) == 2
        judge(application, stream, rows=1_005)


@pytest.mark.thorough
def test_a_close_that_the_broker_never_took_is_sent_again(emitting: Emitting, closed_port: int) -> None:
    platform = emitting.platform
    platform.add_stream()
    platform.insert(10)
    emitting.connect(f"127.0.0.1:{closed_port}", timeout_ms=500)
    emitting.start()
    done = (
        "SELECT count() FROM system.view_refreshes WHERE exception = '' AND last_success_time IS NOT NULL"
        f" AND database = '{emitting.database}' AND view IN ('ticks', 'send_closes')"
    )
    wait_until(lambda: platform.client.query(done).result_rows == [(2,)], seconds=60, what="refreshes that count")
    found = f"SELECT count() FROM {emitting.database}.closes"
    wait_until(lambda: platform.client.query(found).result_rows == [(1,)], seconds=60, what="the close")
    apply(platform.client, [one for one in emitting.statements() if one.startswith("DROP")])
    emitting.disconnect()
    assert emitting.events() == []
    emitting.connect(platform.endpoints.kafka.bootstrap_servers)
    emitting.start()
    wait_until(emitting.closes, seconds=120, what="the close once more")
    assert platform.client.query(found).result_rows == [(1,)]


def test_the_doctor_names_the_view_that_fails_and_nothing_where_there_is_none(emitting: Emitting) -> None:
    platform = emitting.platform
    platform.add_stream()
    platform.write()

    def said() -> list[dict[str, str]]:
        findings = emitting.icehaul("doctor", "--output", "json").data["findings"]
        return [one for one in findings if one["check"] == "clickhouse events" and platform.name in one["message"]]

    assert said() == []
    emitting.connect(platform.endpoints.kafka.bootstrap_servers)
    emitting.start()
    platform.client.command(f"DROP TABLE {platform.name}.trades SYNC")
    wait_until(said, seconds=120, what="the doctor's warning")
    assert "find_closes_of_" in said()[0]["message"]
    assert said()[0]["severity"] == "warning"


# ------------------------------------------------------------------------------------------------------ the page


def test_the_pages_commands_print_what_the_server_understands(emitting: Emitting) -> None:
    """Without running it on the server: the names on the page are for one installation, and tests share a server."""
    platform = emitting.platform
    platform.add_stream()
    platform.write()
    shells = re.findall(r"```bash\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    commands = [line.split(" > ")[0] for shell in shells for line in shell.splitlines() if line.startswith("icehaul ")]
    assert len(commands) == 3
    for command in commands:
        ended = emitting.icehaul(*command.split()[1:])
        assert ended.code == 0, ended.err
        for statement in ended.out.split(";\n\n")[:-1]:
            platform.client.command(f"EXPLAIN AST {statement}")
    (sql,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    platform.client.command(sql.replace("events_of_icehaul", emitting.collection))


def test_secrets_are_not_printed_but_asked_to_be_made_by_hand(
    emitting: Emitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    emitting.platform.add_stream()
    emitting.platform.write()
    monkeypatch.setenv("ICEHAUL_KAFKA__SECRET_OPTIONS", '{"sasl.password": "hidden"}')
    ended = emitting.icehaul("clickhouse-events")
    assert ended.code == 2
    ended.explained("sasl.password", "--named-collection")
    assert "hidden" not in ended.out + ended.err
    assert emitting.icehaul("clickhouse-events", "--named-collection", "by_hand").code == 0


def test_what_is_no_name_is_refused(emitting: Emitting) -> None:
    for option in ("--database", "--named-collection"):
        ended = emitting.icehaul("clickhouse-events", option, "x`; DROP DATABASE y")
        assert ended.code == 2
        ended.explained(option)
