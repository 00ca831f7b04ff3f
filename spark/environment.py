"""The libraries that tasks need, as an archive that Spark unpacks beside its executors.

They are those of this process, in the very versions that its lock file names: nothing has to be installed where the
tasks run but Python of the same minor version, on the same kind of machine.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from consumer.domain.errors import ConfigurationError

FOLDER = "icehaul-environment"
"""What the archive is unpacked to, in the working directory of each executor."""
_ROOTS = ("boto3", "numpy", "pyarrow", "pyiceberg", "thrift", "urllib3")
"""What the code of tasks imports; Spark brings its own Python side along."""
_LEFT_OUT = frozenset({"__pycache__", "include", "tests"})
_NO_CODE = (".h", ".hpp", ".pxd", ".pyi", ".pyx")
_UNUSED = ("zstandard/_cffi*",)
"""Parts of libraries for other purposes. Not of pyarrow: its core is linked to all of its libraries."""
_SERVICES = PurePosixPath("botocore/data")
_SERVICES_KEPT = frozenset({"s3"})
"""Of some hundred of Amazon's services whose descriptions botocore brings along."""
_DIGEST_LETTERS = 16
_FORMAT = "2"
"""Part of the digest; another number where the same libraries are packed in another way."""
_COMPRESSION_LEVEL = 1
"""Level 6 takes five times as long, and saves a tenth."""


def pack_environment(directory: Path) -> Path:
    """Return the archive of the libraries in ``directory``; it is made there (some seconds) unless it exists.

    Its name carries the digest of what it holds. Processes that make it at the same time do not disturb each other.

    Raises:
        ConfigurationError: if a library is missing, or was installed without a list of its files.
        OSError: if the directory can't be written to.
    """
    archive = directory / f"{FOLDER}-{environment_digest()}.tar.gz"
    if archive.is_file():
        return archive
    directory.mkdir(parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(dir=directory, prefix=f"{FOLDER}-", suffix=".unfinished")
    try:
        with (
            os.fdopen(descriptor, "wb") as target,
            tarfile.open(fileobj=target, mode="w:gz", compresslevel=_COMPRESSION_LEVEL) as packed,
        ):
            for library in libraries():
                for file in _files(library):
                    packed.add(str(library.locate_file(file)), str(file), recursive=False, filter=_of_nobody)
            about = "\n".join(f"{library.name}=={library.version}" for library in libraries()).encode()
            entry = tarfile.TarInfo(f"{FOLDER}.txt")
            entry.size = len(about)
            packed.addfile(entry, io.BytesIO(about))
        Path(unfinished).replace(archive)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    return archive


@cache
def environment_digest() -> str:
    """Return a digest of the libraries' files, the Python and the machine that they were built for.

    Raises:
        ConfigurationError: if a library is missing, or was installed without a list of its files.
    """
    digest = hashlib.sha256(f"{_FORMAT} {sys.implementation.cache_tag} {sysconfig.get_platform()}".encode())
    for library in libraries():
        # The list names each file with a digest of its content.
        digest.update(f"\n{library.name}=={library.version}\n{library.read_text('RECORD')}".encode())
    return digest.hexdigest()[:_DIGEST_LETTERS]


@cache
def libraries() -> tuple[Distribution, ...]:
    """Return what is packed: the libraries that the tasks' code imports, and those that they require, by name.

    Raises:
        ConfigurationError: if a library is missing, or was installed without a list of its files.
    """
    found: dict[str, Distribution] = {}
    waiting = [Requirement(name) for name in _ROOTS]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key in seen:
            continue
        seen.add(key)
        library = _installed(requirement.name)
        found[key[0]] = library
        waiting.extend(_required(library, requirement.extras))
    return tuple(found[name] for name in sorted(found))


def describe_platform() -> str:
    """Return which Python and machine the archive is for, for people."""
    return f"Python {sys.version_info.major}.{sys.version_info.minor}, {platform.system()} on {platform.machine()}"


def _installed(name: str) -> Distribution:
    try:
        library = distribution(name)
    except PackageNotFoundError as error:
        raise ConfigurationError(
            f"the library {name}, which Spark tasks need, is not installed here",
            remedy="install icehaul anew with all it requires (pip install icehaul)",
        ) from error
    if library.read_text("RECORD") is None:
        raise ConfigurationError(
            f"the library {library.name} {library.version} was installed without a list of its files, and can't be"
            " sent to executors",
            remedy="install icehaul with pip into an environment of its own, or set spark.environment to installed and"
            " give the workers the libraries yourself",
        )
    return library


def _required(library: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    for line in library.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _of_nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Who has installed the libraries here is nobody where they are unpacked."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _files(library: Distribution) -> Iterator[PurePosixPath]:
    for file in library.files or ():
        parts = file.parts
        left_out = ".." in parts or not _LEFT_OUT.isdisjoint(parts) or file.name.endswith(_NO_CODE)
        unused = any(map(file.match, _UNUSED)) or (
            file.is_relative_to(_SERVICES)
            and len(parts) > len(_SERVICES.parts) + 1
            and parts[len(_SERVICES.parts)] not in _SERVICES_KEPT
        )
        if not left_out and not unused and Path(str(library.locate_file(file))).is_file():
            yield file
