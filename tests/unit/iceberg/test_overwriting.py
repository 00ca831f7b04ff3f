"""Every manifest is judged by its own bounds, whatever another thread looks at meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyiceberg.conversions import to_bytes
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestFile, PartitionFieldSummary
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.table.update.snapshot import _OverwriteFiles
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import IntegerType, NestedField

from consumer.adapters.iceberg.overwriting import Overwrite
from consumer.adapters.iceberg.staging import StagedCommit

SCHEMA = Schema(NestedField(1, "place", IntegerType(), required=True), schema_id=0)
SPEC = PartitionSpec(PartitionField(source_id=1, field_id=1000, transform=IdentityTransform(), name="place"), spec_id=0)
GOING = (1, 3)
"""Partitions that hold a file which is to go."""


def producer(kind: type[_OverwriteFiles]) -> _OverwriteFiles:
    metadata = new_table_metadata(
        schema=SCHEMA, partition_spec=SPEC, sort_order=UNSORTED_SORT_ORDER, location="s3://nowhere", properties={}
    )
    io = PyArrowFileIO()
    table = Table(("bronze", "trades"), metadata, "s3://nowhere/metadata.json", io, cast("Any", None))
    made = kind(operation=Operation.OVERWRITE, transaction=StagedCommit(table), io=io)
    for number in GOING:
        file = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=f"s3://nowhere/{number}.parquet",
            file_format=FileFormat.PARQUET,
            partition=Record(number),
            record_count=1,
            file_size_in_bytes=1,
        )
        file.spec_id = 0
        made.delete_data_file(file)
    made._build_delete_files_partition_predicate()
    return made


class Interrupted(list[PartitionFieldSummary]):
    """A manifest's bounds; another thread comes in between each time that they have been read."""

    def __init__(self, number: int, meanwhile: Callable[[], object]) -> None:
        bound = to_bytes(IntegerType(), number)
        super().__init__([PartitionFieldSummary(False, False, bound, bound)])
        self._meanwhile = meanwhile

    def __getitem__(self, position: Any) -> Any:
        found = super().__getitem__(position)
        self._meanwhile()
        return found


def manifest(number: int, meanwhile: Callable[[], object] = lambda: None) -> ManifestFile:
    return cast("ManifestFile", SimpleNamespace(partitions=Interrupted(number, meanwhile)))


def judged(kind: type[_OverwriteFiles], number: int) -> bool:
    """Whether a manifest of that partition is looked into, where another thread judges one of another partition."""
    evaluator = producer(kind)._build_manifest_evaluator(0)
    return evaluator(manifest(number, meanwhile=lambda: evaluator(manifest(7))))


@pytest.mark.parametrize(("number", "looked_into"), [(1, True), (2, False), (3, True), (7, False)])
def test_a_manifest_that_may_hold_a_file_is_looked_into_whatever_another_thread_does(
    number: int, looked_into: bool
) -> None:
    assert judged(Overwrite, number) is looked_into


def test_pyiceberg_itself_still_needs_that() -> None:
    assert not all(judged(_OverwriteFiles, number) for number in GOING), "Overwrite is not needed any more: delete it"
