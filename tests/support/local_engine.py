"""The batch engine without Spark: the same tasks, run by the calling thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from consumer.adapters.spark.engine import SparkEngine
from consumer.failpoints.acting import Failpoints
from consumer.settings.connections import SparkSettings
from consumer.settings.model import Configuration
from spark.batch_session import BatchSession, JobLabel
from spark.unit_offload import offload_unit
from spark.unit_task import JobContext, UnitOutcome, UnitTask


class LocalSession:
    """Runs the tasks of a job one after the other.

    ``before`` is called with each task before it runs, for what a test wants to happen between the reads of two
    units; the task that it returns is the one that runs. ``failpoints`` makes a job's failpoints of what travelled
    with it. ``jobs`` counts the jobs.
    """

    alive = True
    loss_remedy = "none"

    def __init__(self, before: Callable[[UnitTask], UnitTask] = lambda task: task) -> None:
        self.before = before
        self.failpoints: Callable[[str], Failpoints] = Failpoints
        self.jobs = 0
        self._lock = threading.Lock()

    def run(self, label: JobLabel, context: JobContext, tasks: Sequence[UnitTask]) -> list[UnitOutcome]:
        """Run the tasks, in the order of their units."""
        with self._lock:
            self.jobs += 1
        failpoints = self.failpoints(context.failpoints)
        outcomes: list[UnitOutcome] = []
        for task in tasks:
            outcome = offload_unit(context, self.before(task), failpoints)
            with failpoints.around("task.answer"):
                outcomes.append(outcome)
        return outcomes

    def cancel(self, group: str) -> None:
        """Nothing: what a cancelled job writes is never published."""

    def cause(self, error: Exception) -> str:
        """The error's own words."""
        return f"{type(error).__name__}: {error}"

    def last_words(self) -> str:
        """It has no end of its own."""
        return ""

    def stop(self) -> None:
        """Nothing to stop."""


class LocalEngine(SparkEngine):
    """The real engine on a session that needs no Spark."""

    def __init__(self, configuration: Configuration, failpoints: Failpoints | None = None) -> None:
        spark = SparkSettings(writer=configuration.spark.writer)
        super().__init__(spark, configuration.clickhouse, configuration.store, failpoints)
        self.session = LocalSession()

    def _living_session(self) -> BatchSession:
        return self.session
