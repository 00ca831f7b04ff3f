"""After how long files that nothing refers to are removed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

GRACE_MIN = timedelta(days=1)
"""Below this a period is refused: a query that began while a file was referred to, or another engine's commit that is
about to refer to it, may take as long. Iceberg's own removal of orphans refuses less, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalPolicy:
    """Which superfluous files go, and when.

    Attributes:
        enabled: whether any do.
        grace: how long ago a file was found superfluous for the first time before it goes.
        unknown_after: the same for files that neither ledger nor table knows; ``None`` keeps them for ever.
    """

    enabled: bool = True
    grace: timedelta = timedelta(days=3)
    unknown_after: timedelta | None = None
