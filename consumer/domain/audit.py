"""The values of an audit: what was looked at, what each check found, and what that means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from consumer.domain.batch import BatchStatus
from consumer.domain.fingerprint import Fingerprint

LISTED_MAX = 100
"""How many files or windows a check lists; the rest is counted."""

_SAME_STORE = ("s3a://", "s3n://")

_OPEN = frozenset({BatchStatus.WRITING, BatchStatus.PUBLISHING})
"""Where a batch stands while files may still be written for it and published."""


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    UNCHECKED = "unchecked"
    """It could not be made; not knowing is no pass."""
    NOT_APPLICABLE = "not applicable"
    """There is nothing yet that it could be made on."""


class CheckName(StrEnum):
    """The checks of an audit, in their order."""

    TIERS = "tiers"
    WINDOWS = "windows"
    RECORD = "record"
    EVIDENCE = "evidence"
    REGISTERED = "registered"
    STORED = "stored"
    ORPHANS = "orphans"
    FINDINGS = "findings"
    STATE = "state"


CHECK_MEANINGS: Mapping[CheckName, str] = {
    CheckName.TIERS: "both tiers hold the same rows below the watermark, by count and full-row digest",
    CheckName.WINDOWS: "the ledger's windows follow each other without gap or overlap, up to the watermark",
    CheckName.RECORD: "what the ledger has recorded of all windows adds up to what the live data files hold",
    CheckName.EVIDENCE: "the target table proves the progress that the ledger has recorded",
    CheckName.REGISTERED: "every live data file was published by a batch of the stream, once, and none is missing",
    CheckName.STORED: "every file that a retained snapshot refers to is on the store, in its size",
    CheckName.ORPHANS: "every file under the table is referred to by a snapshot or known to the ledger",
    CheckName.FINDINGS: "no finding about the source is open",
    CheckName.STATE: "the stream is active, and no event is parked",
}
"""What each check establishes when it passes."""

Figures = Mapping[str, int | str | None]
"""Numbers, digests, ids and instants by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one check found.

    Attributes:
        name: which check it was.
        outcome: how it ended.
        message: what was found, in a sentence.
        figures: the numbers on both sides, by name.
        listed: what is concerned, ``LISTED_MAX`` at most.
        remedy: what to do where it did not pass.
    """

    name: CheckName
    outcome: Outcome
    message: str
    figures: Figures = field(default_factory=dict)
    listed: Sequence[str] = ()
    remedy: str | None = None

    @property
    def clean(self) -> bool:
        """Whether nothing has to be done about it."""
        return self.outcome in {Outcome.PASSED, Outcome.NOT_APPLICABLE}


def passed(name: CheckName, message: str, figures: Figures) -> Check:
    """Return a check that found everything as it has to be."""
    return Check(name=name, outcome=Outcome.PASSED, message=message, figures=figures)


def failed(name: CheckName, message: str, figures: Figures, *, remedy: str, listed: Sequence[str] = ()) -> Check:
    """Return a check that found something wrong; of what is ``listed``, the first ``LISTED_MAX`` are kept."""
    return Check(
        name=name,
        outcome=Outcome.FAILED,
        message=message,
        figures=figures,
        listed=tuple(listed[:LISTED_MAX]),
        remedy=remedy,
    )


def not_applicable(name: CheckName, message: str) -> Check:
    """Return a check that had nothing to look at."""
    return Check(name=name, outcome=Outcome.NOT_APPLICABLE, message=message)


def unchecked(name: CheckName, message: str, remedy: str) -> Check:
    """Return a check that could not be made."""
    return Check(name=name, outcome=Outcome.UNCHECKED, message=message, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAudit:
    """All checks of one stream.

    ``watermark`` and ``snapshot_id`` are the state that was looked at; ``hot_query`` is the statement by which
    ClickHouse computes count and digest of the hot rows, where it is known.
    """

    stream: str
    source: str
    target: str
    watermark: datetime | None
    snapshot_id: int | None
    checks: Sequence[Check]
    hot_query: str | None = None

    @property
    def clean(self) -> bool:
        """Whether every check passed or had nothing to look at."""
        return all(check.clean for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file as the object store lists it; ``bytes`` is its size, ``modified`` when it was written."""

    path: str
    bytes: int
    modified: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFile:
    """A data file of the current snapshot, once for each time that a manifest names it.

    ``snapshot_id`` is the snapshot that added it, ``sequence`` the data sequence number of its rows.
    """

    path: str
    bytes: int
    rows: int
    snapshot_id: int | None
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Every file that a table's metadata names.

    Attributes:
        snapshot_id: the current snapshot.
        live: data files of the current snapshot.
        referenced: files that retained snapshots refer to, with their size in bytes where a manifest tells it.
        metadata: metadata files, the current one and those in its log.
        operations: what each retained snapshot did (append, replace, overwrite, delete), by id.
        unreadable: manifest lists and manifests that can't be read, so that what they name is not known.
        current: the current metadata file.
        held: files that other metadata files refer to, those files included: former ones that the current one lists,
            and those that may still become the current one.
        doubtful: of what other metadata files refer to, what is there and can't be read.
    """

    snapshot_id: int | None
    live: Sequence[LiveFile]
    referenced: Mapping[str, int | None]
    metadata: frozenset[str]
    operations: Mapping[int, str]
    unreadable: Sequence[str] = ()
    current: str = ""
    held: frozenset[str] = frozenset()
    doubtful: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """A data file that an attempt reported; ``status`` is its batch's.

    ``published`` is what the batch was published with, of the files of one attempt: those of earlier attempts at the
    same batch stay recorded, and add nothing to it. ``kept`` rows are not the batch's own, but come from a file that
    went; the rows of a ``superseded`` batch were replaced by a later one.
    """

    path: str
    batch_id: UUID
    bytes: int
    fingerprint: Fingerprint
    status: BatchStatus
    published: Fingerprint | None
    kept: bool = False
    superseded: bool = False

    @property
    def belongs(self) -> bool:
        """Whether the file may be live."""
        return self.published is not None and (self.kept or not self.superseded)

    @property
    def under_way(self) -> bool:
        """Whether the file may still be published."""
        return self.status in _OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAttempt:
    """A prefix that an attempt was to write under; ``status`` is its batch's."""

    prefix: str
    batch_id: UUID
    status: BatchStatus

    @property
    def under_way(self) -> bool:
        """Whether files may still be written under it and published."""
        return self.status in _OPEN


def plain_path(path: str) -> str:
    """Return a path with the one scheme under which paths are compared: engines write ``s3a`` for ``s3``."""
    for scheme in _SAME_STORE:
        if path.startswith(scheme):
            return f"s3://{path.removeprefix(scheme)}"
    return path
