"""The whole platform at full size: ``python -m tests.platform``; fails if a row is lost or doubled."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from consumer.bootstrap import Application
from consumer.demo.group import Group
from consumer.demo.market import TABLES, stream_settings
from consumer.domain.duration import format_duration
from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from tests.bench.measure import cpu_by_group
from tests.platform.campaign import DAY, Campaign, CampaignError, judge
from tests.platform.report import Report
from tests.platform.steps import Steps
from tests.platform.trading import COINBASE, Trading
from tests.support.machine import describe_machine
from tests.support.platform import Platform, day
from tests.support.processes import Running, icehaul
from tests.support.waiting import wait_until

SETTLE_LAG = timedelta(minutes=2)
FIRST = day("2024-03-05") + timedelta(hours=23)
"""Four cycles later the day ends, and with it bars of every span."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign; return 0 if both tiers are equal."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    report = Report(machine=describe_machine(), rows=options.rows, settle_lag=SETTLE_LAG)
    console.print(report.machine)
    traces = options.out / "traces"
    for old in traces.glob("*.jsonl"):
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="icehaul-platform-") as scratch:
        quiet = _play(options, report, Path(scratch), console)
    steps = Steps(sorted(traces.glob("*.jsonl")))
    report.layers = [steps.by_layer(cycle.started_ns, cycle.ended_ns) for cycle in report.cycles]
    report.quiet = steps.quiet(*quiet)
    report.show(console)
    report.write(options.out / "report.json")
    console.print(f"report.json, traces and logs: {os.path.relpath(options.out)}")
    return 0 if report.sound else 1


def _play(options: argparse.Namespace, report: Report, scratch: Path, console: Console) -> tuple[int, int]:
    with ExitStack() as resources:
        stack = resources.enter_context(EmbeddedStack.start(scratch / "stack"))
        platform = Platform(stack.endpoints, "market", scratch)
        resources.callback(platform.client.close)
        platform.sections |= {
            "kafka": {"partitions": 12},
            "spark": {"master": f"local[{os.cpu_count()}]"},
            "consumer": {"http_port": 0, "lease_seconds": 30, "relay_interval_seconds": 1},
            "emitter": {"grace": format_duration(SETTLE_LAG)},
        }
        platform.streams += [stream_settings(table, settle_lag=SETTLE_LAG) for table in TABLES]
        os.environ.update(platform.environment())
        application = resources.enter_context(Application(platform.configuration(), environment={}))
        application.migrate()
        application.topics.ensure()
        trading = Trading(platform.client, platform.name)
        trading.market.create_tables()
        consumers = [
            resources.enter_context(_consumer(number, platform, options.out))
            for number in range(1, options.consumers + 1)
        ]
        pids = {component.value: stack.pid(component) for component in ComponentName}
        pids |= {f"consumer-{number}": consumer.pid for number, consumer in enumerate(consumers, 1)}
        group = Group(
            bootstrap_servers=stack.endpoints.kafka.bootstrap_servers, group=platform.name, topic=platform.topic
        )
        resources.callback(group.close)
        campaign = Campaign(application, group, trading, lambda: cpu_by_group(pids), _watch(consumers), lower=FIRST)
        quiet = _campaign(options, report, campaign, console)
        for consumer in consumers:
            consumer.terminate()
        return quiet


def _campaign(options: argparse.Namespace, report: Report, campaign: Campaign, console: Console) -> tuple[int, int]:
    closed = FIRST.replace(hour=0) - DAY
    seconds = campaign.fill_day(COINBASE, closed, options.day)
    console.print(f"a day of {options.day:,} rows offloaded and closed: {seconds:.1f} s")
    for number in range(1, options.cycles + 1):
        cycle = campaign.cycle(options.rows)
        report.cycles.append(cycle)
        console.print(f"cycle {number}: {cycle.rows:,} rows in {cycle.seconds:.1f} s")
    quiet = campaign.idle(options.idle)
    report.late = campaign.late_row(COINBASE, closed)
    console.print(f"late row: {report.late.seconds:.1f} s; now both tiers are compared")
    campaign.catch_up()
    report.verdicts = judge(campaign.application, campaign.trading)
    return quiet


@contextmanager
def _consumer(number: int, platform: Platform, out: Path) -> Iterator[Running]:
    """Start a consumer that takes part in the group; it ends with the block."""
    traces = out / "traces"
    traces.mkdir(exist_ok=True)
    trace_file = {"ICEHAUL_TELEMETRY__TRACE_FILE": str((traces / f"consumer-{number}.jsonl").absolute())}
    environment = {**platform.environment(), **trace_file}
    arguments = ("run", "-c", str(platform.write()))
    with icehaul(*arguments, log=out / f"consumer-{number}.log", environment=environment) as consumer:
        consumer.http_port()
        wait_until(lambda: "consumer.assigned" in consumer.text(), seconds=60, what="the assignment")
        yield consumer


def _watch(consumers: Sequence[Running]) -> Callable[[], None]:
    def alive() -> None:
        for consumer in consumers:
            if consumer.popen.poll() is not None:
                raise CampaignError(f"a consumer has ended:\n{consumer.text()[-3000:]}")

    return alive


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.platform", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of a cycle, over the ten tables")
    parser.add_argument("--cycles", type=int, default=4, help="quarters of an hour; with 4 the day ends")
    parser.add_argument("--day", type=int, default=10_000_000, help="rows of the closed day that gets a late row")
    parser.add_argument("--idle", type=int, default=10, help="ticks to each stream that find nothing")
    parser.add_argument("--consumers", type=int, default=1, help="consumer processes")
    parser.add_argument("--out", type=Path, default=Path("var/platform"), help="where report, traces and logs go")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
