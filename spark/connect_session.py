"""A session on a Spark Connect server, shared by all consumers that run the same code.

The server keeps a Python daemon for every session it ever had, and a new one has to import everything before its
first task runs. So consumers do not bring sessions of their own: they join one whose id is derived from the code.
A consumer that starts after another was killed finds warm workers there, and never meets other code than its own.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import grpc
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.errors.exceptions.connect import PythonException, SparkConnectGrpcException
from pyspark.sql.connect import proto
from pyspark.sql.connect.client import SparkConnectClient
from pyspark.sql.connect.plan import LocalRelation, MapPartitions
from pyspark.sql.connect.udf import UserDefinedFunction
from pyspark.sql.types import BinaryType, StructField, StructType
from pyspark.util import PythonEvalType

from consumer.domain.errors import AccessDeniedError, ConfigurationError, EngineFailedError, IcehaulError
from spark.batch_session import JobLabel
from spark.connect_client import connect, words_of
from spark.connect_task import COLUMN, check_worker, offload_tasks, packed, unpacked
from spark.packages import code_digest, zip_packages
from spark.unit_task import JobContext, UnitOutcome, UnitTask

SESSION_NAMESPACE = UUID("5c0f4f0e-7a62-5d0a-9d5e-1ceca51e0003")
_GENERATIONS_MAX = 1000
"""As many closed sessions as a server remembers: their ids are never taken again."""
_CLOSED = "INVALID_HANDLE.SESSION_CLOSED"
_ATTEMPTS = 3
_CAUSE_LIMIT = 300
_PROPERTIES = {
    # One row of the relation of tasks for each task; without it there are as many tasks as cores.
    "spark.sql.leafNodeDefaultParallelism": "1000000",
    "spark.sql.adaptive.enabled": "false",
}
_LOST = (PySparkException, grpc.RpcError, ValueError)
"""What a call raises that can't be made; gRPC's word for a channel that another thread has closed is the last."""
_SCHEMA = StructType([StructField(COLUMN, BinaryType())])
_Function = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings:
    """The server's URL, which may hold a token, and its address as it may be shown."""

    url: str = field(repr=False)
    address: str


class ConnectSession:
    """A session that was joined; satisfies :class:`spark.batch_session.BatchSession`."""

    def __init__(self, settings: RemoteSettings) -> None:
        """Join the session, send our code, and prove that a task runs it.

        Raises:
            ConfigurationError: if the server's Python workers can't run our code.
            AccessDeniedError: if the server refuses the token.
            EngineFailedError: if no Spark Connect server answers.
        """
        self._settings = settings
        self._code = code_digest()
        self._running: set[str] = set()
        self._cancelled: set[str] = set()
        self._lock = threading.Lock()
        try:
            self._client = _join(settings.url, self._code)
        except (PySparkException, grpc.RpcError) as error:
            raise self._no_server(error) from error
        try:
            self._prepare()
        except BaseException:
            self._client.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the server answers, and still has the session."""
        try:
            self._client.get_configs("spark.app.name")
        except _LOST:
            return False
        return True

    @property
    def loss_remedy(self) -> str:
        """What to do where the session is lost again and again."""
        return "see the log of the Spark Connect server, its memory, and the network between"

    def run(self, label: JobLabel, context: JobContext, tasks: Sequence[UnitTask]) -> list[UnitOutcome]:
        """Run one task for each unit, and return the outcomes in any order.

        The label's pool has no effect: Spark Connect hands no properties to single jobs.
        """
        with self._labelled(label):
            answers = self._map(partial(offload_tasks, self._code, context), tasks, label.group)
            return [outcome for outcome in answers if isinstance(outcome, UnitOutcome)]

    def cancel(self, group: str) -> None:
        """Cancel the jobs of a group, those too that are only about to be submitted; a lost session has none."""
        with self._lock:
            if group not in self._running:
                return
            self._cancelled.add(group)
        self._interrupt(group)

    def cause(self, error: Exception) -> str:
        """Return the first of what went wrong."""
        return f"{type(error).__name__}: {words_of(error)[:_CAUSE_LIMIT]}"

    def last_words(self) -> str:
        """Return where it was."""
        return f"no answer from the session on {self._settings.address}"

    def stop(self) -> None:
        """Leave the session: our jobs end with an error, the server and the other consumers' jobs go on.

        The server closes the session once nobody has used it for an hour (by default).
        """
        with self._lock:
            groups = list(self._running)
        for group in groups:
            self._interrupt(group)
        self._client.close()

    def _prepare(self) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._send_code()
                (refused,) = self._map(partial(check_worker, self._code), [None], None)
            except (PySparkException, grpc.RpcError) as error:
                # Another consumer may be sending the same at this moment.
                if attempt == _ATTEMPTS:
                    raise self._not_prepared(error) from error
            else:
                if isinstance(refused, ConfigurationError):
                    raise refused
                return

    def _send_code(self) -> None:
        with tempfile.TemporaryDirectory(prefix="icehaul-spark-") as directory:
            archive = str(zip_packages(Path(directory)))
            self._client.add_artifacts(archive, pyfile=True, archive=False, file=False)
            # PySpark makes it importable in this process too, which has the code already.
            with contextlib.suppress(ValueError):
                sys.path.remove(archive)

    def _map(self, function: _Function, values: Sequence[object], group: str | None) -> list[object]:
        """Call the function in a task of its own for each value, and return what comes back."""
        relation = LocalRelation(pa.Table.from_batches([packed(values)]), _SCHEMA.json())
        mapped = UserDefinedFunction(
            function, returnType=_SCHEMA, name="icehaul", evalType=PythonEvalType.SQL_MAP_ARROW_ITER_UDF
        )
        plan = MapPartitions(relation, mapped, [COLUMN], is_barrier=False, profile=None)
        answers: list[object] = []
        for part in self._client.to_table_as_iterator(plan.to_proto(self._client), {}):
            if isinstance(part, pa.Table):
                answers.extend(unpacked(part))
            elif group in self._cancelled:
                # The schema: the first word about a job that the server knows from now on.
                self._interrupt(group)
        return answers

    def _interrupt(self, group: str) -> None:
        try:
            self._client.interrupt_tag(group)
        except _LOST:
            # A server that does not answer would keep our threads waiting: with the channel all their calls end.
            self._client.close()

    @contextmanager
    def _labelled(self, label: JobLabel) -> Iterator[None]:
        with self._lock:
            self._running.add(label.group)
        for tag in _tags(label):
            self._client.add_tag(tag)
        try:
            yield
        finally:
            self._client.clear_tags()
            with self._lock:
                self._running.discard(label.group)
                self._cancelled.discard(label.group)

    def _no_server(self, error: Exception) -> IcehaulError:
        status = error.getGrpcStatusCode() if isinstance(error, SparkConnectGrpcException) else None
        if status in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
            return AccessDeniedError(
                f"the Spark Connect server at {self._settings.address} refused this client: {words_of(error)}",
                remedy="give the server's token in spark.remote: sc://host:port/;token=…",
            )
        return EngineFailedError(
            f"no Spark Connect server answers at {self._settings.address}: {words_of(error)[:_CAUSE_LIMIT]}",
            remedy="start one there, or correct host, port and use_ssl in spark.remote",
        )

    def _not_prepared(self, error: Exception) -> IcehaulError:
        if isinstance(error, PythonException):
            reason = words_of(error).strip().rpartition("\n")[2]
            return ConfigurationError(
                f"spark.remote: the Python workers of {self._settings.address} can't run icehaul's tasks: {reason}",
                remedy=f"give them Python {sys.version_info.major}.{sys.version_info.minor} with pyarrow and pyiceberg"
                " (PYSPARK_PYTHON where the server is started)",
            )
        return EngineFailedError(
            f"the Spark Connect server at {self._settings.address} runs no task: {self.cause(error)}",
            remedy=self.loss_remedy,
        )


def _tags(label: JobLabel) -> tuple[str, str]:
    """Jobs are cancelled by the first; the second is for the people who read Spark's pages."""
    return label.group, label.description.replace(",", ";")


def _join(url: str, code: str) -> SparkConnectClient:
    """Join the newest session for this code that is not closed; the server makes it if there is none."""
    pairs = [proto.KeyValue(key=key, value=value) for key, value in _PROPERTIES.items()]
    properties: Any = proto.ConfigRequest.Operation(set=proto.ConfigRequest.Set(pairs=pairs))
    for generation in range(_GENERATIONS_MAX):
        client = connect(url, str(uuid5(SESSION_NAMESPACE, f"{code}/{generation}")))
        try:
            client.config(properties)
        except (PySparkException, grpc.RpcError) as error:
            client.close()
            if _CLOSED not in str(error):
                raise
        else:
            return client
    raise EngineFailedError(
        f"the Spark Connect server has closed {_GENERATIONS_MAX} sessions of this code",
        remedy="restart it, which makes it forget them",
    )
