"""Everything that can happen in a run: each thing is a rule that takes whole numbers, all of which mean something."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from consumer.domain.event_factory import tick
from consumer.testing.rows import Row
from tests.simulation.kernel import Thread, Trap
from tests.simulation.processes import CommandProcess, ConsumerProcess, EmitterProcess
from tests.simulation.setting import (
    SESSION,
    Setting,
    backfilling,
    calling_off,
    halting,
    offloading,
    pausing,
    repairing,
    replacing,
    resuming,
    rewinding,
)
from tests.simulation.wires import AIMS, TWO_STEP_AIMS, UNAVAILABLE, faults

CONSUMERS = 3
EMITTERS = 2
COMMANDS = 2
IDLE = (1e-6, 1.0, 11.0, 31.0, 61.0)
"""Seconds that pass, beyond what somebody waits for, where nobody has anything to do."""
BURSTS = (1, 2, 3, 4, 6, 9, 14, 25)
"""How many points a thread may pass at once."""
LEAPS = (0.3, 2.0, 11.0, 16.0, 31.0, 65.0, 600.0, 4000.0, 50_000.0)
"""Seconds that may pass at once: below and above the time-outs, leases and ticks of the service."""
SKEWS = (-7200, -45, -20, 20, 45, 7200)
SETTLED = 31.0
"""Seconds after which rows of all streams but those with a row span are final."""
BACKS = (0, 0, 0, 1, 20, 40, 300, 3600, 90_000, 260_000)
"""How many seconds before now a row's time may lie."""
HISTORY = (0, 20, 300, 3600, 40_000, 260_000, 300_000)
"""Seconds of history that are backfilled at once."""
BEFORE_START = (0, 0, 0, 0, 20, 3600)
"""How many seconds before the start a range ends: mostly none, so that a longer one ends in what was done before."""
BEHIND = (0, 7, 31, 90, 600, 3600, 40_000, 90_000, 300_000, 1_000_000)
"""How many seconds before its watermark a stream is set back to."""
DOWN = tuple(UNAVAILABLE)


class World(Setting):
    """A run. Each public method is a rule."""

    def __init__(self, *, two_step: bool = False) -> None:
        super().__init__(two_step=two_step)
        self._aims = TWO_STEP_AIMS if two_step else AIMS
        self._rows = 0

    # ------------------------------------------------------------------------------ rules: processes

    def run(self, which: int, burst: int) -> None:
        """Let a thread that can go on pass some points; if none can, time passes until one can."""
        ready = self.kernel.ready()
        if any(thread.works for thread in ready):
            # More often one that works: the others find nothing new, mostly.
            candidates = [thread for thread in ready if thread.works] * 3 + ready
            self.resume(candidates[which % len(candidates)], BURSTS[burst % len(BURSTS)])
            return
        if not ready:
            deadline = self.kernel.next_deadline() or 0.0
            self.advance(max(0.0, deadline - self.kernel.now) + IDLE[which % len(IDLE)])
            ready = self.kernel.ready()
        # Nobody works: all the others look whether there is something to do.
        turn = which % max(1, len(ready))
        for thread in ready[turn:] + ready[:turn]:
            if not thread.done:
                self.resume(thread, BURSTS[burst % len(BURSTS)])

    def go_on(self, burst: int) -> None:
        """Let the thread that ran last pass some more points, if it can."""
        if self._last in self.kernel.ready():
            self.resume(self._last, BURSTS[burst % len(BURSTS)])
        else:
            self.run(0, burst)

    def fault(self, aim: int, how: int) -> None:
        """Something goes wrong for the next thread that comes to a point."""
        point = self._aims[aim % len(self._aims)]
        orders = faults(point)
        self.set_trap(point, Trap(order=orders[how % len(orders)]))

    def oversleep(self, aim: int) -> None:
        """The next process that comes to a point stands still there until its lease is over and the group expels it."""
        self.set_trap(self._aims[aim % len(self._aims)], Trap(spring=self._oversleep))

    def crash_at(self, aim: int) -> None:
        """The next process that comes to a point dies there: its memory is gone."""
        self.set_trap(self._aims[aim % len(self._aims)], Trap(spring=self._die))

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
        process = self.choose(which)
        if process is not None:
            process.stop()

    def crash(self, which: int) -> None:
        """A process dies where it stands: its memory is gone."""
        process = self.choose(which)
        if process is not None:
            self.kill(process)

    def freeze(self, which: int) -> None:
        """A process stands still, as after SIGSTOP."""
        process = self.choose(which)
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
        """A server can't be reached for a while."""
        self.take_down(self.servers.network.down | {DOWN[which % len(DOWN)]})

    def restore(self, which: int) -> None:
        """A server that is down is there again."""
        down = sorted(self.servers.network.down)
        self.take_down(set(down) - {down[which % len(down)]})

    # ------------------------------------------------------------------------------ rules: hot tier

    def insert(self, stream: int, count: int, back: int) -> None:
        """Rows arrive, some of them alike, some of one instant, some below the watermark."""
        name = self.stream(stream)
        now = self.servers.source.time
        ts = now - timedelta(seconds=BACKS[back % len(BACKS)])
        step = timedelta(seconds=(0, 0, 7, 4000)[(count + back) % 4])
        rows = []
        for number in range(1 + count % 6):
            self._rows += 1
            rows.append(Row(ts=min(now, ts + number * step), seq=self._rows, value=self._rows))
        if count % 3 == 0:
            rows += rows[-1:] * 2
        self.counts["rows alike"] += len(rows) - 1 - count % 6
        self.insert_rows(name, rows)

    def feed(self, stream: int, count: int) -> None:
        """Rows arrive, become final, and an event asks for them."""
        self.insert(stream, count, 0)
        self.advance((SETTLED, 2 * SETTLED)[count % 2])
        self.tick(stream, 0)

    def repeat_row(self, stream: int, which: int) -> None:
        """A row arrives that the source holds already."""
        name = self.stream(stream)
        rows = self.servers.source.tables[self.servers.streams[name].source]
        if rows:
            self.counts["rows alike"] += 1
            self.insert_rows(name, [rows[which % len(rows)]])

    def remove_rows(self, stream: int, which: int) -> None:
        """Rows go: a TTL, a mutation."""
        name = self.stream(stream)
        source = self.servers.streams[name].source
        rows = self.servers.source.tables[source]
        if rows:
            row = rows[which % len(rows)]
            doomed = (lambda each: each.ts <= row.ts) if which % 4 == 0 else (lambda each: each == row)
            gone = self.servers.source.delete(source, doomed)
            self.counts["rows removed"] += len(gone)
            self.servers.truth.deleted(name, gone)

    def change_row(self, stream: int, which: int) -> None:
        """A mutation changes a row."""
        name = self.stream(stream)
        source = self.servers.streams[name].source
        rows = self.servers.source.tables[source]
        if rows:
            old = rows[which % len(rows)]
            new = replace(old, value=old.value + 1)
            alike = [row for row in rows if row == old]
            self.servers.source.update(source, lambda row: new if row == old else row)
            self.counts["rows changed"] += len(alike)
            self.servers.truth.deleted(name, alike)
            self.servers.truth.inserted(name, [new] * len(alike))

    # ------------------------------------------------------------------------------ rules: broker

    def tick(self, stream: int, ahead: int) -> None:
        """A producer asks for a cutoff, past or future."""
        name = self.stream(stream)
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
        messages = self.messages(partition)
        if messages:
            message = messages[which % len(messages)]
            self.servers.broker.put(message.at, message.event)

    def lose_event(self, partition: int, later: int) -> None:
        """The newest event never comes, or comes later than it should."""
        messages = self.messages(partition)
        if messages:
            lost = self.servers.broker.lose(messages[-1].at, messages[-1].number)
            if later % 2 and lost is not None:
                self.servers.broker.put(lost.at, lost.event)

    def expel(self, which: int) -> None:
        """The group expels a member that it has not heard from."""
        members = self.servers.broker.members
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
        self.foreign_writer.commit(self.stream(stream), what)

    def interfere(self, what: int) -> None:
        """Another writer commits to the table of the next publish that is staged, before its transaction."""

        def spring(thread: Thread) -> None:
            staged = self.servers.truth.writes(thread.name)
            if staged is not None:
                self.foreign_writer.commit(staged, what)

        self.set_trap("publish.after-stage", Trap(spring=spring))

    def roll_back(self, stream: int, which: int) -> None:
        """Somebody rolls a table back, and the next event finds it so."""
        self.foreign_writer.roll_back(self.stream(stream), which)
        self.tick(stream, which)

    def put_back(self, stream: int) -> None:
        """Somebody puts a table back that was rolled back."""
        self.foreign_writer.put_back(self.stream(stream))

    def finish(self, landed: int) -> None:
        """Commits whose reply was lost land, or don't."""
        self.counts["commits under way"] += self.servers.database.under_way + self.servers.catalog.under_way
        self.servers.database.finish(landed=landed % 2 == 0)
        self.servers.catalog.finish(landed=landed % 2 == 0)

    def operate(self, stream: int, what: int) -> None:
        """An operator halts a stream, resumes it, or offloads it by hand."""
        commands = (halting, pausing, resuming, resuming, offloading, offloading)
        if len(self.of(CommandProcess)) < COMMANDS:
            self.command(commands[what % len(commands)](self.stream(stream)))

    def backfill(self, stream: int, back: int, length: int) -> None:
        """An operator asks for a range of history with rows; some ranges make no sense, some are known already."""
        # Only these have history below their start.
        name = ("bars", "quotes")[stream % 2]
        if len(self.of(CommandProcess)) < COMMANDS:
            upper = self.servers.streams[name].begins - timedelta(seconds=BEFORE_START[back % len(BEFORE_START)])
            lower = upper - timedelta(seconds=HISTORY[length % len(HISTORY)])
            self._rows += 1
            step = (upper - lower) / 3
            self.insert_rows(name, [Row(ts=lower + n * step, seq=self._rows, value=n) for n in range(back % 4)])
            self.command(backfilling(name, lower, upper))

    def call_off(self, stream: int) -> None:
        """An operator cancels what is being backfilled."""
        if len(self.of(CommandProcess)) < COMMANDS:
            self.command(calling_off(("bars", "quotes")[stream % 2]))

    def repair(self, stream: int) -> None:
        """An operator makes the ledger follow the table, whether that is needed or not."""
        if len(self.of(CommandProcess)) < COMMANDS:
            self.command(repairing(self.stream(stream)))

    def replace_rows(self, stream: int) -> None:
        """An operator replaces what differs from the source."""
        if len(self.of(CommandProcess)) < COMMANDS:
            self.command(replacing(self.stream(stream)))

    def rewind(self, stream: int, back: int) -> None:
        """An operator sets a stream back, and gives up rows that the source does not hold any more, or does not."""
        if len(self.of(CommandProcess)) < COMMANDS:
            seconds = timedelta(seconds=BEHIND[back % len(BEHIND)])
            self.command(rewinding(self.stream(stream), seconds, "the operator insists" if back % 3 else None))

    # ------------------------------------------------------------------------------ what traps do

    def _oversleep(self, thread: Thread) -> None:
        process = thread.process
        process.frozen = True
        self.counts[f"overslept at {thread.at}"] += 1
        self.advance(SESSION + 1)
        if isinstance(process, ConsumerProcess):
            self.servers.broker.expel(process.member)

    def _die(self, thread: Thread) -> None:
        self.counts[f"killed at {thread.at}"] += 1
        self.kill(self.processes[thread.process.name])
