"""`python -m consumer.demo run | stop`: what `make demo` and `make demo-stop` call."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from rich.console import Console

from consumer.bootstrap import Application
from consumer.demo.farewell import print_farewell, print_trace
from consumer.demo.group import Group
from consumer.demo.market import Market
from consumer.demo.report import StreamResult, judge, print_summary, write_report
from consumer.demo.stage import GROUP, Paths, Troupe, write_configuration
from consumer.demo.story import Story
from consumer.demo.voice import Voice
from consumer.domain.errors import IcehaulError
from consumer.embedded.endpoints import Endpoints
from consumer.embedded.errors import StackNotRunningError
from consumer.embedded.stack import EmbeddedStack
from consumer.entrypoints.cli.output import ExitCode, explain
from consumer.settings.load import load

_ROOT = Path("var/demo")


def main() -> int:
    """Run or stop the demo; 0 if no row was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m consumer.demo")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="play the demo")
    run.add_argument("--keep", action="store_true", help="leave the stack up afterwards")
    commands.add_parser("stop", help="end a stack that was left up")
    arguments = parser.parse_args()
    # Where nobody looks at a terminal, the tree of a trace need not be cut to 80 columns.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    paths = Paths(_ROOT.absolute())
    try:
        if arguments.command == "stop":
            return _stop(paths, console)
        return _run(paths, console, keep=arguments.keep)
    except IcehaulError as error:
        explain(error)
        return ExitCode.FINDING
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _stop(paths: Paths, console: Console) -> int:
    try:
        EmbeddedStack.attach(paths.stack).down()
    except StackNotRunningError:
        console.print("no demo is running")
        return ExitCode.OK
    console.print("the demo's stack has been stopped")
    return ExitCode.OK


def _run(paths: Paths, console: Console, *, keep: bool) -> int:
    _clear(paths)
    voice = Voice(console)
    with ExitStack() as closing:
        voice.phase("starting real ClickHouse, Kafka, Postgres and S3, without containers")
        stack = EmbeddedStack.start(paths.stack, progress=voice.step, detached=keep)
        if not keep:
            closing.callback(stack.down)
        results = _play(paths, stack.endpoints, console, voice)
        if keep:
            print_farewell(console, paths, stack.endpoints)
    sound = all(result.sound for result in results)
    console.print("[bold green]no row lost, none doubled[/]" if sound else "[bold red]rows were lost or doubled[/]")
    console.print(f"report: {paths.report.relative_to(Path.cwd())}")
    return ExitCode.OK if sound else ExitCode.FINDING


def _play(paths: Paths, endpoints: Endpoints, console: Console, voice: Voice) -> list[StreamResult]:
    write_configuration(paths, endpoints)
    os.environ.update(paths.environment())
    configuration = load()
    with ExitStack() as closing:
        application = closing.enter_context(Application(configuration))
        client = _client(endpoints)
        closing.callback(client.close)
        group = Group(bootstrap_servers=endpoints.kafka.bootstrap_servers, group=GROUP, topic=configuration.kafka.topic)
        closing.callback(group.close)
        troupe = Troupe(paths=paths, java_home=endpoints.java_home)
        closing.callback(troupe.stop)
        market = Market(client)
        story = Story(application=application, hot_tier=market, troupe=troupe, group=group, voice=voice)
        story.prepare()
        story.offload()
        story.add()
        story.kill()
        story.late()
        story.tick()
        story.replay()
        with story.phase("verify", "every row of both tiers, compared by ClickHouse"):
            results = judge(application, {name: market.count(name) for name in application.streams})
        troupe.stop()
        write_report(paths.report, results, story.facts)
        print_trace(console, application, paths)
        print_summary(console, results, story.facts)
        return list(results)


def _clear(paths: Paths) -> None:
    with suppress(StackNotRunningError):
        EmbeddedStack.attach(paths.stack).down()
    shutil.rmtree(paths.root, ignore_errors=True)
    paths.root.mkdir(parents=True)


def _client(endpoints: Endpoints) -> Client:
    return clickhouse_connect.get_client(
        host=endpoints.clickhouse.host,
        port=endpoints.clickhouse.port,
        username=endpoints.clickhouse.user,
        password=endpoints.clickhouse.password,
    )


if __name__ == "__main__":
    sys.exit(main())
