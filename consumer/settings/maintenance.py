"""How the target of a stream is maintained, as it is configured."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from consumer.domain.maintenance import CompactionPolicy, MaintenancePolicy
from consumer.domain.removal_policy import GRACE_MIN, RemovalPolicy
from consumer.settings.scalars import Duration, PositiveDuration, Size
from consumer.settings.section import Section

_FILE_BYTES_MIN = 1024


class CompactionSettings(Section):
    """How small data files of closed partitions are put together."""

    target_file_bytes: Annotated[Size, Field(ge=_FILE_BYTES_MIN)] | None = None
    """Bytes that a data file should have, at most; without it what the table's write.target-file-size-bytes says, or
    512 MiB. Files of less than half of it are small."""
    min_input_files: Annotated[int, Field(ge=2, le=1000)] = 2
    """How many small files have to become one, at least."""
    batch_bytes: Size = Field(default=Size(1024**3), gt=0)
    """Bytes of data files that one batch rewrites, at most; one file may be larger."""


def _long_enough(value: timedelta) -> timedelta:
    if value < GRACE_MIN:
        msg = (
            f"{value} is too short: a query that began while a file was referred to may take as long, and so may"
            f" another engine's commit that is about to refer to it; {GRACE_MIN.days}d is the least"
        )
        raise ValueError(msg)
    return value


_Grace = Annotated[Duration, AfterValidator(_long_enough)]


class RemovalSettings(Section):
    """When files are deleted that nothing refers to any more."""

    enabled: bool = True
    """Whether any are."""
    grace: _Grace = timedelta(days=3)
    """How long a file must have been found superfluous before it is deleted; 1d at least."""
    unknown_after: _Grace | None = None
    """The same for files that neither ledger nor table knows, such as those of another engine whose snapshots have
    expired; without it they stay for ever."""


class MaintenanceSettings(Section):
    """What is maintained of the target, and when."""

    enabled: bool = False
    """Whether consumers maintain the target by themselves; `icehaul maintain` does it whatever this says."""
    every: PositiveDuration = timedelta(hours=1)
    """How long after the last look at the files the next one is due."""
    patience: Duration = timedelta(hours=6)
    """For how long work that is due waits until a consumer has no event to handle; then each event does one batch of
    it."""
    compaction: CompactionSettings = CompactionSettings()
    """How small data files of closed partitions are put together."""
    removal: RemovalSettings = RemovalSettings()
    """When files are deleted that nothing refers to any more."""

    def to_policy(self) -> MaintenancePolicy:
        """Return the domain's view of it."""
        compaction = self.compaction
        return MaintenancePolicy(
            enabled=self.enabled,
            every=self.every,
            patience=self.patience,
            compaction=CompactionPolicy(
                target_file_bytes=None if compaction.target_file_bytes is None else int(compaction.target_file_bytes),
                min_input_files=compaction.min_input_files,
                batch_bytes=int(compaction.batch_bytes),
            ),
            removal=RemovalPolicy(
                enabled=self.removal.enabled, grace=self.removal.grace, unknown_after=self.removal.unknown_after
            ),
        )
