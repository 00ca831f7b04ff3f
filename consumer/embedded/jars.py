"""JVM libraries, pinned by Maven coordinate and checksum, resolved by the Ivy inside pyspark, kept in a cache.

``jars.lock`` beside this module lists each set's files with their SHA-256; nothing else is accepted. Run
``python -m consumer.embedded.jars`` to print the lock lines of the coordinates below after changing one.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.resources
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from consumer.domain.errors import EmbeddedStackError
from consumer.embedded.errors import JarsError
from consumer.embedded.ivy import resolution_settings
from consumer.embedded.java import find_java_home
from consumer.embedded.locks import exclusive
from consumer.embedded.process import Launch, run_tool
from consumer.settings.cache import cache_directory

_RESOLVE_DEADLINE_S = 600.0
_LOCK_DEADLINE_S = 660.0
_STAMP = "verified.json"
_PATTERN = "[organisation]_[artifact]-[revision](-[classifier]).[ext]"
_IVY_FILE = """\
<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">
  <info organisation="icehaul" module="{name}" revision="1"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
{dependencies}
  </dependencies>
</ivy-module>
"""
_DEPENDENCY = '    <dependency org="{}" name="{}" rev="{}" transitive="{}" conf="default->default">{}</dependency>'
_CLASSIFIED = '<artifact name="{}" type="jar" ext="jar" m:classifier="{}"/>'


@dataclass(frozen=True, slots=True)
class JarSet:
    """Coordinates that are used together, with or without what they depend on.

    A coordinate is ``organisation:name:revision``, with ``:classifier`` where not the plain jar is meant.
    """

    name: str
    coordinates: tuple[str, ...]
    transitive: bool


KAFKA = JarSet(
    name="kafka",
    # The second one is the logging backend that Kafka's own distribution ships: without it the broker logs nothing.
    coordinates=("org.apache.kafka:kafka_2.13:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"),
    transitive=True,
)
KAFKA_TOOLS = JarSet(
    name="kafka-tools",
    # Kafka's own command-line tools, on the broker's class path: for the tests of what they do to a consumer group.
    coordinates=("org.apache.kafka:kafka-tools:4.3.1",),
    transitive=False,
)
SPARK = JarSet(
    name="spark",
    coordinates=(
        "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0",
        "org.apache.iceberg:iceberg-aws-bundle:1.12.0",
        "org.postgresql:postgresql:42.7.8",
    ),
    transitive=False,
)
CLICKHOUSE_JDBC = JarSet(
    name="clickhouse-jdbc",
    # For `make bench` only: the driver of the batch script that icehaul is compared with.
    coordinates=("com.clickhouse:clickhouse-jdbc:0.9.4:all",),
    transitive=False,
)
ALL_SETS = (KAFKA, KAFKA_TOOLS, SPARK, CLICKHOUSE_JDBC)


def fetch(
    jar_set: JarSet,
    *,
    java_home: Path,
    cache: Path,
    log_file: Path,
    announce: Callable[[str], None] = lambda _: None,
) -> tuple[Path, ...]:
    """The set's jars, from the cache or resolved into it, each one equal to its committed checksum.

    Many processes may ask at once: one resolves, the others wait. Files whose size and time of change are those of
    the last full check are not read again. ``announce`` hears of a download before it begins.

    Raises:
        JarsError: if they cannot be resolved, or differ from ``jars.lock``.
    """
    expected = locked(jar_set)
    fingerprint = hashlib.sha256(json.dumps(expected).encode()).hexdigest()[:12]
    home = cache / "jars" / f"{jar_set.name}-{fingerprint}"
    paths = tuple(home / file for file in expected)
    if _matches_stamp(home, paths):
        return paths
    with exclusive(home.with_suffix(".lock"), deadline_s=_LOCK_DEADLINE_S, purpose=f"fetching {jar_set.name} jars"):
        if _matches_stamp(home, paths):
            return paths
        if not all(path.exists() for path in paths):
            announce(f"downloading {len(paths)} jars for {jar_set.name} into {home.parent}, once")
            _resolve_into(jar_set, home, java_home=java_home, cache=cache, log_file=log_file)
        _verify(jar_set, home, expected)
        stamp = {path.name: _identity(path) for path in paths}
        (home / _STAMP).write_text(json.dumps(stamp), encoding="utf-8")
    return paths


def locked(jar_set: JarSet) -> dict[str, str]:
    """File names and checksums of a set, as committed in ``jars.lock``."""
    text = importlib.resources.files("consumer.embedded").joinpath("jars.lock").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {file: checksum for name, file, checksum in rows if name == jar_set.name}


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as jar:
        return hashlib.file_digest(jar, "sha256").hexdigest()


def resolve(jar_set: JarSet, target: Path, *, java_home: Path, log_file: Path, checksums: bool = False) -> None:
    """Let Ivy put the set's jars into ``target``: unchecked, or compared with the repository's ``checksums``.

    Raises:
        JarsError: if Ivy fails or takes longer than ten minutes.
    """
    with tempfile.TemporaryDirectory(prefix="icehaul-ivy-", dir=target.parent) as scratch:
        work = Path(scratch)
        dependencies = "\n".join(_dependency(coordinate, jar_set.transitive) for coordinate in jar_set.coordinates)
        ivy_file = work / "ivy.xml"
        ivy_file.write_text(_IVY_FILE.format(name=jar_set.name, dependencies=dependencies), encoding="utf-8")
        arguments = (
            *("-cache", str(work / "cache"), "-ivy", str(ivy_file), "-confs", "default", "-types", "jar", "bundle"),
            *("-warn", "-retrieve", str(target / _PATTERN), *resolution_settings(work, checksums=checksums)),
        )
        launch = Launch(argv=(str(java_home / "bin" / "java"), "-jar", str(_ivy()), *arguments), cwd=work)
        try:
            run_tool(launch, log_file, deadline_s=_RESOLVE_DEADLINE_S, purpose=f"resolving the {jar_set.name} jars")
        except EmbeddedStackError as error:
            raise JarsError(
                error.message,
                remedy="check the network; behind a mirror, name it in ~/.m2/settings.xml or ~/.ivy2/ivysettings.xml",
            ) from error


def _dependency(coordinate: str, transitive: bool) -> str:
    organisation, name, revision, *classifier = coordinate.split(":")
    artifact = "".join(_CLASSIFIED.format(name, one) for one in classifier)
    return _DEPENDENCY.format(organisation, name, revision, str(transitive).lower(), artifact)


def _resolve_into(jar_set: JarSet, home: Path, *, java_home: Path, cache: Path, log_file: Path) -> None:
    (cache / "jars").mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{jar_set.name}-", dir=cache / "jars"))
    try:
        resolve(jar_set, staging, java_home=java_home, log_file=log_file)
        shutil.rmtree(home, ignore_errors=True)
        staging.rename(home)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _verify(jar_set: JarSet, home: Path, expected: dict[str, str]) -> None:
    present = {path.name: path for path in home.glob("*.jar")}
    wrong = [file for file, checksum in expected.items() if file in present and sha256(present[file]) != checksum]
    missing = sorted(expected.keys() - present.keys())
    unlisted = sorted(present.keys() - expected.keys())
    complaints = (("wrong checksum", wrong), ("missing", missing), ("not in jars.lock", unlisted))
    found = "; ".join(f"{what}: {', '.join(files)}" for what, files in complaints if files)
    if found:
        raise JarsError(
            f"the {jar_set.name} jars in {home} are not the ones in jars.lock: {found}",
            remedy=f"remove {home} and try again; if it happens again, do not trust the repository they come from",
        )


def _matches_stamp(home: Path, paths: tuple[Path, ...]) -> bool:
    try:
        stamp = json.loads((home / _STAMP).read_text(encoding="utf-8"))
        return bool(stamp == {path.name: _identity(path) for path in paths})
    except (OSError, ValueError):
        return False


def _identity(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _ivy() -> Path:
    pyspark = importlib.util.find_spec("pyspark")
    found = sorted(Path(pyspark.origin).parent.glob("jars/ivy-*.jar")) if pyspark and pyspark.origin else []
    if not found:
        raise JarsError("found no Ivy jar inside pyspark", remedy="reinstall pyspark from its wheel")
    return found[-1]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the lock lines of all sets, freshly resolved: what ``jars.lock`` should hold; or fill the cache."""
    parser = argparse.ArgumentParser(prog="python -m consumer.embedded.jars", description=main.__doc__)
    parser.add_argument("--fetch", action="store_true", help="fetch what the embedded stack and its tests need")
    cache, nowhere = cache_directory(), Path(os.devnull)
    java_home = find_java_home(cache)
    if parser.parse_args(argv).fetch:
        for jar_set in (KAFKA, KAFKA_TOOLS, SPARK):
            fetch(jar_set, java_home=java_home, cache=cache, log_file=nowhere)
        return
    for jar_set in ALL_SETS:
        with tempfile.TemporaryDirectory(prefix="icehaul-jars-") as scratch:
            target = Path(scratch) / jar_set.name
            resolve(jar_set, target, java_home=java_home, log_file=nowhere, checksums=True)
            for path in sorted(target.glob("*.jar")):
                sys.stdout.write(f"{jar_set.name} {path.name} {sha256(path)}\n")


if __name__ == "__main__":
    main()
