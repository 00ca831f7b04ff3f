"""What the partitions of a source hold, what they held when they were last compared, and what is recorded of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from consumer.domain.following import overlaps
from consumer.domain.inventory import PartitionContent
from consumer.domain.reconcile import ComparedPartition, PartitionSpan, Suspect
from consumer.domain.window import MICROSECOND, Window
from consumer.ports import Claim, SourceTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the partitions of a source hold, and what they held when they were last compared.

    ``table`` is what the source looks like; ``None`` where it has to be described again. ``unread`` tells whether rows
    may be there that have not been read yet, ``watermark`` how far the stream had been read at that moment; ``again``
    names partitions that are to be compared whatever is known of them.
    """

    contents: Mapping[str, PartitionContent]
    recorded: Mapping[str, ComparedPartition]
    table: SourceTable | None
    unread: bool
    watermark: datetime
    again: frozenset[str] = frozenset()

    def stretches(self) -> list[Window]:
        """Return the stretches of those recorded partitions that are still there."""
        return [
            Window(lower=known.span.first, upper=known.span.last + MICROSECOND)
            for id_, known in self.recorded.items()
            if id_ in self.contents
        ]

    def gone(self, watermark: datetime) -> list[tuple[str, Window, int]]:
        """Return id, stretch below the watermark and rows of the recorded partitions that are not there any more."""
        return [
            (
                id_,
                Window(lower=known.span.first, upper=min(known.span.last + MICROSECOND, watermark)),
                known.content.rows,
            )
            for id_, known in sorted(self.recorded.items())
            if id_ not in self.contents and known.span.first < watermark
        ]


def holding(recorded: Mapping[str, ComparedPartition], stretch: Window) -> frozenset[str]:
    """Return the ids of the recorded partitions that hold rows of a stretch."""
    return frozenset(
        id_ for id_, known in recorded.items() if known.span.first < stretch.upper and stretch.lower <= known.span.last
    )


def compared_partitions(
    claim: Claim,
    seen: Observation,
    suspects: Sequence[Suspect],
    spans: Mapping[str, PartitionSpan],
    waiting: Sequence[Window],
) -> list[ComparedPartition]:
    """Return the partitions as they are compared now; not those with a window that waits, to be compared again."""
    judged = {suspect.id: suspect for suspect in suspects}
    found = [
        ComparedPartition(
            id=id_,
            content=seen.contents[id_],
            span=span,
            watermark=claim.record.watermark,
            exact=judged[id_].exact if id_ in judged else seen.recorded[id_].exact,
        )
        for id_, span in sorted(spans.items())
    ]
    return [one for one in found if not _waits(one, seen.recorded.get(one.id), waiting)]


def _waits(one: ComparedPartition, known: ComparedPartition | None, waiting: Sequence[Window]) -> bool:
    reach = [one.span] if known is None else [one.span, known.span]
    return any(overlaps(Window(lower=span.first, upper=span.last + MICROSECOND), waiting) for span in reach)
