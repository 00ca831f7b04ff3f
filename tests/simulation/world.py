"""The world of one run: servers, processes, and everything that can happen to them, each thing a rule with numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from consumer.domain.event_factory import tick
from consumer.testing.broker import BrokerMessage, MemoryMember
from consumer.testing.source import Row
from tests.simulation.foreign import Foreign
from tests.simulation.invariants import Invariants
from tests.simulation.kernel import Kernel, Thread
from tests.simulation.processes import CommandProcess, ConsumerProcess, EmitterProcess, Simulated
from tests.simulation.servers import Servers
from tests.simulation.wires import UNAVAILABLE, faults

P = TypeVar("P", bound=Simulated)

CONSUMERS = 3
EMITTERS = 2
COMMANDS = 2
BURSTS = (1, 2, 3, 5, 8, 13, 21, 34, 55)
"""How many points a thread may pass at once."""
SESSION = 45.0
"""Seconds after which the group expels a member whose process is dead."""
LEAPS = (0.3, 2.0, 11.0, 16.0, 31.0, 65.0, 600.0, 4000.0, 50_000.0)
"""Seconds that may pass at once: below and above the time-outs, leases and ticks of the service."""
SKEWS = (-7200, -45, -20, 20, 45, 7200)
BACKS = (0, 0, 0, 1, 20, 40, 300, 3600, 90_000, 260_000)
"""How many seconds before now a row's time may lie."""
DOWN = tuple(UNAVAILABLE)


class World:
    """A run. Each public method below ``rules`` is a rule: it takes whole numbers, all of which mean something."""

    def __init__(self, seed: int = 0) -> None:
        self.kernel = Kernel()
        self.servers = Servers(self.kernel, seed)
        self.counts = self.servers.counts
        self.processes: dict[str, Simulated] = {}
        self._born = 0
        self._rows = 0
        self._silent: deque[tuple[float, MemoryMember]] = deque()
        self._last: Thread | None = None
        self._foreign = Foreign(self.servers)
        self.invariants = Invariants(self.servers)

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

    # ------------------------------------------------------------------------------ rules: processes

    def run(self, which: int, burst: int) -> None:
        """Let a thread that can go on pass some points; if none can, time passes until one can."""
        ready = self.kernel.ready()
        if not ready:
            deadline = self.kernel.next_deadline()
            self.advance(max(0.0, (deadline or 0.0) - self.kernel.now) + 1e-6)
            return
        thread = ready[which % len(ready)]
        self.kernel.resume(thread, BURSTS[burst % len(BURSTS)])
        self._last = thread

    def go_on(self, burst: int) -> None:
        """Let the thread that ran last pass some more points, if it can."""
        last, ready = self._last, self.kernel.ready()
        self.run(ready.index(last) if last in ready else 0, burst)

    def fault(self, which: int, how: int) -> None:
        """Let something go wrong where a thread stands still."""
        at = [thread for thread in self.kernel.ready() if thread.at is not None and faults(thread.at)]
        if at:
            thread = at[which % len(at)]
            orders = faults(thread.at or "")
            self.kernel.resume(thread, 1, orders[how % len(orders)])
            self._last = thread

    def start(self) -> None:
        """Start a process: an emitter if there is none, else a consumer, else one more emitter."""
        emitters = len(self.of(EmitterProcess))
        if emitters == 0:
            self.begin(EmitterProcess, "e")
        elif len(self.of(ConsumerProcess)) < CONSUMERS:
            self.begin(ConsumerProcess, "c")
        elif emitters < EMITTERS:
            self.begin(EmitterProcess, "e")

    def stop(self, which: int) -> None:
        """Ask a process to end."""
        process = self._choose(which)
        if process is not None:
            process.stop()

    def crash(self, which: int) -> None:
        """A process dies where it stands: its memory is gone."""
        process = self._choose(which)
        if process is not None:
            for thread in self.kernel.threads:
                if thread.process is process and thread.at is not None:
                    self.counts[f"crash at {thread.at}"] += 1
            self.kill(process)

    def freeze(self, which: int) -> None:
        """A process stands still, as after SIGSTOP."""
        process = self._choose(which)
        if process is not None:
            process.frozen = True

    def thaw(self, which: int) -> None:
        """A process that stands still goes on."""
        frozen = [process for process in self.processes.values() if process.frozen]
        if frozen:
            frozen[which % len(frozen)].frozen = False

    def leap(self, which: int) -> None:
        """Time passes for all."""
        self.advance(LEAPS[which % len(LEAPS)])

    def skew(self, clock: int, which: int) -> None:
        """A server's clock is set forward or back."""
        self.servers.skew(("source", "ledger")[clock % 2], timedelta(seconds=SKEWS[which % len(SKEWS)]))

    def outage(self, which: int) -> None:
        """A server can't be reached, or can again."""
        server = DOWN[which % len(DOWN)]
        self.servers.network.down ^= {server}
        self.servers.broker.down = "broker" in self.servers.network.down

    # ------------------------------------------------------------------------------ rules: hot tier

    def insert(self, stream: int, count: int, back: int) -> None:
        """Rows arrive, some of them alike, some of one instant, some below the watermark."""
        name = self._stream(stream)
        now = self.servers.source.time
        ts = now - timedelta(seconds=BACKS[back % len(BACKS)])
        step = timedelta(seconds=(0, 0, 7, 4000)[(count + back) % 4])
        rows = []
        for number in range(1 + count % 6):
            self._rows += 1
            rows.append(Row(ts=min(now, ts + number * step), seq=self._rows, value=self._rows))
        if count % 3 == 0:
            rows += rows[-1:] * 2
        self._insert(name, rows)

    def repeat_row(self, stream: int, which: int) -> None:
        """A row arrives that the source holds already."""
        name = self._stream(stream)
        rows = self.servers.source.tables[self.servers.streams[name].source]
        if rows:
            self._insert(name, [rows[which % len(rows)]])

    def remove_rows(self, stream: int, which: int) -> None:
        """Rows go: a TTL, a mutation."""
        name = self._stream(stream)
        source = self.servers.streams[name].source
        rows = self.servers.source.tables[source]
        if rows:
            row = rows[which % len(rows)]
            doomed = (lambda each: each.ts <= row.ts) if which % 4 == 0 else (lambda each: each == row)
            self.servers.truth.deleted(name, self.servers.source.delete(source, doomed))

    # ------------------------------------------------------------------------------ rules: broker

    def tick(self, stream: int, ahead: int) -> None:
        """A producer asks for a cutoff, past or future."""
        name = self._stream(stream)
        boundary = self.servers.source.time + timedelta(seconds=(0, 0, 0, 60, -60, -3600, 86_400)[ahead % 7])
        partition = self.servers.broker.partition_of(name)
        self.servers.broker.put(partition, tick(stream=name, boundary=boundary))

    def garbage(self, partition: int) -> None:
        """A producer sends what is no event, or is for a stream that nobody knows."""
        broker = self.servers.broker
        at = broker.partitions[partition % len(broker.partitions)]
        broker.put(at, None if partition % 3 else tick(stream="nobody", boundary=self.servers.source.time))

    def repeat_event(self, partition: int, which: int) -> None:
        """An event comes once more, and so out of order."""
        messages = self._messages(partition)
        if messages:
            message = messages[which % len(messages)]
            self.servers.broker.put(message.at, message.event)

    def lose_event(self, partition: int, later: int) -> None:
        """The newest event never comes, or comes later than it should."""
        messages = self._messages(partition)
        if messages:
            lost = self.servers.broker.lose(messages[-1].at, messages[-1].number)
            if later % 2 and lost is not None:
                self.servers.broker.put(lost.at, lost.event)

    def expel(self, which: int) -> None:
        """The group expels a member that it has not heard from."""
        members = self.servers.broker.members
        if members:
            self.servers.broker.expel(members[which % len(members)])

    def reassign(self) -> None:
        """The group hands its partitions out anew."""
        self.servers.broker.reassign()

    def replay(self, partition: int, back: int) -> None:
        """An operator resets the group's offset to an earlier one."""
        broker = self.servers.broker
        at = broker.partitions[partition % len(broker.partitions)]
        offset = broker.committed.get(at, 0)
        broker.reset(at, max(0, offset - 1 - back))
        self.counts["replayed"] += offset > 0

    # ------------------------------------------------------------------------------ rules: cold tier, operator

    def foreign(self, stream: int, what: int) -> None:
        """Another writer commits to a table."""
        self._foreign.commit(self._stream(stream), what)

    def roll_back(self, stream: int, which: int) -> None:
        """Somebody rolls a table back."""
        self._foreign.roll_back(self._stream(stream), which)

    def put_back(self, stream: int) -> None:
        """Somebody puts a table back that was rolled back."""
        self._foreign.put_back(self._stream(stream))

    def finish(self, landed: int) -> None:
        """Commits whose reply was lost land, or don't."""
        self.counts["commits under way"] += self.servers.database.under_way
        self.servers.database.finish(landed=landed % 2 == 0)

    def operate(self, stream: int, what: int) -> None:
        """An operator halts a stream, resumes it, or offloads it by hand."""
        commands = (halting, resuming, resuming, offloading, offloading)
        if len(self.of(CommandProcess)) < COMMANDS:
            self.command(commands[what % len(commands)](self._stream(stream)))

    # ------------------------------------------------------------------------------ helpers

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

    def _choose(self, which: int) -> Simulated | None:
        living = list(self.processes.values())
        return living[which % len(living)] if living else None

    def _stream(self, which: int) -> str:
        names = list(self.servers.streams)
        return names[which % len(names)]

    def _insert(self, stream: str, rows: Sequence[Row]) -> None:
        self.servers.source.insert(self.servers.streams[stream].source, rows)
        self.servers.truth.inserted(stream, rows)

    def _messages(self, which: int) -> Sequence[BrokerMessage]:
        broker = self.servers.broker
        return broker.messages(broker.partitions[which % len(broker.partitions)])


def halting(stream: str) -> Callable[[CommandProcess], object]:
    """Return the command that halts a stream."""
    return lambda process: process.ledger.halt(stream, reason="halted by the operator", remedy="resume it", epoch=None)


def resuming(stream: str) -> Callable[[CommandProcess], object]:
    """Return the command ``icehaul resume``."""
    return lambda process: process.ledger.resume(stream)


def offloading(stream: str) -> Callable[[CommandProcess], object]:
    """Return the command ``icehaul offload``."""
    return lambda process: process.offload().run(
        tick(stream=stream, boundary=process.servers.source.time), process.threads.signal()
    )
