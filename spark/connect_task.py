"""What a Python worker of a Spark Connect server runs: pickled tasks in, pickled outcomes out, as Arrow columns."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.serializers import CPickleSerializer

from consumer.domain.errors import ConfigurationError
from consumer.failpoints.acting import Failpoints
from spark.packages import runs_here
from spark.unit_offload import armed_failpoints, offload_unit
from spark.unit_task import JobContext, UnitOutcome, UnitTask

COLUMN = "pickled"
"""The one column of the relation of tasks, and of the one of outcomes."""

_pickle = CPickleSerializer()


def packed(values: Iterable[object]) -> pa.RecordBatch:
    """Return values as rows of one binary column."""
    pickles = [_pickle.dumps(value) for value in values]  # type: ignore[no-untyped-call]
    return pa.record_batch([pa.array(pickles, pa.binary())], names=[COLUMN])


def unpacked(rows: pa.RecordBatch | pa.Table) -> Iterator[object]:
    """Return what :func:`packed` was given."""
    return (_pickle.loads(pickle) for pickle in rows[COLUMN].to_pylist())  # type: ignore[no-untyped-call]


def offload_tasks(code: str, context: JobContext, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Write the units that stand in the rows; ``code`` is the digest of the code that was sent to do it."""
    failpoints = armed_failpoints(context)
    for batch in batches:
        tasks = [task for task in unpacked(batch) if isinstance(task, UnitTask)]
        outcomes = packed(_outcome(code, context, task, failpoints) for task in tasks)
        with failpoints.around("task.answer"):
            yield outcomes


def check_worker(code: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Answer each row with ``None``, or with why this worker can't be trusted with units."""
    for batch in batches:
        yield packed([_foreign_code(code)] * batch.num_rows)


def _outcome(code: str, context: JobContext, task: UnitTask, failpoints: Failpoints) -> UnitOutcome:
    refused = _foreign_code(code)
    if refused is None:
        return offload_unit(context, task, failpoints)
    now_ns = time.time_ns()
    return UnitOutcome(unit=task.index, file=None, error=refused, started_ns=now_ns, ended_ns=now_ns)


def _foreign_code(code: str) -> ConfigurationError | None:
    """Older code that a server has installed would write other files than its consumers expect."""
    if runs_here(code):
        return None
    return ConfigurationError(
        f"spark.remote: a Python worker on {platform.node()} runs an icehaul of its own ({__file__}), which differs"
        " from this one",
        remedy="remove icehaul from the PYTHONPATH and spark.python.daemon.module of the server's workers, or install"
        " this version there and restart the server",
    )
