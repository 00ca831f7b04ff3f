"""The code that tasks run, as a zip that Spark sends to Python workers on other machines."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import consumer
import spark

_ROOTS = ((consumer, "__init__.py"), (consumer, "domain"), (consumer, "failpoints"), (spark, ""))
"""What runs in Spark knows no more of icehaul: import-linter keeps it so."""
_DIGEST_LETTERS = 16
_EPOCH = (1980, 1, 1, 0, 0, 0)


def zip_packages(directory: Path) -> Path:
    """Write the packages as they are installed here into ``directory``, and return the archive's path.

    Its name carries the code's digest, so that no archive is ever taken for another one.
    """
    archive = directory / archive_name()
    archive.write_bytes(_archive())
    return archive


def archive_name() -> str:
    """Return the name of the archive of the code as it is installed here."""
    return f"icehaul-{code_digest()}.zip"


@cache
def code_digest() -> str:
    """Return a digest of the code as it is installed here: equal on every machine that has the same."""
    return hashlib.sha256(_archive()).hexdigest()[:_DIGEST_LETTERS]


def runs_here(digest: str) -> bool:
    """Whether this process runs the code of that digest: out of the archive, or installed just the same."""
    return f"icehaul-{digest}.zip" in __file__ or (Path(__file__).is_file() and code_digest() == digest)


def _archive() -> bytes:
    """Equal code makes equal bytes: no time stamps, and no compression, which differs between libraries."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as target:
        for name, path in _files():
            target.writestr(zipfile.ZipInfo(name, _EPOCH), path.read_bytes())
    return content.getvalue()


def _files() -> Iterator[tuple[str, Path]]:
    for package, part in _ROOTS:
        root = Path(package.__path__[0])
        for path in sorted([root / part] if (root / part).is_file() else (root / part).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{package.__name__}/{path.relative_to(root).as_posix()}", path
