"""What is due when a tick was sent: how far each stream has to be read before its tick counts as followed; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from graphlib import TopologicalSorter

from consumer.domain.planning import Cutoff, find_cutoff
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING

CLOCKS_APART = timedelta(seconds=1)
"""How far the clocks of servers behind one ClickHouse address may be apart: the consumer may ask another one."""


def find_due(
    ticked: Collection[str],
    streams: Mapping[str, Stream],
    *,
    asked: datetime,
    now: datetime,
    watermarks: Mapping[str, datetime],
) -> dict[str, Cutoff]:
    """Return the watermark that each ticked stream is due to reach.

    It is the cutoff at the moment of sending, by the planner's own rule. A consumer handles the tick later, when no
    bound is earlier, so it reads at least as far. An upstream that is sent a tick as well counts as having followed
    its own, for its commit wakes its dependants.

    Args:
        ticked: names of the streams that are sent a tick.
        streams: all configured streams by name; their upstreams form no cycle.
        asked: cutoff of the ticks.
        now: the source server's time, read before they are sent.
        watermarks: watermark of every stream that has one, read before they are sent.
    """
    due: dict[str, Cutoff] = {}
    graph = {name: [one for one in streams[name].upstreams if one in ticked] for name in ticked}
    for name in TopologicalSorter(graph).static_order():
        reached = {one: watermarks.get(one, BEGINNING) for one in streams[name].upstreams}
        due[name] = find_cutoff(
            streams[name],
            event_cutoff=asked,
            now=now - CLOCKS_APART,
            upstreams={one: max(at, due[one].instant) if one in due else at for one, at in reached.items()},
        )
    return {name: due[name] for name in ticked}
