"""The batch engine: each batch is one Spark job on the warm session that this process has started or joined."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from opentelemetry import trace

from consumer.adapters.clickhouse.files import FileReader
from consumer.adapters.spark.access import file_layout, open_session, source_access, without_keys
from consumer.adapters.spark.credentials import TaskCredentials, outlived, too_long
from consumer.adapters.spark.exports import Exports
from consumer.adapters.spark.rewrites import readable, rewrite_order, rewrite_reports
from consumer.adapters.spark.unit_spans import record_units
from consumer.domain.batch import Batch, Unit
from consumer.domain.errors import EngineFailedError, IcehaulError, Reaction
from consumer.domain.late_query import kept_rows
from consumer.domain.mapping import TableMapping
from consumer.domain.row_order import AS_READ, RowOrder
from consumer.domain.stream import Stream
from consumer.domain.unit_query import file_structure, unit_query
from consumer.failpoints.acting import Failpoints
from consumer.ports import TargetTable, UnitReport
from consumer.service.steps import TRACER
from consumer.settings.connections import ClickHouseSettings, SparkSettings, StoreSettings
from spark.batch_session import BatchSession, JobLabel
from spark.causes import remedy_for
from spark.unit_task import JobContext, StoreAccess, UnitOutcome, UnitTask

_SEE_WORKERS = "see the memory and the logs of Spark's workers"


@dataclass(slots=True)
class _Running:
    """A job under way. Its group is new for each attempt: cancelling one attempt leaves the next alone."""

    group: str
    session: BatchSession
    cancelled: bool = field(default=False)


class SparkEngine:
    """Writes batches with Spark; several threads may write at once.

    The session starts with the first batch, unless :meth:`start` was called, and starts anew when its JVM
    or its server has died. One engine at a time in a process with a driver of its own: Spark allows one.
    """

    def __init__(
        self,
        spark: SparkSettings,
        clickhouse: ClickHouseSettings,
        store: StoreSettings,
        failpoints: Failpoints | None = None,
    ) -> None:
        self._failpoints = failpoints or Failpoints()
        self._settings = spark
        self._source = source_access(clickhouse, spark)
        self._files = FileReader(*without_keys(clickhouse, store))
        self._file_secret = next(iter(FileReader(clickhouse, store).secrets), None)
        self._exports = Exports(spark.writer, self._files)
        self._credentials = TaskCredentials(store)
        self._session: BatchSession | None = None
        self._session_lock = threading.Lock()
        self._running: defaultdict[UUID, list[_Running]] = defaultdict(list)
        self._running_lock = threading.Lock()

    def start(self) -> None:
        """Start the session now (some seconds), so that the first batch need not wait for it.

        Raises:
            ConfigurationError: if there is no Java, or the server's workers can't run our code.
            AccessDeniedError: if the Spark Connect server refuses us.
            EngineFailedError: if Spark does not start, or no server answers.
        """
        self._living_session()

    def stop(self) -> None:
        """Stop the session, and its JVM if it is ours; batches under way end with an error.

        A later write starts a new one.
        """
        with self._session_lock:
            session, self._session = self._session, None
        if session is not None:
            session.stop()

    @property
    def ready(self) -> bool:
        """Whether a session is running."""
        session = self._session
        return session is not None and session.alive

    @property
    def jobs(self) -> int:
        """How many jobs are running."""
        with self._running_lock:
            return sum(map(len, self._running.values()))

    def write(
        self,
        *,
        stream: Stream,
        mapping: TableMapping,
        target: TargetTable,
        batch: Batch,
        prefix: str,
        traceparent: str | None,
    ) -> Sequence[UnitReport]:
        """Write every unit as one file under ``prefix``; see :class:`consumer.ports.BatchEngine`.

        The first error of any unit is raised: those that halt the stream before those that may pass.
        """
        if not batch.units:
            return ()
        layout = file_layout(target.schema, self._settings, target.options)
        tasks = [
            UnitTask(
                index=unit.index,
                batch_id=str(batch.id),
                query=target.order.applied_to(self._query(stream, mapping, unit)),
                prefix=prefix,
                traceparent=traceparent,
                export=self._exports.order(stream, mapping, unit, prefix, target.order),
                rewrite=None if unit.rewriting is None else rewrite_order(unit.rewriting, target),
            )
            for unit in batch.units
        ]
        context = JobContext(
            source=self._source,
            store=self._credentials.for_job(batch.id, prefix, readable(batch, target)),
            layout=layout,
            failpoints=self._failpoints.for_job(),
            file_secret=self._file_secret if any(map(_through_files, batch.units, tasks)) else None,
        )
        outcomes = self._outcomes(
            batch, context, tasks, lambda: self._credentials.for_job(batch.id, prefix, readable(batch, target))
        )
        self._exports.learn(stream, outcomes)
        record_units(batch, outcomes, trace.get_tracer(TRACER))
        return reports_of(batch, outcomes, target.order)

    def _outcomes(
        self, batch: Batch, context: JobContext, tasks: Sequence[UnitTask], renewed: Callable[[], StoreAccess]
    ) -> list[UnitOutcome]:
        """Run the tasks; those that outlive the job's credentials for the store run again with new ones.

        Raises:
            EngineFailedError: if not one unit could be written while credentials were good, besides other reasons.
        """
        outcomes: list[UnitOutcome] = []
        while True:
            ended = self._run(batch, context, tasks)
            late = outlived(context.store, ended)
            outcomes += [outcome for outcome in ended if outcome.unit not in late]
            if not late:
                return outcomes
            if len(late) == len(tasks):
                raise too_long(batch.id, sorted(late))
            tasks = [task for task in tasks if task.index in late]
            context = replace(context, store=renewed())

    def _query(self, stream: Stream, mapping: TableMapping, unit: Unit) -> str:
        if unit.rewriting is not None:
            return ""
        if unit.kept is None:
            return unit_query(stream, mapping, unit)
        # Also what the source does not have any more stays.
        recorded = mapping.as_recorded
        source = self._files.source(unit.kept.path, file_structure(recorded))
        return kept_rows(stream, recorded, unit.kept, source)

    def cancel(self, batch_id: UUID) -> None:
        """Cancel the batch's tasks, if any run; its ``write`` then raises :class:`EngineFailedError`."""
        with self._running_lock:
            jobs = list(self._running.get(batch_id, ()))
            for job in jobs:
                job.cancelled = True
        for job in jobs:
            job.session.cancel(job.group)

    def _run(self, batch: Batch, context: JobContext, tasks: Sequence[UnitTask]) -> list[UnitOutcome]:
        session = self._living_session()
        with self._tracked(batch.id, session) as job:
            label = JobLabel(
                pool=batch.stream,
                group=job.group,
                description=f"batch {batch.id} of stream {batch.stream}, window {batch.window}",
            )
            try:
                return session.run(label, context, tasks)
            except Exception as error:
                raise self._failure(batch, job, error) from error

    def _failure(self, batch: Batch, job: _Running, error: Exception) -> EngineFailedError:
        # First of all, for a JVM that is on its way out answers no questions for long.
        cause = job.session.cause(error)
        if job.cancelled:
            return EngineFailedError(f"batch {batch.id} was cancelled", remedy="nothing to do: its owner gave it up")
        if job.session.alive:
            return EngineFailedError(
                f"the Spark job of batch {batch.id} failed: {cause}",
                remedy=f"the batch is tried again; if it persists, {remedy_for(cause, _SEE_WORKERS)}",
            )
        last_words = self._discard(job.session)
        return EngineFailedError(
            f"Spark ended while batch {batch.id} was written: {cause}; its last words: {last_words}",
            remedy="the batch is tried again with a new session; if it persists,"
            f" {remedy_for(f'{cause} {last_words}', job.session.loss_remedy)}",
        )

    def _living_session(self) -> BatchSession:
        with self._session_lock:
            if self._session is not None and not self._session.alive:
                self._session.stop()
                self._session = None
            if self._session is None:
                self._session = open_session(self._settings)
            return self._session

    def _discard(self, session: BatchSession) -> str:
        with self._session_lock:
            if self._session is not session:
                return "not kept"
            self._session = None
            last_words = session.last_words()
            session.stop()
        return last_words

    @contextmanager
    def _tracked(self, batch_id: UUID, session: BatchSession) -> Iterator[_Running]:
        job = _Running(group=f"{batch_id}/{uuid4()}", session=session)
        with self._running_lock:
            self._running[batch_id].append(job)
        try:
            yield job
        finally:
            with self._running_lock:
                self._running[batch_id].remove(job)
                if not self._running[batch_id]:
                    del self._running[batch_id]


def _through_files(unit: Unit, task: UnitTask) -> bool:
    """Whether ClickHouse reads or writes files for the unit: only then its task needs the server's key to them."""
    return unit.kept is not None or task.export is not None


def reports_of(batch: Batch, outcomes: Sequence[UnitOutcome], order: RowOrder = AS_READ) -> Sequence[UnitReport]:
    """Return the reports of the units that held rows, in their order; ``order`` is that of the rows in each file.

    Raises:
        IcehaulError: the first error of any unit, those that halt the stream before those that may pass.
        EngineFailedError: if not every unit is answered for exactly once.
    """
    errors = sorted((outcome.error for outcome in outcomes if outcome.error is not None), key=_urgency)
    if errors:
        raise errors[0]
    units = sorted(outcome.unit for outcome in outcomes)
    kept = {unit.index for unit in batch.units if unit.kept is not None}
    if units != sorted(unit.index for unit in batch.units):
        raise EngineFailedError(
            f"the Spark job of batch {batch.id} answered for units {units} of {len(batch.units)}",
            remedy="nothing to do: the batch is tried again",
        )
    reports: list[UnitReport] = []
    for outcome in sorted(outcomes, key=lambda outcome: outcome.unit):
        seconds = (outcome.ended_ns - outcome.started_ns) / 1e9
        if batch.rewrite is not None:
            reports += rewrite_reports(outcome, seconds)
        elif outcome.file is not None:
            file = replace(outcome.file, kept=outcome.unit in kept, sort_order=order.id)
            reports.append(UnitReport(file=file, seconds=seconds))
    return reports


def _urgency(error: IcehaulError) -> bool:
    return error.reaction is Reaction.RETRY
