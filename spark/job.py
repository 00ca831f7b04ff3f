"""The Spark job of one batch: a task for each unit, which answers with a description of its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from pyspark import SparkContext

from spark.batch_session import JobLabel
from spark.results import collect
from spark.unit_offload import armed_failpoints, offload_unit
from spark.unit_task import JobContext, UnitOutcome, UnitTask


def run_job(
    spark_context: SparkContext, label: JobLabel, context: JobContext, tasks: Sequence[UnitTask]
) -> list[UnitOutcome]:
    """Run one task for each unit, and return the outcomes in any order.

    An RDD of the descriptions rather than a DataFrame: nothing of a batch passes the JVM, and without planning
    and code generation a tiny batch takes a fraction of the time.
    """
    spark_context.setLocalProperty("spark.scheduler.pool", label.pool)
    spark_context.setJobGroup(label.group, label.description, interruptOnCancel=True)
    return collect(spark_context.parallelize(tasks, len(tasks)).mapPartitions(partial(_offload, context)))


def _offload(context: JobContext, tasks: Iterable[UnitTask]) -> Iterator[UnitOutcome]:
    failpoints = armed_failpoints(context)
    for task in tasks:
        outcome = offload_unit(context, task, failpoints)
        with failpoints.around("task.answer"):
            yield outcome
