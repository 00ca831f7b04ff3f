"""Our own packages as a zip that Spark sends to the executors of a cluster."""

from __future__ import annotations

import zipfile
from pathlib import Path

import consumer
import schemas
import spark

_PACKAGES = (consumer, schemas, spark)


def zip_packages(directory: Path) -> Path:
    """Write the packages as they are installed here into ``directory/icehaul.zip``, and return its path."""
    archive = directory / "icehaul.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for package in _PACKAGES:
            root = Path(package.__path__[0])
            for path in sorted(root.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    target.write(path, Path(package.__name__) / path.relative_to(root))
    return archive
