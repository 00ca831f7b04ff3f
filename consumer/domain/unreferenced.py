"""The files under a table that its current metadata does not refer to: what each is, and which can be removed.

A file is removed only if nothing can ever refer to it again. The ledger tells of what attempts of this stream wrote:
once an attempt is closed, nobody publishes its files any more. Of metadata the names tell: a metadata file can become
the current one only while its number is higher than that of the current one, since a commit demands the very base that
it was staged on. Everything else stays, unless an operator has set a time after which it goes, too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import PurePosixPath

from consumer.domain.audit import Census, RecordedAttempt, RecordedFile, StoredFile, plain_path
from consumer.domain.removal_policy import RemovalPolicy

METADATA_FILE = ".metadata.json"
"""How the name of a metadata file ends, whatever it is compressed with."""

_METADATA = (METADATA_FILE, ".avro", ".puffin", ".stats")
"""How files of the metadata folder end."""

_NUMBER = re.compile(r"v?([0-9]+)[-.]")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""In a name that is given once; some REST servers number their metadata files only, and begin again with each table."""


class Kind(StrEnum):
    """What a file is that the current metadata does not refer to."""

    UNDER_WAY = "under way"
    """Of an attempt that is under way, or whose outcome is not known: it may be published."""
    HELD = "held"
    """Referred to by another metadata file that still matters, former or later; or its name may be given again."""
    LEFT = "left behind"
    """Of a closed attempt: it failed, or what it published has left every snapshot that is kept."""
    METADATA = "former metadata"
    """Manifests, manifest lists, statistics and metadata files of former states, or of commits that did not land."""
    UNKNOWN = "unknown"
    """Neither ledger nor table knows it: another engine, or a hand, has written it."""


Sorted = Mapping[Kind, Sequence[StoredFile]]
"""The files by what they are; every kind is there."""


def may_become_current(path: str, current: str) -> bool:
    """Tell whether a metadata file may still become a table's current one.

    A commit writes the file whose number follows its base's, and lands only while its base is current. So where the
    current number is as high, the base has been passed, and numbers never go back but by hand. Of a name without a
    number nothing is known.

    Args:
        path: the metadata file.
        current: the table's current metadata file.
    """
    number, now = _number(path), _number(current)
    return number is None or now is None or number > now


def is_metadata_file(path: str, location: str) -> bool:
    """Tell whether a path is that of a metadata file of the table at a location."""
    return path.startswith(f"{plain_path(location)}/") and path.endswith(METADATA_FILE)


def overlapping(location: str, places: Iterable[str]) -> bool:
    """Tell whether one of the places is a table's location, lies in it, or holds it."""
    own = _folder(location)
    return any(own.startswith(other) or other.startswith(own) for other in map(_folder, places))


def sort_files(
    stored: Iterable[StoredFile],
    census: Census,
    location: str,
    attempts: Iterable[RecordedAttempt],
    files: Iterable[RecordedFile],
) -> Sorted:
    """Tell the files apart that the current metadata does not refer to.

    Args:
        stored: what the store was listed to hold; listed before everything else was read.
        census: what the table's metadata refers to.
        location: the table's location.
        attempts: the prefixes that attempts were to write under.
        files: the data files that attempts reported.
    """
    folders = {plain_path(attempt.prefix): attempt.under_way for attempt in attempts}
    recorded = {plain_path(file.path): file.under_way for file in files}
    metadata = f"{plain_path(location)}/metadata/"
    kinds: dict[Kind, list[StoredFile]] = {kind: [] for kind in Kind}
    for file in stored:
        if file.path in census.referenced or file.path in census.metadata:
            continue
        written = [known for known in (_attempt(file.path, folders), recorded.get(file.path)) if known is not None]
        if any(written):
            kind = Kind.UNDER_WAY
        elif file.path in census.held:
            kind = Kind.HELD
        elif written:
            kind = Kind.LEFT
        elif file.path.startswith(metadata) and file.path.endswith(_METADATA):
            kind = Kind.METADATA if _UUID.search(file.path, len(metadata)) else Kind.HELD
        else:
            kind = Kind.UNKNOWN
        kinds[kind].append(file)
    return kinds


def absent(census: Census, location: str, stored: Collection[str]) -> Sequence[str]:
    """Return the files below a location that the metadata refers to and the store does not list.

    One that is there all the same is spelled otherwise than the store lists it, and would be taken for superfluous.
    """
    own = _folder(location)
    return sorted(path for path in (*census.referenced, census.current) if path.startswith(own) and path not in stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heap:
    """Some files, with their size in bytes."""

    files: int = 0
    bytes: int = 0

    @classmethod
    def of(cls, files: Iterable[StoredFile]) -> Heap:
        """Return the heap of files."""
        sizes = [file.bytes for file in files]
        return cls(files=len(sizes), bytes=sum(sizes))

    def __add__(self, other: Heap) -> Heap:
        return Heap(files=self.files + other.files, bytes=self.bytes + other.bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreferenced:
    """The files under a table that its current metadata does not refer to.

    Attributes:
        stored: how many files there are under the table, and their bytes.
        kinds: those that are not referred to, by what they are.
        found: how long ago those that may be removed one day were found, by path; what is not in it is found now.
        policy: after how long they are removed.
    """

    stored: Heap
    kinds: Sorted
    found: Mapping[str, timedelta]
    policy: RemovalPolicy = field(default_factory=RemovalPolicy)

    @property
    def doomed(self) -> Sequence[StoredFile]:
        """The files that are removed one day, unless something refers to them again until then."""
        return [file for file, _ in self._doomed()]

    @property
    def due(self) -> Sequence[StoredFile]:
        """The files that are to be removed now, those that were found first before the others."""
        due = [file for file, left in self._doomed() if left <= timedelta(0) and file.path in self.found]
        return sorted(due, key=lambda file: (-self.found[file.path], file.path))

    @property
    def waiting(self) -> Heap:
        """What is removed one day and not yet now."""
        due = {file.path for file in self.due}
        return Heap.of(file for file in self.doomed if file.path not in due)

    @property
    def next_due(self) -> timedelta | None:
        """In how long the first of those that wait is to be removed; ``None`` where none waits."""
        due = {file.path for file in self.due}
        return min((left for file, left in self._doomed() if file.path not in due), default=None)

    def _doomed(self) -> Iterator[tuple[StoredFile, timedelta]]:
        """Yield the files that are removed one day, and in how long."""
        for kind, files in self.kinds.items():
            after = _after(kind, self.policy)
            if after is not None:
                for file in files:
                    yield file, after - self.found.get(file.path, timedelta(0))


def _after(kind: Kind, policy: RemovalPolicy) -> timedelta | None:
    """Return how long a file of a kind stays once it was found; ``None`` for ever."""
    match kind:
        case Kind.LEFT | Kind.METADATA:
            return policy.grace
        case Kind.UNKNOWN:
            return policy.unknown_after
        case _:
            return None


def _attempt(path: str, folders: Mapping[str, bool]) -> bool | None:
    """Tell whether the attempt that a file belongs to is under way; ``None`` where it belongs to none."""
    scheme, _, key = path.partition("://")
    for parent in PurePosixPath(key).parents:
        found = folders.get(f"{scheme}://{parent}")
        if found is not None:
            return found
    return None


def _number(path: str) -> int | None:
    """Return the number at the start of a metadata file's name; catalogs write ``00012-UUID`` or ``v12``."""
    found = _NUMBER.match(path.rsplit("/", 1)[-1])
    return None if found is None else int(found[1])


def _folder(location: str) -> str:
    return f"{plain_path(location).rstrip('/')}/"
