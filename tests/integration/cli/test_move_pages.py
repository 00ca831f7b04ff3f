"""The pages for those who come from other ways into Iceberg, with their commands and SQL as they stand there.

move-from-clickhouse-backups.md, move-from-antalya-exports.md and move-from-kafka-connect.md.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consumer.bootstrap import Application
from tests.integration.cli.conftest import Ended, Run
from tests.support.cold_tier import other_engine
from tests.support.former_tool import COLUMNS, Former
from tests.support.histories import relayed
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import deliver, offload
from tests.support.platform import Platform, day

pytestmark = pytest.mark.thorough

PAGES = Path(__file__).resolve().parents[3] / "docs" / "how-to"
TABLE = "moved"
LOOKED = ["doctor", "plan"]
BACKFILLED = ["backfill", "backfill", "backfill"]
ROOM = ["verify", "drop-hot", "drop-hot", "verify"]


@dataclass
class Reader:
    """Somebody who does what a page says, with a table, a store and consumers of their own."""

    icehaul: Run
    platform: Platform
    stream: str
    outputs: dict[str, list[Ended]] = field(default_factory=dict)

    def follow(self, page: str) -> list[str]:
        """Do everything that a page shows, and return the commands; consumers do what they are asked for meanwhile."""
        done = []
        text = (PAGES / page).read_text("utf-8")
        for kind, block in re.findall(r"```(bash|sql)\n(.*?)```", text, re.DOTALL):
            if kind == "sql":
                self.platform.client.command(self._own(block))
                done.append(block.split()[0])
                continue
            for line in block.splitlines():
                words = shlex.split(self._own(line), comments=True)[1:]
                ended = self.icehaul(*words)
                assert ended.code == 0, f"{words}: {ended.out}{ended.err}"
                self.outputs.setdefault(words[0], []).append(ended)
                done.append(words[0])
                if words[0] == "backfill":
                    self._work()
        return done

    def _own(self, text: str) -> str:
        store, name = self.platform.endpoints.store, self.platform.name
        own = {
            "https://s3.example/backups": f"{store.endpoint}/{store.bucket}/tests/{name}/backups",
            "https://s3.example/lake": f"{store.endpoint}/{store.bucket}/tests/{name}",
            "'KEY', 'SECRET'": f"'{store.access_key}', '{store.secret_key}'",
            "quickstart.trades": f"{name}.{TABLE}",
            "quickstart_trades": self.stream,
            "exchange_timestamp": "ts",
        }
        for there, here in own.items():
            text = text.replace(there, here)
        return text

    def _work(self) -> None:
        with consumer(self.platform) as application:
            while events := [one for one in relayed(application) if one.stream == self.stream]:
                for event in events:
                    deliver(application, event)


def consumer(platform: Platform) -> Application:
    configuration = platform.configuration()
    application = Application(configuration, environment={})
    application.engine = LocalEngine(configuration, application.failpoints)
    return application


@pytest.fixture
def former(platform: Platform) -> Iterator[Former]:
    configuration = platform.configuration()
    with other_engine(configuration.postgres.dsn.get_secret_value(), configuration.store) as catalog:
        yield Former(platform, catalog)


@pytest.fixture
def reader(icehaul: Run, platform: Platform) -> Reader:
    """A stream that starts on its third day, whose source has 20 rows on each of three."""
    stream = platform.add_stream(TABLE, columns=COLUMNS, start="2024-01-03")
    platform.client.command(
        f"INSERT INTO {platform.name}.{TABLE} SELECT toDateTime64('2024-01-01', 6, 'UTC')"
        " + toIntervalDay(intDiv(number, 20)) + toIntervalMinute(number % 20), number, 'note' FROM numbers(60)"
    )
    platform.write()
    assert icehaul("topics").code == 0
    return Reader(icehaul, platform, stream)


def archived(reader: Reader, *statements: str) -> None:
    """Put the table into an archive, drop its first two days, and offload the third."""
    platform = reader.platform
    for statement in statements:
        platform.client.command(reader._own(statement))
    for partition in ("20240101", "20240102"):
        platform.client.command(f"ALTER TABLE {platform.name}.{TABLE} DROP PARTITION ID '{partition}'")
    with consumer(platform) as application:
        assert offload(application, reader.stream, day("2024-01-04")) == []


def everything_is_in_the_cold_tier(reader: Reader) -> None:
    assert reader.platform.rows(TABLE) == 20, "two days have left the hot tier again"
    ended = reader.icehaul("verify", reader.stream, "--output", "json")
    (tiers,) = ended.data["streams"]
    assert (tiers["equal"], tiers["cold_rows"], tiers["dropped_rows"]) == (True, 60, 40)
    dry_run, asked, listed = (one.out for one in reader.outputs["backfill"])
    assert "40" in dry_run
    assert "is recorded; the consumers do it" in asked
    assert "done" in listed


def test_the_page_of_backups_works_as_written(reader: Reader) -> None:
    archived(reader, "BACKUP TABLE quickstart.trades TO S3('https://s3.example/backups/trades', 'KEY', 'SECRET')")
    done = reader.follow("move-from-clickhouse-backups.md")
    assert done == [*LOOKED, "RESTORE", *BACKFILLED, *ROOM]
    everything_is_in_the_cold_tier(reader)


def test_a_restore_over_rows_that_are_there_doubles_them_as_the_page_of_backups_warns(reader: Reader) -> None:
    platform = reader.platform
    archive = reader._own("S3('https://s3.example/backups/trades', 'KEY', 'SECRET')")
    platform.client.command(f"BACKUP TABLE {platform.name}.{TABLE} TO {archive}")
    platform.client.command(
        f"RESTORE TABLE {platform.name}.{TABLE} FROM {archive} SETTINGS allow_non_empty_tables = true"
    )
    assert platform.rows(TABLE) == 120


def test_the_page_of_antalya_works_as_written_but_for_antalya_s_own_statements(reader: Reader) -> None:
    archive = "'https://s3.example/lake/archive/trades', 'KEY', 'SECRET'"
    archived(
        reader,
        "CREATE TABLE quickstart.trades_archive (ts DateTime64(6, 'UTC'), seq Int64, note String)"
        f" ENGINE = IcebergS3({archive}) SETTINGS allow_insert_into_iceberg = 1",
        "INSERT INTO quickstart.trades_archive SELECT * FROM quickstart.trades SETTINGS allow_insert_into_iceberg = 1",
    )
    done = reader.follow("move-from-antalya-exports.md")
    assert done == [*LOOKED, "INSERT", *BACKFILLED, *ROOM]
    everything_is_in_the_cold_tier(reader)


def test_the_page_of_kafka_connect_works_as_written(icehaul: Run, platform: Platform, former: Former) -> None:
    stream = former.fill(TABLE, list(range(40)))
    assert icehaul("topics").code == 0
    reader = Reader(icehaul, platform, stream)
    assert reader.follow("move-from-kafka-connect.md") == ["adopt", "adopt", "verify", *LOOKED]
    assert "nothing was changed: give --yes to do it" in reader.outputs["adopt"][0].out
    assert "the stream goes on from 2024-01-03 00:00:00" in reader.outputs["adopt"][1].out


def test_a_table_of_a_sink_that_has_doubled_and_lost_rows_is_not_gone_on_with(
    icehaul: Run, platform: Platform, former: Former
) -> None:
    stream = former.fill(TABLE, [*(number for number in range(40) if number != 7), 12])
    shown = icehaul("adopt", stream, "--output", "json")
    assert (shown.code, shown.data["missing"], shown.data["surplus"]) == (1, 1, 1)
