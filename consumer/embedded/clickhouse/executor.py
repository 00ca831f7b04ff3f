"""Runs one request: reads the statement, brings its data to the engine, and the result back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from consumer.embedded.clickhouse.body import PlainBody
from consumer.embedded.clickhouse.engine import TAG_SETTING, Engine, Handle, Outcome, quote
from consumer.embedded.clickhouse.errors import ErrorCode, QueryError
from consumer.embedded.clickhouse.external import ExternalTable
from consumer.embedded.clickhouse.limits import Limits
from consumer.embedded.clickhouse.reply import Reply
from consumer.embedded.clickhouse.request import QueryRequest
from consumer.embedded.clickhouse.rows import PipedRows, into_file, run_to_file
from consumer.embedded.clickhouse.running import Running, RunningQueries
from consumer.embedded.clickhouse.sessions import Sessions
from consumer.embedded.clickhouse.spool import Spool
from consumer.embedded.clickhouse.statement import InsertWithData, Kind, Statement, read

_HEAD_BYTES = 256 * 1024
"""ClickHouse's default of max_query_size: the head of an INSERT is within the first so many bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A request on its way through the engine."""

    request: QueryRequest
    running: Running
    handle: Handle
    cancel_peer: socket.socket | None

    def run(self, sql: bytes) -> Outcome:
        return self.handle.run(sql, output_format=self.request.default_format, parameters=self.request.parameters)


class Executor:
    """Everything requests share."""

    def __init__(
        self, engine: Engine, sessions: Sessions, running: RunningQueries, spool: Spool, limits: Limits
    ) -> None:
        self._engine = engine
        self._sessions = sessions
        self._running = running
        self._spool = spool
        self._limits = limits
        self._threads = ThreadPoolExecutor(limits.queries_max, thread_name_prefix="query")

    def execute(
        self,
        request: QueryRequest,
        running: Running,
        body: PlainBody,
        tables: list[ExternalTable],
        *,
        peer: socket.socket,
        resources: ExitStack,
    ) -> Reply:
        """Run the request; a reply that is a stream needs ``resources`` until its end, any other no longer.

        Raises:
            QueryError: what a ClickHouse server would answer with an exception.
            ClientGoneError: if the client left and wants its query cancelled then.
        """
        text, statement = self._read_statement(request, body)
        self._check(request, statement)
        handle = resources.enter_context(self._handle(request, statement, running))
        for table in tables:
            resources.enter_context(table.loaded(handle, self._spool))
        read_only = isinstance(statement, Statement) and statement.read_only
        job = _Job(
            request=request,
            running=running,
            handle=handle,
            cancel_peer=peer if request.cancel_on_disconnect and read_only else None,
        )
        if isinstance(statement, InsertWithData):
            return self._insert(job, text, statement, body, resources)
        if statement.kind is Kind.ROWS:
            return self._rows(job, text, statement, resources)
        sql = text[: statement.end]
        if statement.keyword == "KILL":
            sql = self._running.with_engine_ids(sql)
        outcome = job.run(sql)
        result_format = (statement.format or request.default_format) if statement.has_result else None
        return Reply(body=outcome.body, format=result_format, outcome=outcome)

    def _read_statement(self, request: QueryRequest, body: PlainBody) -> tuple[bytes, Statement | InsertWithData]:
        """The statement's text, with the body as far as it was needed to tell what it is."""
        prefix = request.query + b"\n" if request.query else b""
        text = prefix + body.head(_HEAD_BYTES)
        statement = read(text)
        if isinstance(statement, InsertWithData) or body.exhausted:
            return text, statement
        text = prefix + body.head(self._limits.statement_bytes_max + 1)
        if len(text) > self._limits.statement_bytes_max:
            raise QueryError(
                f"The statement is longer than {self._limits.statement_bytes_max} bytes",
                code=ErrorCode.QUERY_IS_TOO_LARGE,
            )
        return text, read(text)

    def _check(self, request: QueryRequest, statement: Statement | InsertWithData) -> None:
        if isinstance(statement, Statement):
            if statement.kind is Kind.EMPTY:
                raise QueryError("Empty query", code=ErrorCode.SYNTAX_ERROR)
            if statement.multiple:
                raise QueryError("Syntax error (Multi-statements are not allowed)", code=ErrorCode.SYNTAX_ERROR)
            if statement.into_outfile:
                raise QueryError("INTO OUTFILE is not allowed", code=ErrorCode.INTO_OUTFILE_NOT_ALLOWED)
            if statement.from_infile:
                raise QueryError(
                    "Query has infile and was send directly to server", code=ErrorCode.UNKNOWN_TYPE_OF_QUERY
                )
            if statement.read_only:
                return
        if request.read_only:
            raise QueryError(
                "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
                "You should use method POST for modifying queries",
                code=ErrorCode.READONLY,
            )

    @contextmanager
    def _handle(
        self, request: QueryRequest, statement: Statement | InsertWithData, running: Running
    ) -> Iterator[Handle]:
        settings = {**request.settings, TAG_SETTING: running.tag}
        if request.session is None:
            handle = self._engine.open(request.rights)
            try:
                if request.database is not None:
                    handle.use(request.database)
                handle.apply(settings)
                yield handle
            finally:
                handle.close()
            return
        session = self._sessions.acquire(request.session, request.rights)
        try:
            if isinstance(statement, Statement) and statement.kind is Kind.SESSION:
                # SET and USE change the session itself; settings of the request would only blur what they changed.
                held = session.changing()
            else:
                held = session.for_one_request(settings, request.database)
            with held as handle:
                yield handle
        finally:
            self._sessions.release(request.session, request.rights)

    def _insert(self, job: _Job, text: bytes, insert: InsertWithData, body: PlainBody, resources: ExitStack) -> Reply:
        if insert.inline_values and body.exhausted:
            outcome = job.run(text)
            return Reply(body=b"", format=None, outcome=outcome)
        path = resources.enter_context(self._spool.path())
        with path.open("wb") as file:
            file.write(memoryview(text)[insert.data_start :])
            body.copy_to(file, skip=len(body.head(0)))
        outcome = job.run(_from_file(text, insert, path))
        return Reply(body=b"", format=None, outcome=outcome)

    def _rows(self, job: _Job, text: bytes, statement: Statement, resources: ExitStack) -> Reply:
        request = job.request
        result_format = statement.format or request.default_format
        coding = None if request.native_compression else request.response_coding
        waits = request.wait_end_of_query
        path = resources.enter_context(self._spool.path() if waits else self._spool.pipe())
        sql = into_file(
            text, statement, path, default_format=request.default_format, coding=coding, level=request.coding_level
        )

        def run() -> Outcome:
            return job.run(sql)

        def cancel() -> None:
            self._engine.cancel(job.running.tag)

        if waits:
            outcome = run_to_file(run, cancel, job.cancel_peer, self._threads)
            written = path.open("rb") if path.exists() else b""
            return Reply(body=written, format=result_format, outcome=outcome, coding=coding)
        piped = PipedRows(path, run, cancel, job.cancel_peer, self._threads)
        resources.callback(piped.close)
        first, finished = piped.read_ahead(request.buffer_bytes)
        return Reply(
            body=piped.rest(first) if finished is None else first,
            format=result_format,
            outcome=finished,
            coding=coding,
        )


def _from_file(text: bytes, insert: InsertWithData, path: Path) -> bytes:
    """The INSERT with its data in a file: ``FROM INFILE``, or ``file()`` in the place of ``input()``."""
    if insert.input_function is not None:
        start, arguments_start, arguments_end = insert.input_function
        arguments = text[arguments_start:arguments_end]
        call = f"file({quote(str(path))}, {quote(insert.format)}, ".encode() + arguments + b", 'none'"
        return text[:start] + call + text[arguments_end : insert.head_end]
    source = f" FROM INFILE {quote(str(path))} COMPRESSION 'none' ".encode()
    head = text[: insert.clause_start] + source + text[insert.clause_start : insert.head_end]
    return head + f" FORMAT {insert.format}".encode()
