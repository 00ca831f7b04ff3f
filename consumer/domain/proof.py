"""The proof of a batch: which of its files are read back before the publish, and what was found in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from consumer.domain.batch import WrittenFile
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.stream import DigestPolicy, Stream

_DRAWN_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What ClickHouse found in a batch's files before they were published, and by which policy it read them.

    ``files`` counts the files that were read, ``content`` is all that stands in them: with the policy ``always`` the
    batch's own rows, and the rows that it carries over from files which go.
    """

    policy: DigestPolicy
    files: int = 0
    content: Fingerprint = EMPTY


def files_to_prove(stream: Stream, batch_id: UUID, files: Sequence[WrittenFile]) -> Sequence[WrittenFile]:
    """Return those of a batch's files that are read back by the stream's policy.

    A sample is drawn by the batch's id and the unit's number: every attempt at a batch reads files of the same units,
    and whoever writes a file has no say in it.
    """
    match stream.digest:
        case DigestPolicy.ALWAYS:
            return files
        case DigestPolicy.SAMPLED:
            return [file for file in files if _drawn(batch_id, file.unit) < stream.digest_share]
        case DigestPolicy.ON_DEMAND:
            return []


def _drawn(batch_id: UUID, unit: int) -> float:
    """Return a number from 0 to 1, even over batches and units: the beginning of a SHA-256."""
    beginning = hashlib.sha256(f"{batch_id}:{unit}".encode()).digest()[:_DRAWN_BYTES]
    return int.from_bytes(beginning, "big") / (1 << 8 * _DRAWN_BYTES)
