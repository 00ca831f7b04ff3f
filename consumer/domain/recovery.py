"""Recovery: by which metadata file a table is found again that the catalog has lost, or points away from; pure.

The newest file is taken where name and content agree that it is the newest, and everything that it needs is there.
Anything else is a doubt: nothing is chosen, and an operator is shown what there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

from consumer.domain.batch import Evidence
from consumer.domain.phrasing import counted

_SUFFIX = ".metadata.json"
_VERSION = re.compile(r"(?:v(\d+)|(\d+)-.*)")


def version_of(location: str) -> int | None:
    """Return the version that a metadata file's name tells; ``None`` for a file that is none.

    ``00042-<uuid>.metadata.json`` is what catalogs write, ``v42.metadata.json`` is what a file system's catalog does.
    """
    name = location.rsplit("/", 1)[-1]
    if not name.endswith(_SUFFIX):
        return None
    found = _VERSION.fullmatch(name.removesuffix(_SUFFIX).removesuffix(".gz"))
    return None if found is None else int(found.group(1) or found.group(2))


def newest_first(locations: Sequence[str]) -> Iterator[list[str]]:
    """Yield the metadata files among some files of a folder, those of one version together, the highest first."""
    versions = {location: version for location in locations if (version := version_of(location)) is not None}
    for _, group in groupby(sorted(versions, key=lambda one: (-versions[one], one)), key=versions.__getitem__):
        yield list(group)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundMetadata:
    """A metadata file on the store, and what it says of its table.

    Attributes:
        location: where it lies.
        version: the number in its name; 0 where it has none.
        uuid: the table's.
        owner: the stream that its properties name.
        updated: when its table was last changed.
        sequence: sequence number of the newest snapshot that the table ever had.
        snapshots: how many snapshots it lists.
        epoch: the highest epoch that a snapshot names: that of the last owner who is known to have published.
        evidence: what its current snapshot proves.
        missing: files of the current snapshot (manifest list, manifests, data and delete files) that the store lacks.
    """

    location: str
    version: int
    uuid: UUID
    owner: str | None
    updated: datetime
    sequence: int
    snapshots: int
    epoch: int
    evidence: Evidence | None
    missing: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.location.rsplit("/", 1)[-1]


def doubt_about(newest: Sequence[FoundMetadata], before: Sequence[FoundMetadata]) -> str | None:
    """Return why the newest metadata file can't be told, or can't be used; ``None`` where it is the one.

    Args:
        newest: the files of the highest version, one at least.
        before: those of the version below it.
    """
    if len(newest) > 1:
        return f"{len(newest)} metadata files have the version {newest[0].version}: one of them was never committed"
    (top,) = newest
    for one in before:
        if one.uuid != top.uuid:
            return f"{top.name} and {one.name} are of different tables (UUID {top.uuid} and {one.uuid})"
        if one.updated > top.updated or one.sequence > top.sequence:
            return f"{one.name} has the lower version, and was written later than {top.name}, or for more snapshots"
    if top.missing:
        lacking = counted(len(top.missing), "file")
        return f"{top.name} needs {lacking} that the store does not hold, {top.missing[0]} first"
    return None
