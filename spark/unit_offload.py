"""The task: one unit from ClickHouse into one data file."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from uuid import UUID, uuid4

import pyarrow as pa
from pyspark import TaskContext

from consumer.domain.batch import WrittenFile
from consumer.domain.errors import CheckFailedError, EngineFailedError, IcehaulError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.writer import Writer
from consumer.failpoints.acting import Failpoints
from consumer.failpoints.effects import EFFECTS
from spark.causes import remedy_for
from spark.columns import ColumnCast, digest_sum
from spark.object_store import connect
from spark.unit_export import export_unit, refused
from spark.unit_reader import open_unit
from spark.unit_rewrite import rewrite_unit
from spark.unit_task import JobContext, UnitOutcome, UnitTask, attempt_path
from spark.unit_writer import UnitWriter

_TEXT_LIMIT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    file: WrittenFile | None = None
    writer: Writer
    refusal: str | None = None
    removed: WrittenFile | None = None


def armed_failpoints(context: JobContext) -> Failpoints:
    """Return the failpoints of this task: those that travel with the job; none where Spark repeats a task."""
    running = TaskContext.get()
    again = running is not None and running.attemptNumber() > 0
    return Failpoints("" if again else context.failpoints)


def offload_unit(context: JobContext, task: UnitTask, failpoints: Failpoints | None = None) -> UnitOutcome:
    """Write one unit under a path of this attempt's own, and tell how that ended; raises nothing.

    An error is returned rather than raised, because it would lose its class on the way through the JVM.
    """
    started_ns = time.time_ns()
    error: IcehaulError | None = None
    written = _Written(writer=Writer.STREAM if task.export is None else Writer.EXPORT)
    try:
        written = _write(context, task, failpoints or Failpoints())
    except IcehaulError as known:
        error = known
    except Exception as unknown:  # noqa: BLE001 - the one place where a task's defects become an error of ours
        said = f"{type(unknown).__name__}: {str(unknown)[:_TEXT_LIMIT]}"
        error = EngineFailedError(
            f"unit {task.index} of batch {task.batch_id} failed with {said}",
            remedy=f"the batch is tried again; if it persists, {remedy_for(said, 'report this as a defect')}",
        )
    finally:
        # What the unit needed goes back to the system: the worker stays for the next one.
        pa.default_memory_pool().release_unused()
    return UnitOutcome(
        unit=task.index,
        file=written.file,
        error=error,
        started_ns=started_ns,
        ended_ns=time.time_ns(),
        writer=written.writer,
        refusal=written.refusal,
        traceparent=task.traceparent,
        host=socket.gethostname(),
        pid=os.getpid(),
        removed=written.removed,
    )


def _write(context: JobContext, task: UnitTask, failpoints: Failpoints) -> _Written:
    """Let ClickHouse write the unit where that is asked for; otherwise, or where it refuses, read the rows here.

    Data files that are rewritten are read from the store.
    """
    refusal: str | None = None
    if task.rewrite is not None:
        rewritten = rewrite_unit(context, task, task.rewrite, uuid4(), failpoints)
        return _Written(file=rewritten.file, removed=rewritten.removed, writer=Writer.STREAM)
    if task.export is not None:
        try:
            exported = export_unit(context, task, task.export, uuid4(), failpoints)
        except IcehaulError as error:
            if not (task.export.may_stream and refused(error)):
                raise
            refusal = error.message
        else:
            return _Written(file=exported, writer=Writer.EXPORT)
    return _Written(file=_stream(context, task, uuid4(), failpoints), writer=Writer.STREAM, refusal=refusal)


def _stream(context: JobContext, task: UnitTask, attempt: UUID, failpoints: Failpoints) -> WrittenFile | None:
    uri = f"{attempt_path(task.prefix, task.index, attempt)}.parquet"
    query_id = f"icehaul-{task.batch_id}-{task.index}-{attempt}"
    read = Fingerprint(rows=0, digest=0)
    before_read, after_read = EFFECTS["task.read"].points
    store = connect(context.store)
    failpoints.hit(before_read)
    with open_unit(context.source, context.complete(task.query), query_id, context.file_secret) as stream:
        cast = ColumnCast.to_iceberg(context.layout.schema_json, stream.schema)
        with UnitWriter(store, uri, cast.schema, context.layout) as writer:
            for batch in stream.batches():
                read += Fingerprint(rows=batch.num_rows, digest=digest_sum(batch))
                writer.write(cast.cast(batch))
                failpoints.hit(after_read)
            with failpoints.around("task.close"):
                writer.close()
    if writer.rows != read.rows:
        raise CheckFailedError(
            f"unit {task.index} of batch {task.batch_id}: {read.rows} rows were read, {writer.rows} written",
            remedy="nothing to do: the batch is tried again",
        )
    if read.rows == 0:
        return None
    return WrittenFile(unit=task.index, path=uri, bytes=writer.bytes, fingerprint=read, footer_crc=writer.footer_crc)
