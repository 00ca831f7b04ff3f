"""One soak from its stage to its report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from consumer.embedded.stack import EmbeddedStack
from tests.soak.campaign import Campaign
from tests.soak.gauges import Reading
from tests.soak.report import Report
from tests.soak.schedule import Schedule
from tests.soak.stage import staged
from tests.support.machine import describe_machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is played.

    Attributes:
        seed: of everything that is drawn besides the schedule.
        rows: rows of a quarter hour, over the ten tables.
        first: when the first quarter hour begins.
        retention: how long the hot tier keeps a row.
        local: whether tasks run in the consumer's own process, and not on Spark.
        limit: real seconds after which no further tick is begun.
    """

    schedule: Schedule
    seed: int
    rows: int
    first: datetime
    retention: timedelta
    local: bool
    limit: float = math.inf


def play(
    plan: Plan, stack: EmbeddedStack, name: str, directory: Path, told: Callable[[Reading], None] = lambda _: None
) -> Report:
    """Play a plan on a stack that may be disturbed; ``told`` hears the gauges after each tick."""
    with staged(stack, name, directory, retention=plan.retention, local=plan.local) as stage:
        campaign = Campaign(stage, plan.schedule, Random(plan.seed), plan.rows, plan.first)
        started = time.monotonic()
        readings = []
        for reading in campaign.run(plan.limit):
            told(reading)
            readings.append(reading)
        seconds = time.monotonic() - started
        readings.append(campaign.end())
        return Report(
            machine=describe_machine(),
            seed=plan.seed,
            rows=plan.rows,
            engine="the consumer's process" if plan.local else "Spark",
            seconds=seconds,
            schedule=plan.schedule.first(len(campaign.began)),
            lags=campaign.meter.found,
            unseen=len(campaign.meter.waiting),
            incomplete=campaign.incomplete,
            began=campaign.began,
            batches=campaign.batches(),
            readings=readings,
            verdicts=campaign.judge(),
            faults=campaign.audit(),
        )
