"""PyIceberg's overwrite of files, made safe for its own threads."""

from __future__ import annotations

from collections.abc import Callable

from pyiceberg.manifest import ManifestFile
from pyiceberg.table.update.snapshot import _OverwriteFiles


class Overwrite(_OverwriteFiles):
    """Removes files and adds others.

    PyIceberg looks through the manifests in several threads, which share an evaluator that keeps the bounds of the
    manifest that it was given last. A thread that is interrupted goes on with another manifest's bounds, leaves out a
    manifest that holds a file which is to go, and the commit fails: "Missing required files to delete" (0.12.0). Here
    each manifest has an evaluator of its own.
    """

    def _build_manifest_evaluator(self, spec_id: int) -> Callable[[ManifestFile], bool]:
        build = super()._build_manifest_evaluator

        def evaluate(manifest: ManifestFile) -> bool:
            fresh = build(spec_id)
            return fresh(manifest)

        return evaluate
