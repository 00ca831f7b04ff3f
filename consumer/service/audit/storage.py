"""Checks of the store: every file that a snapshot refers to is there, and every other one is accounted for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from consumer.domain.audit import (
    Check,
    CheckName,
    Figures,
    StoredFile,
    failed,
    not_applicable,
    passed,
)
from consumer.domain.phrasing import counted, instant_text
from consumer.domain.unreferenced import Kind, sort_files
from consumer.service.audit.observation import Observation
from consumer.service.audit.registration import NO_TABLE, check_readable


def check_stored(seen: Observation, sizes: Callable[[Collection[str]], Mapping[str, int]]) -> Check:
    """Check that the store holds every file that a retained snapshot refers to.

    Args:
        seen: what was looked at.
        sizes: looks at single files, for those that were written after the store was listed.
    """
    cold = seen.table()
    if cold is None:
        return not_applicable(CheckName.STORED, NO_TABLE)
    referenced = cold.census.referenced
    there = {file.path: file.bytes for file in cold.stored}
    there |= sizes([path for path in referenced if path not in there])
    problems = [f"{path}: can't be read" for path in cold.census.unreadable if path in there]
    problems += [f"{path}: not there" for path in referenced if path not in there]
    problems += [
        f"{path}: {there[path]:,} bytes on the store, {size:,} in the manifest"
        for path, size in referenced.items()
        if size is not None and path in there and there[path] != size
    ]
    figures: Figures = {
        "files referred to": len(referenced),
        "of these there": sum(path in there for path in referenced),
        "retained snapshots": len(cold.census.operations),
    }
    if not problems:
        return passed(
            CheckName.STORED,
            f"all {counted(len(referenced), 'file')} of {counted(len(cold.census.operations), 'snapshot')} there",
            figures,
        )
    return failed(
        CheckName.STORED,
        f"{counted(len(problems), 'file')} missing or damaged",
        figures,
        listed=problems,
        remedy="find out who deleted or overwrote them (another engine's expiry or orphan removal, a bucket rule), and"
        " restore them from the bucket's versions or a backup; a window whose rows the hot tier still holds can be"
        " offloaded again into a fresh table",
    )


def check_orphans(seen: Observation) -> Check:
    """Account for every file under the table that no snapshot refers to; nothing is deleted."""
    cold = seen.table()
    if cold is None:
        return not_applicable(CheckName.ORPHANS, NO_TABLE)
    check_readable(cold)
    kinds = sort_files(cold.stored, cold.census, cold.target.location, seen.attempts, seen.files)
    under_way, held, left, metadata, unknown = (kinds[kind] for kind in Kind)
    figures: Figures = {
        "files under the table": len(cold.stored),
        "of attempts under way": len(under_way),
        "held by other metadata": len(held),
        "left behind": len(left),
        "left behind, bytes": _bytes(left),
        "left behind, oldest": _oldest(left),
        "former metadata": len(metadata),
        "former metadata, bytes": _bytes(metadata),
        "unknown": len(unknown),
        "unknown, bytes": _bytes(unknown),
    }
    if unknown:
        return failed(
            CheckName.ORPHANS,
            f"{counted(len(unknown), 'file')} that nobody knows",
            figures,
            listed=[file.path for file in unknown],
            remedy="find out who wrote them: another engine whose snapshot has expired or was rolled back, or a hand."
            " What nobody needs can be deleted: no snapshot refers to them",
        )
    orphans = [*left, *metadata]
    return passed(
        CheckName.ORPHANS,
        f"{counted(len(orphans), 'orphan')} of {_bytes(orphans):,} bytes, all accounted for" if orphans else "none",
        figures,
    )


def _bytes(files: Sequence[StoredFile]) -> int:
    return sum(file.bytes for file in files)


def _oldest(files: Sequence[StoredFile]) -> str | None:
    times = [file.modified for file in files if file.modified is not None]
    return instant_text(min(times)) if times else None
