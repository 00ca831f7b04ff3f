"""Which manifests an append merges, so that neither their number nor the cost of merging grows with history; pure.

A manifest's *level* is how many digits the number of its live files has beyond the first, to the base of the fan-in.
Once a level has as many manifests as the fan-in, they become one of the next level. So a file's entry is written once
for each level, not with every merge as where new manifests go into a large one; and a level has fewer manifests than
the fan-in, besides those that are large enough to be left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """How much a manifest holds: live data files, and bytes of its own."""

    files: int
    bytes: int


def to_merge(weights: Sequence[Weight], *, fan_in: int, target_bytes: int) -> list[int]:
    """Return the positions of the manifests that become one with the next append, ascending; none most often.

    Args:
        weights: the manifests of one partition spec, newest first.
        fan_in: how many manifests of a level are merged, 2 at least.
        target_bytes: how large a merged manifest becomes at most, which bounds what one append writes anew; one of
            more than half of that is left alone, so that any two others have room in one.
    """
    levels: dict[int, list[int]] = {}
    for position, weight in enumerate(weights):
        if weight.bytes <= target_bytes // 2:
            levels.setdefault(_level(weight.files, fan_in), []).append(position)
    full = min((level for level, members in levels.items() if len(members) >= fan_in), default=None)
    if full is None:
        return []
    merged = list(levels[full])
    # What a level becomes counts for one of the next level, and is not written in between.
    while len(levels.get(full + 1, ())) + 1 >= fan_in:
        full += 1
        merged += levels[full]
    return _oldest_within(sorted(merged), weights, target_bytes)


def _level(files: int, fan_in: int) -> int:
    level = 0
    while files >= fan_in:
        files //= fan_in
        level += 1
    return level


def _oldest_within(positions: Sequence[int], weights: Sequence[Weight], target_bytes: int) -> list[int]:
    room = target_bytes
    chosen: list[int] = []
    for position in reversed(positions):
        room -= weights[position].bytes
        if room < 0:
            break
        chosen.append(position)
    return sorted(chosen)
