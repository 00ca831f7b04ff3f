"""What an audit needs besides the service's other ports."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from consumer.domain.audit import Census, RecordedAttempt, RecordedFile, StoredFile
from consumer.domain.stream import TableName


class AttemptRecords(Protocol):
    """What the ledger knows of files: its tables of attempts."""

    def attempts(self, stream: str) -> Sequence[RecordedAttempt]:
        """Return every prefix that an attempt at a batch of the stream was to write under."""
        ...

    def files(self, stream: str) -> Sequence[RecordedFile]:
        """Return every data file that an attempt at a batch of the stream reported."""
        ...


class TableFiles(Protocol):
    """The files of a target table; every path is as :func:`~consumer.domain.audit.plain_path` writes it."""

    def census(self, table: TableName, stored: Sequence[StoredFile] = ()) -> Census | None:
        """Return every file that the table's metadata names; ``None`` where there is no table.

        Reads the manifests of all retained snapshots, each once, and those of other metadata files that still matter;
        what can't be read is named in the census.

        Args:
            table: the table.
            stored: the files under it, as they were listed before: among them are metadata files that may still become
                the current one.

        Raises:
            DivergenceError: if the table's metadata file is not there.
        """
        ...

    def stored(self, location: str) -> Sequence[StoredFile]:
        """List every file under a table's location."""
        ...

    def sizes(self, paths: Collection[str]) -> Mapping[str, int]:
        """Look at single files, and return the sizes in bytes of those that are there, by path."""
        ...
