"""Several consumers on the same servers that take turns: what a benchmark of one difference between them needs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from consumer.embedded.stack import EmbeddedStack
from tests.bench.icehaul_path import Icehaul
from tests.bench.measure import Measurement, measure
from tests.bench.paths import Bench
from tests.bench.trades import COLUMNS, TABLE, fill
from tests.support.platform import Platform


def contending_bench(stack: EmbeddedStack, name: str, scratch: Path, rows: int, **sections: Mapping[str, str]) -> Bench:
    """Return a bench with a table of its own, filled with trades, whose consumer has these sections of configuration.

    This process' environment is what the consumer needs from then on.
    """
    platform = Platform(stack.endpoints, f"bench_{name}", scratch)
    platform.sections.update({section: dict(settings) for section, settings in sections.items()})
    os.environ.update(platform.environment())
    platform.client.command(
        f"CREATE TABLE {platform.name}.{TABLE} ({COLUMNS}) ENGINE = MergeTree PARTITION BY toDate(ts)"
        " ORDER BY (symbol, ts, seq)"
    )
    fill(platform, rows)
    return Bench(stack=stack, platform=platform, rows=rows, cores=os.cpu_count() or 1, own_pid=os.getpid())


def take_turns(consumers: Mapping[str, Icehaul], rows: int, rounds: int) -> Mapping[str, Sequence[Measurement]]:
    """Let each consumer offload a batch in each round; who begins changes, and the first round does not count."""
    found: dict[str, list[Measurement]] = {name: [] for name in consumers}
    for number in range(rounds + 1):
        for name in sorted(consumers, reverse=number % 2 == 0):
            contender = consumers[name].contender(name)
            one = measure(rows, contender.groups, lambda run=contender.run, round_=number: run(round_))  # type: ignore[misc]
            if number:
                found[name].append(one)
    return found
