"""What a look at a stream that is to be rewound has found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from consumer.domain.batch import Rewind
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.window import Window
from consumer.ports import StreamRecord
from consumer.service.replacing.doubt import Doubt
from consumer.service.rewinding.dependants import Ahead
from consumer.service.rewinding.files import Taken

INSIST = "--force --reason TEXT"


class Verdict(StrEnum):
    """What becomes of a stream that is to be rewound."""

    THERE = "there"
    """Its watermark is at the instant already."""
    POSSIBLE = "possible"
    REFUSED = "refused"
    REWOUND = "rewound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """To where, and why all the same: with a reason rows may go that the hot tier does not hold any more."""

    to: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A window, or the part of one above the instant, whose rows would leave the table.

    Attributes:
        cold: the rows that the table holds of it.
        hot: the rows that the hot tier holds, which the next event writes.
        missing: rows that the hot tier alone holds.
        surplus: rows that the cold tier alone holds.
        doubt: why they should stay, if something speaks for that.
    """

    window: Window
    cold: Fingerprint
    hot: Fingerprint
    missing: int
    surplus: int
    doubt: Doubt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a rewind would do, or did.

    Attributes:
        record: the stream's record when it was looked at.
        removals: the windows above the instant, ascending.
        kept: the part below the instant of a window that straddles it, and the rows that stay of it.
        files: data files that go, and what is written anew of them.
        ahead: dependants whose watermarks are above the instant, the farthest from the stream first.
        objections: what speaks against it besides the windows' own doubts.
        rewind: what would become true; ``None`` where there is nothing to do.
        snapshot_id: the snapshot that did it, where rows left the table.
    """

    wish: Wish
    record: StreamRecord
    verdict: Verdict
    removals: Sequence[Removal] = ()
    kept: tuple[Window, Fingerprint] | None = None
    files: Taken = field(default_factory=Taken)
    ahead: Sequence[Ahead] = ()
    objections: Sequence[str] = ()
    rewind: Rewind | None = None
    snapshot_id: int | None = None

    @property
    def filled(self) -> bool:
        """Whether the table has to change: it holds rows of the windows, or names one of them as the last with rows."""
        rewind, last_upper = self.rewind, self.record.last_upper
        return rewind is not None and (
            any(one.cold.rows for one in rewind.windows) or (last_upper is not None and last_upper > rewind.watermark)
        )
