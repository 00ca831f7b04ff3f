"""The setting of a run: servers, processes, time; and the judge that looks on after every rule."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from consumer.domain.event_factory import tick
from consumer.domain.window import BEGINNING, Window
from consumer.service.replacing.review import Choice
from consumer.service.rewinding.examined import Wish
from consumer.testing.broker import BrokerMessage
from consumer.testing.group_member import MemoryMember
from consumer.testing.rows import Row
from tests.simulation.foreign import Foreign
from tests.simulation.invariants import Invariants
from tests.simulation.kernel import Kernel, Thread, Trap
from tests.simulation.processes import CommandProcess, ConsumerProcess, Simulated
from tests.simulation.servers import Servers

P = TypeVar("P", bound=Simulated)

SESSION = 45.0
"""Seconds after which the group expels a member whose process is dead."""


class Setting:
    """What a run takes place in; :class:`tests.simulation.world.World` adds the rules."""

    def __init__(self, *, two_step: bool = False) -> None:
        self.kernel = Kernel()
        self.servers = Servers(self.kernel, two_step=two_step)
        self.counts = self.servers.counts
        self.processes: dict[str, Simulated] = {}
        self.foreign_writer = Foreign(self.servers)
        self.invariants = Invariants(self.servers)
        self._born = 0
        self._last: Thread | None = None
        self._silent: deque[tuple[float, MemoryMember]] = deque()

    def play(self, rule: str, *numbers: int) -> None:
        """Play a rule, and check that everything is as it must be.

        Raises:
            Violation: if something is not.
        """
        self.servers.truth.step += 1
        self.counts[f"rule {rule}"] += 1
        if self.kernel.story is not None:
            self.kernel.story.append(f"{self.servers.truth.step}. {rule}{numbers}")
        getattr(self, rule)(*numbers)
        self.bury()
        self.invariants.check()

    def close(self) -> None:
        """End all threads."""
        self.kernel.close()

    def of(self, kind: type[P]) -> list[P]:
        """Return the living processes of a kind."""
        return [process for process in self.processes.values() if isinstance(process, kind)]

    def begin(self, kind: Callable[[Kernel, Servers, str], Simulated], letter: str) -> None:
        """Start a process."""
        self._born += 1
        process = kind(self.kernel, self.servers, f"{letter}{self._born}")
        self.processes[process.name] = process

    def command(self, work: Callable[[CommandProcess], object]) -> None:
        """Start a command of an operator."""
        self.begin(lambda kernel, servers, name: CommandProcess(kernel, servers, name, work), "o")

    def standing(self) -> list[str]:
        """Return the points that threads stand at which could go on."""
        return [thread.at for thread in self.kernel.ready() if thread.at is not None]

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.kernel.now += seconds
        self.servers.sync()
        while self._silent and self._silent[0][0] <= self.kernel.now:
            self.servers.broker.expel(self._silent.popleft()[1])

    def bury(self) -> None:
        """Take away processes that have ended: what is left of their threads dies with them."""
        for process in [process for process in self.processes.values() if process.ended]:
            self.kill(process)

    def kill(self, process: Simulated) -> None:
        """End a process."""
        self.kernel.kill(process)
        del self.processes[process.name]
        if isinstance(process, ConsumerProcess):
            self._silent.append((self.kernel.now + SESSION, process.member))

    def take_down(self, servers: set[str]) -> None:
        """Make these servers unreachable, and no others."""
        self.servers.network.down = servers
        self.servers.broker.down = "broker" in servers

    def resume(self, thread: Thread, points: int, order: str | None = None) -> None:
        """Let a thread pass some points; if it comes into a trap, that springs."""
        self._last = thread
        self.kernel.resume(thread, points, order)
        trap, thread.trapped = thread.trapped, None
        if trap is not None and trap.spring is not None and not thread.done:
            trap.spring(thread)

    def set_trap(self, point: str, trap: Trap) -> None:
        """Set a trap at a point; a thread that stands there already is in it."""
        standing = [thread for thread in self.kernel.ready() if thread.at == point]
        if not standing:
            self.kernel.traps[point] = trap
        elif trap.spring is not None:
            trap.spring(standing[0])
        else:
            self.resume(standing[0], 1, trap.order)

    def choose(self, which: int) -> Simulated | None:
        """Return one of the living processes."""
        living = list(self.processes.values())
        return living[which % len(living)] if living else None

    def stream(self, which: int) -> str:
        """Return one of the streams."""
        names = list(self.servers.streams)
        return names[which % len(names)]

    def insert_rows(self, stream: str, rows: Sequence[Row]) -> None:
        """Put rows into a stream's source."""
        known = self.servers.truth.streams[stream]
        self.counts["rows inserted"] += len(rows)
        self.counts["rows late"] += sum(row.ts < known.watermark for row in rows)
        self.servers.source.insert(self.servers.streams[stream].source, rows)
        self.servers.truth.inserted(stream, rows)

    def messages(self, which: int) -> Sequence[BrokerMessage]:
        """Return the messages of one of the partitions."""
        broker = self.servers.broker
        return broker.messages(broker.partitions[which % len(broker.partitions)])


def halting(stream: str) -> Callable[[CommandProcess], object]:
    """Return the command that halts a stream."""
    return lambda process: process.ledger.halt(stream, reason="halted by the operator", remedy="resume it", epoch=None)


def pausing(stream: str) -> Callable[[CommandProcess], object]:
    """Return the command ``icehaul pause``."""

    def pause(process: CommandProcess) -> None:
        with process.failpoints.around("stream.pause"):
            process.ledger.pause(stream, reason=f"halted by the operator {process.name}", remedy="resume it")

    return pause


def repairing(stream: str) -> Callable[[CommandProcess], object]:
    """Return the command ``icehaul repair --yes``."""
    return lambda process: process.repairs().repair(process.servers.streams[stream])


def resuming(stream: str) -> Callable[[CommandProcess], object]:
    """Return the command ``icehaul resume --accept-findings``."""

    def resume(process: CommandProcess) -> None:
        process.ledger.accept(stream)
        with process.failpoints.around("stream.resume"):
            process.ledger.resume(stream)

    return resume


def backfilling(stream: str, lower: datetime, upper: datetime) -> Callable[[CommandProcess], object]:
    """Return the command ``icehaul backfill``."""
    return lambda process: process.backfills().request(process.servers.streams[stream], lower, upper)


def calling_off(stream: str) -> Callable[[CommandProcess], object]:
    """Return the command ``icehaul backfill --cancel``."""
    return lambda process: process.backfills().cancel(process.servers.streams[stream])


def replacing(stream: str) -> Callable[[CommandProcess], object]:
    """Replace every window of a stream that differs from the source, whatever goes by that."""

    def replace(process: CommandProcess) -> None:
        record = process.ledger.read([stream]).get(stream)
        if record is not None and record.watermark > BEGINNING:
            ever = Window(lower=BEGINNING, upper=record.watermark)
            chosen = process.servers.streams[stream]
            process.replacements().replace(chosen, Choice(within=ever, remove_rows=True))

    return replace


def rewinding(stream: str, back: timedelta, reason: str | None) -> Callable[[CommandProcess], object]:
    """Return the command ``icehaul rewind``, to so much before the watermark; with a reason rows may be given up."""

    def rewind(process: CommandProcess) -> None:
        record = process.ledger.read([stream]).get(stream)
        if record is not None:
            to = max(record.start, record.watermark - min(back, record.watermark - BEGINNING))
            process.rewinds().rewind(process.servers.streams[stream], Wish(to=to, reason=reason))

    return rewind


def offloading(stream: str) -> Callable[[CommandProcess], object]:
    """Return the command ``icehaul offload``."""
    return lambda process: process.offload().run(
        tick(stream=stream, boundary=process.servers.source.time), process.threads.signal()
    )
