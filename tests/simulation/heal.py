"""The end of a run: every cause of trouble is taken away, and everything has to come to rest."""

from __future__ import annotations

from datetime import datetime, timedelta

from consumer.domain.window import BEGINNING
from consumer.ports import StreamState
from tests.simulation.processes import CommandProcess, ConsumerProcess, EmitterProcess
from tests.simulation.setting import repairing, resuming
from tests.simulation.truth import Violation
from tests.simulation.world import World

_ROUNDS = 600
"""How often time may pass until everything must have come to rest."""
_TURNS = 4_000
"""How often threads may be resumed until none can go on without time passing."""
_POINTS = 10_000
_BUSY, _IDLE = 1.0, 9.0
"""Seconds that pass at once, with work in flight and without: less than a third of a lease, so that none is lost."""


def heal(world: World) -> None:
    """Take away all trouble, let the world come to rest, and check the end.

    Raises:
        Violation: if something is not as it must be, or nothing comes to rest.
    """
    servers = world.servers
    world.kernel.traps.clear()
    servers.network.down.clear()
    servers.broker.down = False
    for process in world.processes.values():
        process.frozen = False
    servers.put_clocks_forward()
    target = _target(world)
    # The source's clock may have been set back behind its rows.
    world.advance(max(0.0, (max(target.values()) - servers.source.time).total_seconds()))
    for _ in range(_ROUNDS):
        # A thread may have stood right before a commit whose reply gets lost.
        servers.database.finish(landed=True)
        servers.catalog.finish(landed=True)
        _staff(world)
        _run_until_still(world)
        _resume_halted(world)
        behind, backlog = _behind(world, target), _backlog(world)
        if not behind and not backlog:
            world.invariants.check_end()
            return
        world.advance(_BUSY if backlog else _IDLE)
    raise Violation(f"nothing comes to rest: {[*behind, *backlog]}")


def _target(world: World) -> dict[str, datetime]:
    """Return the watermark that each stream has to reach: above its last row."""
    return {
        name: max((held.row.ts for held in known.rows), default=BEGINNING) + timedelta(microseconds=1)
        for name, known in world.servers.truth.streams.items()
    }


def _staff(world: World) -> None:
    if not world.of(EmitterProcess):
        world.begin(EmitterProcess, "e")
    if not world.of(ConsumerProcess):
        world.begin(ConsumerProcess, "c")


def _run_until_still(world: World) -> None:
    for _ in range(_TURNS):
        ready = world.kernel.ready()
        if not ready:
            return
        for thread in ready:
            if not thread.done:
                world.resume(thread, _POINTS)
        world.bury()
        world.invariants.check()
    raise Violation(f"threads go on without end: {[(thread.name, thread.at) for thread in world.kernel.ready()]}")


def _resume_halted(world: World) -> None:
    records = world.servers.ledger.read(list(world.servers.streams))
    if not world.of(CommandProcess):
        for name, record in records.items():
            if world.servers.truth.streams[name].rolled_back:
                world.command(repairing(name))
            elif record.state is StreamState.HALTED:
                world.command(resuming(name))


def _behind(world: World, target: dict[str, datetime]) -> list[str]:
    """Return which streams are not where they should be."""
    servers = world.servers
    records = servers.ledger.read(list(servers.streams))
    behind = [
        f"{name} has been read up to {records[name].watermark if name in records else None}, not {upper}"
        for name, upper in target.items()
        if name not in records or records[name].watermark < upper
    ]
    behind += [f"{name} is halted" for name, record in records.items() if record.state is StreamState.HALTED]
    behind += [f"the table of {name} is rolled back" for name in servers.truth.rolled_back]
    behind += [f"{name} has parked events" for name in records if servers.ledger.parked(name)]
    behind += [f"{request} is left" for name in records for request in servers.ledger.backfills.open(name)]
    late = {name: world.invariants.missing(name, known).total() for name, known in servers.truth.streams.items()}
    behind += [f"{name} misses {rows} late rows" for name, rows in late.items() if rows]
    return behind


def _backlog(world: World) -> list[str]:
    """Return which partitions have messages that are not acknowledged."""
    servers, waiting = world.servers, []
    for partition in servers.broker.partitions:
        ends, committed = [m.number for m in servers.broker.messages(partition)], servers.broker.committed
        if ends and committed.get(partition, 0) <= ends[-1]:
            waiting.append(f"{partition} is committed up to {committed.get(partition, 0)}, not {ends[-1]}")
    return waiting
