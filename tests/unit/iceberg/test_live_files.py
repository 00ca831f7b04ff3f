"""Data files tell a table's rows only where nobody has deleted single rows."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from pyiceberg.manifest import ManifestContent, ManifestFile
from pyiceberg.table import Table

from consumer.adapters.iceberg.live_files import live_files
from consumer.domain.errors import TargetMismatchError


def manifest(content: ManifestContent, *, added: int, existing: int) -> ManifestFile:
    return ManifestFile.from_args(
        manifest_path="s3://lake/m.avro",
        manifest_length=1,
        partition_spec_id=0,
        content=content,
        sequence_number=1,
        min_sequence_number=1,
        added_snapshot_id=1,
        added_files_count=added,
        existing_files_count=existing,
        deleted_files_count=1,
    )


def table(manifests: Sequence[ManifestFile]) -> Table:
    """A table with these manifests, whose scan finds one file."""
    file = SimpleNamespace(file=SimpleNamespace(file_path="s3://lake/a.parquet"))
    return cast(
        "Table",
        SimpleNamespace(
            io=None,
            name=lambda: ("bronze", "trades"),
            properties={},
            schema=lambda: None,
            spec=lambda: SimpleNamespace(fields=()),
            current_snapshot=lambda: SimpleNamespace(manifests=lambda _io: manifests),
            scan=lambda **_: SimpleNamespace(plan_files=lambda: [file]),
        ),
    )


@pytest.mark.parametrize(("added", "existing"), [(1, 0), (0, 1)])
def test_a_table_with_deleted_rows_is_refused(added: int, existing: int) -> None:
    deletes = manifest(ManifestContent.DELETES, added=added, existing=existing)
    with pytest.raises(TargetMismatchError, match=r"bronze\.trades has row-level deletes"):
        list(live_files(table([manifest(ManifestContent.DATA, added=1, existing=0), deletes]), None))


def test_deletes_that_were_rewritten_away_do_no_harm() -> None:
    gone = manifest(ManifestContent.DELETES, added=0, existing=0)
    data = manifest(ManifestContent.DATA, added=1, existing=0)
    assert list(live_files(table([data, gone]), None)) == ["s3://lake/a.parquet"]
