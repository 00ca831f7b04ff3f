"""The code of earlier revisions, out of the history of this repository."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_MIGRATIONS = "schemas/postgres"


class NoHistoryError(Exception):
    """The repository does not hold what is asked for: no clone, or a shallow one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A revision whose migrations are the first ones of this tree.

    Attributes:
        commit: its full hash.
        migration: the last migration that it knows.
    """

    commit: str
    migration: int

    def unpack(self, folder: Path) -> Path:
        """Write its files to a folder of their own below ``folder``, unless they are there, and return that."""
        tree = folder / self.commit[:12]
        if not tree.exists():
            archive = _git("archive", "--format=tar", self.commit)
            with tarfile.open(fileobj=io.BytesIO(archive)) as files:
                files.extractall(tree, filter="data")
        return tree


def revision_of(name: str) -> Revision:
    """Return a revision by any name that git understands.

    Raises:
        NoHistoryError: if it is not there.
        ValueError: if its migrations are not the first ones of this tree.
    """
    commit = _git("rev-parse", "--verify", f"{name}^{{commit}}").decode().strip()
    known, present = _migrations(commit), _present()
    if not known or any(present.get(file) != blob for file, blob in known.items()):
        raise ValueError(f"{name}: its ledger can't become this one: its migrations are no beginning of those here")
    return Revision(commit=commit, migration=len(known))


def before_the_newest_migration() -> Revision:
    """Return the newest revision on the way here whose ledger lacks a migration.

    Raises:
        NoHistoryError: if none is to be found.
    """
    for commit in _ways_here():
        try:
            found = revision_of(commit)
        except ValueError:
            continue
        if found.migration < len(_present()):
            return found
    raise NoHistoryError("no revision with fewer migrations is to be found")


def _ways_here() -> Iterator[str]:
    """Yield the commits before those that touched migrations, the newest first."""
    for commit in _git("log", "--format=%H", "--first-parent", "--", _MIGRATIONS).decode().split():
        yield f"{commit}^"


def _present() -> Mapping[str, str]:
    """Return the migrations of this tree, committed or not, with their hashes."""
    files = sorted((ROOT / _MIGRATIONS).glob("*.sql"))
    hashes = _git("hash-object", "--", *map(str, files)).decode().split()
    return {file.name: blob for file, blob in zip(files, hashes, strict=True)}


def _migrations(commit: str) -> Mapping[str, str]:
    listed = _git("ls-tree", commit, f"{_MIGRATIONS}/").decode().splitlines()
    parts = (line.split(maxsplit=3) for line in listed)
    return {Path(path).name: blob for _, _, blob, path in parts if path.endswith(".sql")}


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True, timeout=120)
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stderr.decode(errors="replace").strip() if isinstance(error, subprocess.CalledProcessError) else ""
        raise NoHistoryError(f"git {' '.join(arguments)}: {said or error}") from error
    return done.stdout
