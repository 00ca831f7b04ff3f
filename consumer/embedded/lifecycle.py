"""One component's life inside the supervisor: start until it works, stop, kill, pause, probe."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import closing

from consumer.embedded.component import Component, NotReadyError
from consumer.embedded.control import ComponentStatus, State
from consumer.embedded.errors import ComponentNotReadyError, PortTakenError
from consumer.embedded.ports import LOOPBACK
from consumer.embedded.process import ServerProcess
from consumer.embedded.process_tree import descendants

_POLL_S = 0.05
_CONNECT_TIMEOUT_S = 1.0


class Lifecycle:
    """Runs one component. All methods belong to the event loop's thread; slow work goes to other threads.

    Server processes are created on the loop's own thread, because the kernel binds them to their creator's life.
    """

    def __init__(self, component: Component, report: Callable[[str], None]) -> None:
        self.component = component
        self._report = report
        self._process: ServerProcess | None = None
        self._state = State.STOPPED
        self._seconds: float | None = None
        self._busy = asyncio.Lock()

    def status(self) -> ComponentStatus:
        """The state as last known, without asking the server."""
        process = self._process
        return ComponentStatus(
            name=self.component.name,
            state=self._state,
            pid=process.pid if process is not None and self._state is not State.EXITED else None,
            seconds=self._seconds,
            detail=self._epitaph(process) if process is not None and self._state is State.EXITED else "",
        )

    def notice_exit(self) -> None:
        """Record that the server has ended by itself, if it has; called every so often."""
        running = self._state in {State.READY, State.PAUSED}
        if running and self._process is not None and self._process.exit_code() is not None:
            self._state = State.EXITED
            self._report(f"ended by itself, {self._epitaph(self._process)}")

    async def start(self) -> None:
        """Start the server and wait until a real operation succeeds; nothing to do when it runs.

        Raises:
            PortTakenError: if another process holds its port.
            EmbeddedStackError: if it does not become ready in time.
        """
        async with self._busy:
            if self._state in {State.READY, State.PAUSED}:
                return
            began = time.monotonic()
            self._state = State.STARTING
            self._report("starting")
            try:
                await asyncio.to_thread(self.component.prepare)
                launch = self.component.launch()
                self._process = ServerProcess(launch, self.component.log_file)
                # What is prepared may have to be downloaded first, which takes as long as it takes.
                await self._until_ready(self._process, time.monotonic() + self.component.start_deadline_s)
            except BaseException:
                await self._end_quietly()
                raise
            self._seconds = time.monotonic() - began
            self._state = State.READY
            self._report(f"ready in {self._seconds:.1f} s")

    async def stop(self) -> None:
        """End the server in an orderly way, with a bound."""
        async with self._busy:
            process = self._process
            if process is not None:
                await asyncio.to_thread(process.stop, self.component.stop_signal, self.component.stop_grace_s)
            self._forget("stopped")

    async def kill(self) -> None:
        """End the server as a crash would."""
        async with self._busy:
            process = self._process
            if process is not None:
                await asyncio.to_thread(process.kill)
            self._forget("killed")

    def pause(self) -> None:
        """Freeze the server and all its children; connections stay open and nobody answers."""
        self._signal_all(signal.SIGSTOP)
        self._state = State.PAUSED

    def resume(self) -> None:
        """Let a frozen server go on."""
        self._signal_all(signal.SIGCONT)
        self._state = State.READY

    async def probe(self) -> ComponentStatus:
        """Do a real operation now and say how it went."""
        if self._state is not State.READY:
            return self.status()
        began = time.monotonic()
        try:
            await asyncio.to_thread(self.component.probe)
        except NotReadyError as error:
            silent = {"state": State.SILENT, "seconds": time.monotonic() - began, "detail": str(error)}
            return self.status().model_copy(update=silent)
        return self.status().model_copy(update={"seconds": time.monotonic() - began})

    async def _until_ready(self, process: ServerProcess, deadline: float) -> None:
        component = self.component
        answer = "nothing listened on its port"
        while time.monotonic() < deadline:
            if process.exit_code() is not None:
                kind = PortTakenError if component.port_taken.search(process.log_tail(200)) else ComponentNotReadyError
                raise kind(
                    f"{component.name} ended while starting, {self._epitaph(process)}",
                    remedy=f"the lines above name the cause; all of the log is in {component.log_file}",
                )
            if await _listens(component.port):
                try:
                    await asyncio.to_thread(component.probe)
                except NotReadyError as error:
                    answer = str(error)
                else:
                    return
            await asyncio.sleep(_POLL_S)
        raise ComponentNotReadyError(
            f"{component.name} was not ready after {component.start_deadline_s:.0f} s ({answer}); last lines of "
            f"{component.log_file}:\n{process.log_tail()}",
            remedy="the machine may be overloaded: free CPU or memory and start again",
        )

    async def _end_quietly(self) -> None:
        if self._process is not None:
            await asyncio.shield(asyncio.to_thread(self._process.kill))
        self._forget("start given up")

    def _forget(self, outcome: str) -> None:
        if self._process is not None:
            self.component.clean_up()
            self._report(outcome)
        self._process = None
        self._state = State.STOPPED

    def _signal_all(self, number: signal.Signals) -> None:
        process = self._process
        if process is None or process.exit_code() is not None:
            raise ComponentNotReadyError(f"{self.component.name} does not run", remedy="start it first")
        for member in descendants(process.pid):
            member.send(number)
        process.signal_group(number)

    def _epitaph(self, process: ServerProcess) -> str:
        return f"exit code {process.exit_code()}; last lines of {self.component.log_file}:\n{process.log_tail()}"


async def _listens(port: int) -> bool:
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
    except (OSError, TimeoutError):
        return False
    with closing(writer):
        return True
