"""What becomes of a window that differs, in the modes in which the cold tier follows the hot one; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from consumer.domain.reconcile import Difference, Finding, FindingKind, RecordedWindow
from consumer.domain.stream import Mode, Stream
from consumer.domain.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingWindow:
    """A window whose rows are not the recorded ones, and what is known of the partitions that hold it.

    Attributes:
        mutated: whether a mutation was applied since it was last compared.
        whole: whether all of these partitions were there when it was last compared, and still hold their first block:
            none was dropped, exchanged or filled again.
    """

    recorded: RecordedWindow
    mutated: bool
    whole: bool


class Following(StrEnum):
    """How a window that differs is brought up to the hot tier."""

    ADD = "add"
    """Rows that the hot tier alone holds are added; those that the cold tier alone holds stay."""
    REPLACE = "replace"
    """The window's rows are replaced, unless there is a doubt about those that go."""
    LEAVE = "leave"
    """Neither is sound: an operator decides."""


def following(difference: Difference, *, removable: bool) -> Following:
    """Tell how to bring a window up to the hot tier.

    A row that goes and has a counterpart with the same sorting key was changed: nothing is lost if it is replaced. One
    without a counterpart has gone, and whether it may go from the cold tier, too, is not for the rows to say.

    Args:
        difference: of the window's rows.
        removable: whether rows that have gone were certainly deleted on purpose, and may go.
    """
    changed = difference.surplus - difference.lost
    if difference.refused and changed:
        return Following.LEAVE
    if difference.refused or not difference.surplus:
        return Following.ADD
    if not difference.lost or removable:
        return Following.REPLACE
    return Following.LEAVE if changed else Following.ADD


def removable(stream: Stream, differing: DifferingWindow, findings: Collection[Finding]) -> bool:
    """Tell whether rows that have gone from a window may go from the cold tier, as far as the window's history says.

    The configuration has to say so; no partition may have been dropped or exchanged; nothing of the window may have
    been left to an operator before; and without versions a mutation must have been at work.
    """
    window = differing.recorded.window
    left = any(one.window == window and one.kind in _LEFT for one in findings)
    told = stream.mode is Mode.LATEST_VERSION or differing.mutated
    return stream.replace.remove_rows and differing.whole and told and not left


_LEFT = frozenset({FindingKind.CHANGED, FindingKind.DELETED})


def in_turn(differing: Iterable[DifferingWindow]) -> Sequence[DifferingWindow]:
    """Return windows in the order of their turn: those first that were replaced least often, then the oldest.

    A window that changes all the time goes to the end of the queue each time it is replaced.
    """
    return sorted(differing, key=lambda one: (one.recorded.revision, one.recorded.window.lower))


def overlaps(one: Window, others: Iterable[Window]) -> bool:
    """Tell whether a window overlaps one of others."""
    return any(one.lower < other.upper and other.lower < one.upper for other in others)
