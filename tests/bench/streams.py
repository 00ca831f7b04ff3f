"""Many streams on one consumer: a round of ticks for all of them, idle and with a few rows: ``make bench-streams``.

A consumer process with a few streams is measured first, in the same run on the same servers: what a stream costs among
many, divided by what it costs there, tells whether anything grows with their number.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from rich.console import Console

from consumer.bootstrap import Application
from consumer.domain.event_factory import tick
from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from tests.bench.measure import cpu_by_group
from tests.support.machine import describe_machine
from tests.support.platform import Platform, day
from tests.support.processes import family, icehaul, pss_kib
from tests.support.waiting import wait_until

INTERVAL_S = 900.0
"""Seconds between two ticks of a stream, by the emitter's default."""
ROWS = 10
"""Rows that a stream gets between two ticks of a round that is not idle."""

_BASELINE = 10
_DEADLINE_S = 3600.0
_POLL_S = 0.01
_FIRST = day("2024-01-02")
_MEBI = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One tick for each of so many streams, from the first that was sent to the last committed offset.

    ``queries`` are ClickHouse's, ``transactions`` those of Postgres that write, for each stream; ``cpu`` are the CPU
    seconds of the consumer and of each server.
    """

    name: str
    streams: int
    seconds: float
    queries: float
    transactions: float
    memory_mib: float
    cpu: Mapping[str, float]

    @property
    def share(self) -> float:
        """The share of the time between two ticks that a round takes."""
        return self.seconds / INTERVAL_S

    def ratio(self, few: Round) -> float:
        """What a stream costs, divided by what it costs among a few."""
        return self.seconds / self.streams / (few.seconds / few.streams)


class Rounds:
    """Streams of one running consumer, whose tables are alike."""

    def __init__(self, platform: Platform, application: Application, groups: Mapping[str, int]) -> None:
        kafka = application.configuration.kafka
        self._platform = platform
        self._application = application
        self._groups = groups
        self._admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        self._places = [TopicPartition(kafka.topic, number) for number in range(kafka.partitions)]
        self._group = kafka.group
        self._sent = 0
        self._cutoff = _FIRST
        self._dsn = application.configuration.postgres.dsn.get_secret_value()
        # The embedded engine counts statements of its server's own with each request.
        first = self._queries()
        self._unit = self._queries() - first

    def idle(self, name: str = "idle") -> Round:
        """Let all streams move on by a minute in which there is no row."""
        return self._round(name, self._cutoff + timedelta(minutes=1))

    def with_rows(self) -> Round:
        """Let all streams read a few rows of a day of its own."""
        start = self._cutoff
        for stream in self._platform.streams:
            self._platform.client.command(
                f"INSERT INTO {stream['source']} SELECT toDateTime64('{start:%F %T}', 6, 'UTC')"
                f" + toIntervalMillisecond(number), number, number / 7 FROM numbers({ROWS})"
            )
        return self._round("a few rows", start + timedelta(days=1))

    def _round(self, name: str, cutoff: datetime) -> Round:
        streams = [str(stream["name"]) for stream in self._platform.streams]
        queries, transactions, cpu = self._queries(), self._transactions(), cpu_by_group(self._groups)
        started = time.perf_counter()
        self._application.event_sink.send([tick(stream=stream, boundary=cutoff) for stream in streams])
        self._sent += len(streams)
        while self._committed() < self._sent:
            if time.perf_counter() - started > _DEADLINE_S:
                raise AssertionError(f"{name}: {self._committed()} of {self._sent} offsets were committed")
            time.sleep(_POLL_S)
        seconds = time.perf_counter() - started
        spent = {group: after - cpu[group] for group, after in cpu_by_group(self._groups).items()}
        self._cutoff = cutoff
        count = len(streams)
        return Round(
            name=name,
            streams=count,
            seconds=seconds,
            queries=((self._queries() - queries) / self._unit - 1) / count,
            transactions=(self._transactions() - transactions) / count,
            memory_mib=sum(pss_kib(member) for member in family(self._groups["icehaul"])) / _MEBI,
            cpu=spent,
        )

    def _committed(self) -> int:
        request = ConsumerGroupTopicPartitions(self._group, self._places)
        answer = self._admin.list_consumer_group_offsets([request])[self._group].result()
        return sum(max(place.offset, 0) for place in answer.topic_partitions or [])

    def _queries(self) -> int:
        rows = self._platform.client.query("SELECT value FROM system.events WHERE event = 'Query'").result_rows
        return int(rows[0][0])

    def _transactions(self) -> int:
        """Return the number of the next transaction that writes; those that only read have none."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            row = connection.execute(b"SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
        return 0 if row is None else int(row[0])


def add_streams(platform: Platform, count: int) -> None:
    """Create so many small tables, with a stream for each."""
    for number in range(count):
        table = f"t{number:04}"
        platform.client.command(
            f"CREATE TABLE {platform.name}.{table} (ts DateTime64(6, 'UTC'), seq UInt64, value Float64)"
            " ENGINE = MergeTree PARTITION BY toDate(ts) ORDER BY ts"
        )
        platform.streams.append(
            {
                "name": f"{platform.name}_{table}",
                "source": f"{platform.name}.{table}",
                "target": f"{platform.name}.{table}",
                "timestamp_column": "ts",
                "sequence_columns": ["seq"],
                "settle_lag": "0s",
            }
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.streams", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000, help="streams of the consumer that is measured")
    parser.add_argument("--idle-only", action="store_true", help="leave the round with rows out")
    parser.add_argument("--local", action="store_true", help="run tasks in the consumer's process, without Spark")
    parser.add_argument("--stack", type=Path, help="directory of a running stack to use (icehaul stack up)")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where the report and logs go")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(f"$ python -m tests.bench.streams {' '.join(sys.argv[1:] if arguments is None else arguments)}")
    console.print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="icehaul-bench-") as scratch, ExitStack() as resources:
        if options.stack is None:
            stack = resources.enter_context(EmbeddedStack.start(Path(scratch) / "stack"))
        else:
            stack = EmbeddedStack.attach(options.stack)
        found = [
            _measure(stack, name, count, Path(scratch), options)
            for name, count in (("few", _BASELINE), ("many", options.streams))
        ]
    few, many = found
    for one, base in zip(many, few, strict=True):
        console.print(_told(one, base))
    report = {"machine": describe_machine(), "few": [asdict(one) for one in few], "many": [asdict(one) for one in many]}
    (options.out / "streams.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _measure(
    stack: EmbeddedStack, name: str, count: int, scratch: Path, options: argparse.Namespace
) -> Sequence[Round]:
    platform = Platform(stack.endpoints, f"bench_{name}_{os.getpid()}", scratch)
    os.environ.update(platform.environment())
    platform.sections |= {
        "store": {"prefix": f"bench/{platform.name}"},
        "spark": {"master": f"local[{os.cpu_count() or 1}]"},
        "consumer": {"http_port": 0, "lease_seconds": 30},
    }
    add_streams(platform, count)
    config, log = platform.write(), options.out / f"streams-{name}.log"
    with Application(platform.configuration(), environment={}) as application:
        application.migrate()
        application.topics.ensure()
        arguments = (str(config),) if options.local else ("run", "-c", str(config))
        program = "tests.support.local_consumer" if options.local else "consumer"
        with icehaul(*arguments, log=log, environment=platform.environment(), program=program) as consumer:
            wait_until(lambda: "consumer.assigned" in consumer.text(), seconds=120, what="the assignment")
            groups = {component.value: stack.pid(component) for component in ComponentName}
            rounds = Rounds(platform, application, {**groups, "icehaul": consumer.pid})
            rounds.idle()  # describes the sources, and makes the targets
            measured = [rounds.idle("idle, first"), rounds.idle()]
            if not options.idle_only:
                measured.append(rounds.with_rows())
            consumer.terminate()
    return measured


def _told(one: Round, few: Round) -> str:
    cpu = ", ".join(f"{name} {seconds / one.streams * 1e3:.0f}" for name, seconds in one.cpu.items())
    return (
        f"{one.name}: {one.streams} streams in {one.seconds:.1f} s, {one.share:.1%} of {INTERVAL_S:.0f} s;"
        f" {one.seconds / one.streams * 1e3:.1f} ms a stream, {one.ratio(few):.2f} of what it is among {few.streams};"
        f" {one.queries:.1f} queries of ClickHouse and {one.transactions:.1f} writes of Postgres a stream"
        f" ({few.queries:.1f} and {few.transactions:.1f} among {few.streams});"
        f" the consumer holds {one.memory_mib:.0f} MiB ({few.memory_mib:.0f}); CPU ms a stream: {cpu}"
    )


if __name__ == "__main__":
    sys.exit(main())
