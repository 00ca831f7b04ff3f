"""Which version of Iceberg's table format a target has, and what is said about a newer one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError
from pyiceberg.exceptions import ValidationError as UnreadableError

from consumer.domain.errors import TargetMismatchError
from consumer.domain.stream import TableName

FORMAT_VERSION = 2
"""The version of every target: the newest one that PyIceberg writes."""


def too_new(table: TableName, version: int) -> TargetMismatchError:
    """Return the error for a table of a newer version, which no engine can lower."""
    return TargetMismatchError(
        f"the target {table} has Iceberg's format version {version}; icehaul writes version {FORMAT_VERSION}, because"
        " PyIceberg, by which it commits, does not write a newer one",
        remedy=f"give the stream a new target, which is made with version {FORMAT_VERSION}; a table's version can't be"
        " lowered",
    )


@contextmanager
def understood(table: TableName) -> Iterator[None]:
    """Tell a table of a newer version from metadata that is broken, while PyIceberg reads it.

    A newer version may have types that PyIceberg does not know, or be unknown as a whole.

    Raises:
        TargetMismatchError: if PyIceberg can't read the metadata, and its version is a newer one.
    """
    try:
        yield
    except (ValidationError, UnreadableError) as error:
        detailed = error if isinstance(error, ValidationError) else error.__cause__
        version = _newer_version(detailed) if isinstance(detailed, ValidationError) else None
        if version is None:
            raise
        raise too_new(table, version) from error


def _newer_version(error: ValidationError) -> int | None:
    """Return the version by which PyIceberg went, as its error says, if it is a newer one."""
    for detail in error.errors(include_url=False, include_input=False):
        place = [part for part in detail["loc"] if part != "metadata"]
        for said in (detail.get("ctx", {}).get("tag"), *place[:1]):
            if str(said).isdecimal() and int(str(said)) > FORMAT_VERSION:
                return int(str(said))
    return None
