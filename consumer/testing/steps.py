"""The buckets of a histogram in memory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from consumer.domain.window import PartitionBy
from consumer.ports import Step

_FIXED: Mapping[Step, timedelta] = {
    Step.MINUTE: timedelta(minutes=1),
    Step.SECOND: timedelta(seconds=1),
    Step.MILLISECOND: timedelta(milliseconds=1),
    Step.MICROSECOND: timedelta(microseconds=1),
}


def bucket_start(instant: datetime, step: Step) -> datetime:
    """Return the start of the bucket that holds an instant."""
    if step in _FIXED:
        day = PartitionBy.DAY.floor(instant)
        return day + ((instant - day) // _FIXED[step]) * _FIXED[step]
    return PartitionBy(step).floor(instant)
