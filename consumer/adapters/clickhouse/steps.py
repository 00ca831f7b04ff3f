"""Histogram steps as ClickHouse counts them: a whole number for each bucket, from the microseconds of its start."""

from __future__ import annotations

from datetime import UTC, datetime

from consumer.domain.time_type import from_micros
from consumer.ports import Step

_MICROS: dict[Step, int] = {
    Step.DAY: 86_400_000_000,
    Step.HOUR: 3_600_000_000,
    Step.MINUTE: 60_000_000,
    Step.SECOND: 1_000_000,
    Step.MILLISECOND: 1_000,
    Step.MICROSECOND: 1,
}


def bucket_sql(step: Step) -> str:
    """Return the number of the bucket of ``_icehaul_instant``, a DateTime64(6, 'UTC').

    ClickHouse's ``toStartOf…`` functions fall back to 16-bit days and 32-bit seconds, which wrap before 1970.
    """
    match step:
        case Step.YEAR:
            return "toInt64(toYear(_icehaul_instant))"
        case Step.MONTH:
            return "toInt64(toYear(_icehaul_instant)) * 12 + toMonth(_icehaul_instant) - 1"
        case _:
            # Rounded down by intDiv, which rounds to zero: positiveModulo is wrong before 1970 in ClickHouse 24 and 25.
            micros, step_micros = "toUnixTimestamp64Micro(_icehaul_instant)", f"toInt64({_MICROS[step]})"
            return f"intDiv({micros} - if({micros} < 0, {step_micros} - 1, 0), {step_micros}) * {step_micros}"


def bucket_start(step: Step, bucket: int) -> datetime:
    """Return the start of a bucket."""
    match step:
        case Step.YEAR:
            return datetime(bucket, 1, 1, tzinfo=UTC)
        case Step.MONTH:
            return datetime(bucket // 12, bucket % 12 + 1, 1, tzinfo=UTC)
        case _:
            return from_micros(bucket)
