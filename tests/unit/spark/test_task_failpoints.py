"""Failpoints of tasks: they come with the job, are hit around the effects of a task, and leave repeated tasks alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pyspark import TaskContext

from consumer.adapters.spark.access import source_access, store_access
from consumer.domain.errors import EngineFailedError
from consumer.settings.connections import ClickHouseSettings, SparkSettings, StoreSettings
from spark.unit_offload import armed_failpoints, offload_unit
from spark.unit_task import FileLayout, JobContext, UnitTask

CONTEXT = JobContext(
    source=source_access(ClickHouseSettings(), SparkSettings()),
    store=store_access(StoreSettings()),
    layout=FileLayout(
        schema_json='{"type": "struct", "schema-id": 0, "fields": []}', row_group_rows=10, row_group_bytes=10
    ),
)
TASK = UnitTask(index=3, batch_id="b", query="SELECT 1", prefix="s3://bucket/p")


class Attempt:
    def __init__(self, number: int) -> None:
        self._number = number

    def attemptNumber(self) -> int:  # noqa: N802 - Spark's name
        return self._number


def test_a_failure_in_a_task_comes_back_as_the_units_error() -> None:
    context = replace(CONTEXT, failpoints="task.before-read=raise")
    outcome = offload_unit(context, TASK, armed_failpoints(context))
    assert outcome.unit == 3
    assert outcome.file is None
    assert isinstance(outcome.error, EngineFailedError)
    assert "task.before-read" in outcome.error.message


@pytest.mark.parametrize(("attempt", "fails"), [(0, True), (1, False), (3, False)])
def test_a_task_that_spark_repeats_is_left_alone(attempt: int, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskContext, "get", lambda: Attempt(attempt))
    failpoints = armed_failpoints(replace(CONTEXT, failpoints="task.before-answer=raise"))
    if fails:
        with pytest.raises(EngineFailedError):
            failpoints.hit("task.before-answer")
    else:
        failpoints.hit("task.before-answer")
