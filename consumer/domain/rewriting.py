"""What a rewrite does to a table: data files go, and others with the same rows take their place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """Data files whose rows, but for those that are deleted, become one file.

    Attributes:
        paths: the data files.
        deletes: position-delete files that may name rows of them.
        schema: the Iceberg schema with which they were written, and the file is, as JSON.
        rows: how many rows the data files hold, with those that are deleted.
    """

    paths: tuple[str, ...]
    deletes: tuple[str, ...]
    schema: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenFile:
    """A data file that goes, and the position-delete files that applied to it when it was looked at."""

    path: str
    deletes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """What maintenance does to a table: files go, and others with the same rows take their place.

    Attributes:
        files: the data files that go.
        snapshot_id: the snapshot in which they were looked at.
        sequence: that snapshot's sequence number, which the new files get: deletes that come later apply to them.
    """

    files: tuple[RewrittenFile, ...]
    snapshot_id: int
    sequence: int
