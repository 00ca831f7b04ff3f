"""What a table's engine does to rows by itself, and what that means for rows that are offloaded once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_AS_THE_PARTS_HOLD_THEM = "rows are offloaded as the parts hold them at that moment, without FINAL: "

_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "ReplacingMergeTree": "versions that a later merge replaces are offloaded too, and stay in the target",
        "CollapsingMergeTree": "cancelled rows and their cancellations are both offloaded, and stay in the target",
        "VersionedCollapsingMergeTree": (
            "cancelled rows and their cancellations are both offloaded, and stay in the target"
        ),
        "SummingMergeTree": "rows that a later merge adds up are offloaded one by one",
        "AggregatingMergeTree": "states that a later merge combines are offloaded one by one",
        "CoalescingMergeTree": "rows that a later merge combines are offloaded one by one",
        "GraphiteMergeTree": "rows that a later rollup thins out are offloaded one by one",
    }
)

ENGINE_REMEDY = (
    "set mode: latest-version, where the sorting key holds the time column (docs/how-to/choose-a-mode.md); or keep the"
    " version or sign column in the target and let readers take the last state; or offload a plain MergeTree table with"
    " the final rows"
)


def merge_semantics(engine: str) -> str | None:
    """Return what the engine's merges mean for an offload; ``None`` where they leave rows alone."""
    meaning = _MEANINGS.get(_family(engine))
    return None if meaning is None else f"{engine}: {_AS_THE_PARTS_HOLD_THEM}{meaning}"


_COMBINING = frozenset({"SummingMergeTree", "AggregatingMergeTree", "CoalescingMergeTree", "GraphiteMergeTree"})


def merges_combine_rows(engine: str) -> bool:
    """Tell whether the engine's merges make new rows out of others: then no new row can be told from a late one."""
    return _family(engine) in _COMBINING


def merges_remove_rows(engine: str) -> bool:
    """Tell whether the engine's merges make rows go, so that fewer rows are no loss."""
    return _family(engine) in _MEANINGS


def merges_keep_versions(engine: str) -> bool:
    """Tell whether a query with FINAL shows the rows as they are once everything is merged."""
    return merges_remove_rows(engine) and _family(engine) != "GraphiteMergeTree"


def _family(engine: str) -> str:
    return engine.removeprefix("Replicated").removeprefix("Shared")
