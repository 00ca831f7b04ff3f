"""What the doctor finds out about this machine: Java, Python packages, secrets in files."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement as Specifier

from consumer.service.doctor.machine import Requirement
from consumer.settings.connections import SparkSettings
from consumer.settings.spark_remote import holds_token

_PACKAGE = "icehaul"
_SECRETS = (
    ("clickhouse", "password"),
    ("clickhouse", "store_secret_key"),
    ("postgres", "dsn"),
    ("store", "secret_key"),
    ("kafka", "secret_options"),
)


def java_home(environment: Mapping[str, str]) -> Path | None:
    """Return the home of the Java that Spark would start: ``JAVA_HOME``, else the one of ``java`` on the path."""
    if home := environment.get("JAVA_HOME"):
        return Path(home)
    found = shutil.which("java", path=environment.get("PATH"))
    return Path(found).resolve().parent.parent if found is not None else None


def scratch_folder(spark: SparkSettings | None) -> Path:
    """Return the folder where Spark and Python keep temporary files."""
    configured = spark.conf.get("spark.local.dir") if spark is not None else None
    named = os.environ.get("SPARK_LOCAL_DIRS") or configured
    return Path(named.split(",", maxsplit=1)[0]) if named else Path(tempfile.gettempdir())


def requirements() -> Sequence[Requirement]:
    """Compare the Python packages that icehaul needs with those that are installed.

    An extra's packages are looked at only where one of them is installed.
    """
    found = []
    for text in importlib.metadata.requires(_PACKAGE) or ():
        wanted = Specifier(text)
        extra = "extra" in str(wanted.marker or "")
        if wanted.marker is not None and not extra and not wanted.marker.evaluate():
            continue
        installed = _installed(wanted.name)
        if extra and installed is None:
            continue
        found.append(
            Requirement(
                package=wanted.name,
                wanted=str(wanted.specifier),
                installed=installed,
                fits=installed is not None and wanted.specifier.contains(installed, prereleases=True),
            )
        )
    return found


def secrets_in(data: Mapping[str, object]) -> list[str]:
    """Return the secret fields that stand in a configuration file's content."""
    found = [
        f"{section}.{field}"
        for section, field in _SECRETS
        if isinstance(values := data.get(section), Mapping) and values.get(field)
    ]
    spark = data.get("spark")
    if isinstance(spark, Mapping) and holds_token(str(spark.get("remote"))):
        found.append("spark.remote")
    return found


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
