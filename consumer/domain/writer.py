"""The two ways to write a unit, and which one a unit takes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from consumer.domain.batch import Unit


class Writer(StrEnum):
    """Who makes the Parquet file of a unit."""

    EXPORT = "export"
    """ClickHouse writes it to the store; no row passes through the task."""
    STREAM = "stream"
    """The task reads the rows from ClickHouse, and writes it."""


class WriterPolicy(StrEnum):
    """Which writer is configured."""

    AUTO = "auto"
    """Export where that works and pays, stream otherwise."""
    EXPORT = "export"
    """Export wherever a unit can be; where ClickHouse refuses, that is an error."""
    STREAM = "stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterChoice:
    """The writer of a unit, and why it is this one."""

    writer: Writer
    reason: str


EXPORT_BYTES_MIN = 32 * 1024 * 1024
"""Uncompressed bytes from which on ``auto`` exports: what an export costs beside its rows pays from about here."""


def choose_writer(policy: WriterPolicy, unit: Unit, *, cluster: bool, refusal: str | None = None) -> WriterChoice:
    """Return which writer takes a unit.

    Args:
        policy: as configured.
        unit: the unit, with the planner's estimate of its bytes.
        cluster: whether the source is read over a cluster.
        refusal: why ClickHouse did not export here lately, if that was so.
    """
    obstacle = _obstacle(unit, cluster=cluster)
    if policy is WriterPolicy.STREAM:
        obstacle = "spark.writer is stream"
    elif obstacle is None and policy is WriterPolicy.AUTO:
        obstacle = _doubt(unit, refusal)
    if obstacle is not None:
        return WriterChoice(writer=Writer.STREAM, reason=obstacle)
    asked = policy is WriterPolicy.EXPORT
    return WriterChoice(
        writer=Writer.EXPORT, reason="spark.writer is export" if asked else f"about {_mebibytes(unit.bytes)}"
    )


def _obstacle(unit: Unit, *, cluster: bool) -> str | None:
    """Return why a unit can't be exported, whatever is configured."""
    if unit.kept is not None:
        return "its rows are kept from a data file"
    if unit.late is not None:
        return "late rows are picked by their hashes"
    return "count and digest of several shards can't be had from one snapshot" if cluster else None


def _doubt(unit: Unit, refusal: str | None) -> str | None:
    """Return why a unit had better not be exported."""
    if unit.bytes < EXPORT_BYTES_MIN:
        return f"about {_mebibytes(unit.bytes)}, below {_mebibytes(EXPORT_BYTES_MIN)}"
    return None if refusal is None else f"ClickHouse refused to export: {refusal}"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
