"""The process that owns a stack's components: ``python -m consumer.embedded.supervisor --dir DIR``.

It starts them side by side, answers requests, and ends with them: on request, on SIGTERM, or when the process that
owns the stack is gone. If it is killed itself, the kernel kills the components.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from consumer.domain.errors import EmbeddedStackError, IcehaulError
from consumer.embedded.assembly import build_component
from consumer.embedded.component import ComponentName
from consumer.embedded.control import MAX_LINE_BYTES, ControlAddress, Operation, Progress, Request, Response
from consumer.embedded.endpoints import Endpoints
from consumer.embedded.errors import PortTakenError
from consumer.embedded.layout import Layout
from consumer.embedded.lifecycle import Lifecycle
from consumer.embedded.locks import FileLock
from consumer.embedded.plan import load_or_create
from consumer.embedded.ports import LOOPBACK
from consumer.embedded.private_files import write_model
from consumer.embedded.process_tree import ProcessIdentity, descendants
from consumer.embedded.toolchain import Toolchain
from consumer.settings.cache import cache_directory

_PORT_ATTEMPTS = 3
_WATCH_INTERVAL_S = 0.25
_REQUEST_DEADLINE_S = 10.0
ALREADY_RUNNING = "already running"


class Supervisor:
    """The components of one stack and the requests about them."""

    def __init__(self, layout: Layout, names: Sequence[ComponentName], progress: ProgressPipe) -> None:
        self._layout = layout
        self._progress = progress
        self._toolchain = Toolchain(
            cache_directory(), layout.logs / "jars.log", announce=lambda text: progress.send(Progress(text=text))
        )
        self._plan = load_or_create(layout.plan)
        self._lives = {name: self._build(name) for name in names}
        self._token = secrets.token_urlsafe(24)
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Ask the supervisor to stop everything and end."""
        self._ended.set()

    async def run(self) -> int:
        """Start all, serve until the end, stop all; the exit code is 1 if the start failed."""
        server = await asyncio.start_server(self._serve, LOOPBACK, 0, limit=MAX_LINE_BYTES)
        port = server.sockets[0].getsockname()[1]
        write_model(self._layout.control, ControlAddress(pid=os.getpid(), port=port, token=self._token))
        ending = asyncio.create_task(self._ended.wait())
        starting = asyncio.create_task(self._start_all())
        try:
            await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and not self._report_start(starting):
                return 1
            while not ending.done():
                await asyncio.wait({ending}, timeout=_WATCH_INTERVAL_S)
                for life in self._lives.values():
                    life.notice_exit()
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            self._layout.endpoints.unlink(missing_ok=True)
            await asyncio.gather(*(life.stop() for life in self._lives.values()), return_exceptions=True)
            # Whatever a helper thread still waits for: a download, say.
            for leftover in descendants(os.getpid()):
                leftover.send(signal.SIGKILL)
            server.close()
            self._layout.control.unlink(missing_ok=True)
        return 0

    def _report_start(self, starting: asyncio.Task[None]) -> bool:
        error = _first_cause(starting.exception())
        if error is None:
            self._progress.send(Progress(text="the stack is ready", finished=True))
            return True
        remedy = error.remedy if isinstance(error, IcehaulError) else f"see {self._layout.supervisor_log}"
        message = error.message if isinstance(error, IcehaulError) else f"{type(error).__name__}: {error}"
        self._progress.send(Progress(text="the start failed", error=message, remedy=remedy, finished=True))
        return False

    async def _start_all(self) -> None:
        async with asyncio.TaskGroup() as starts:
            spark_jars = starts.create_task(asyncio.to_thread(self._toolchain.spark_jars))
            for name in self._lives:
                starts.create_task(self._start_at_free_port(name))
        self._write_endpoints(spark_jars.result())

    async def _start_at_free_port(self, name: ComponentName) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                await self._lives[name].start()
            except PortTakenError:
                if attempt == _PORT_ATTEMPTS:
                    raise
                self._plan = self._plan.with_new_ports(name)
                write_model(self._layout.plan, self._plan)
                self._lives[name] = self._build(name)
            else:
                return

    def _build(self, name: ComponentName) -> Lifecycle:
        component = build_component(name, self._plan, self._layout, self._toolchain)
        return Lifecycle(component, lambda text: self._progress.send(Progress(component=name, text=text)))

    def _write_endpoints(self, spark_jars: tuple[Path, ...]) -> None:
        plan = self._plan
        endpoints = Endpoints(
            clickhouse=plan.clickhouse,
            kafka=plan.kafka,
            postgres=plan.postgres,
            store=plan.store,
            rest_catalog=plan.rest_catalog,
            java_home=self._toolchain.java_home(),
            spark_jars=spark_jars,
            log_directory=self._layout.logs,
        )
        write_model(self._layout.endpoints, endpoints)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_DEADLINE_S):
                line = await reader.readline()
            writer.write((await self._answer(line)).model_dump_json().encode() + b"\n")
            await writer.drain()
        except (OSError, TimeoutError, ValueError):
            return  # a client that went away or sent no line concerns nobody
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Response:
        try:
            request = Request.model_validate_json(line)
        except ValidationError:
            return Response(error="the request is malformed", remedy="use the same version of icehaul")
        if not hmac.compare_digest(request.token.encode(), self._token.encode()):
            return Response(error="the token is wrong", remedy="read it from control.json again")
        try:
            return await self._obey(request)
        except IcehaulError as error:
            return Response(error=error.message, remedy=error.remedy)

    async def _obey(self, request: Request) -> Response:
        lives = list(self._lives.values())
        match request.operation:
            case Operation.STATUS:
                return Response(components=tuple(life.status() for life in lives))
            case Operation.PROBE:
                return Response(components=tuple(await asyncio.gather(*(life.probe() for life in lives))))
            case Operation.DOWN:
                self.end()
                return Response()
        life = self._lives.get(request.component) if request.component is not None else None
        if life is None:
            raise EmbeddedStackError(
                f"component '{request.component}' is not part of this stack",
                remedy=f"name one of: {', '.join(self._lives)}",
            )
        match request.operation:
            case Operation.START:
                await life.start()
            case Operation.STOP:
                await life.stop()
            case Operation.KILL:
                await life.kill()
            case Operation.PAUSE:
                life.pause()
            case Operation.RESUME:
                life.resume()
        return Response(components=(life.status(),))


class ProgressPipe:
    """Tells whoever started the stack what happens, and logs it; a reader that has left is no problem."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def send(self, step: Progress) -> None:
        """Pass one step on; the last one closes the pipe."""
        sys.stderr.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {step.line()}\n")
        if step.error is not None:
            sys.stderr.write(f"{step.error}\n")
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, step.model_dump_json().encode() + b"\n")
        except BrokenPipeError:
            self.close()
        if step.finished:
            self.close()

    def close(self) -> None:
        """End of the steps."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _first_cause(error: BaseException | None) -> BaseException | None:
    """What went wrong first, out of the group that the concurrent starts end with."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def supervise(layout: Layout, arguments: argparse.Namespace, progress: ProgressPipe) -> int:
    """Run a supervisor until it is asked to end or its owner is gone."""
    supervisor = Supervisor(layout, arguments.only or list(ComponentName), progress)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.end)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    if arguments.owner is None:
        return await supervisor.run()
    try:
        owner = os.pidfd_open(arguments.owner)
    except ProcessLookupError:
        return 0
    if ProcessIdentity.of(arguments.owner) != ProcessIdentity(arguments.owner, arguments.owner_started):
        os.close(owner)
        return 0
    # Readable as soon as the owner has ended, however it ended.
    loop.add_reader(owner, supervisor.end)
    try:
        return await supervisor.run()
    finally:
        loop.remove_reader(owner)
        os.close(owner)


def main() -> int:
    """Entry point of the supervisor process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the stack's directory")
    parser.add_argument("--only", type=ComponentName, nargs="*", help="start these components only")
    parser.add_argument("--owner", type=int, help="end when the process with this id is gone")
    parser.add_argument("--owner-started", type=int, help="the owner's start time, in clock ticks since boot")
    parser.add_argument("--progress-fd", type=int, help="write each step as a JSON line to this descriptor")
    arguments = parser.parse_args()
    layout = Layout.make(arguments.dir)
    progress = ProgressPipe(arguments.progress_fd)
    lock = FileLock(layout.lock)
    if not lock.try_acquire():
        progress.send(
            Progress(
                text="the start failed",
                error=f"a stack is {ALREADY_RUNNING} in {layout.directory}",
                remedy="use it, or end it with 'icehaul stack down' first",
                finished=True,
            )
        )
        return 1
    try:
        return asyncio.run(supervise(layout, arguments, progress))
    except IcehaulError as error:
        progress.send(Progress(text="the start failed", error=error.message, remedy=error.remedy, finished=True))
        return 1
    finally:
        progress.close()
        lock.release()


if __name__ == "__main__":
    sys.exit(main())
