"""Targets of a newer version of Iceberg's table format: PyIceberg can't write them, so they are refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadataUtil, new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.types import NestedField, TimestampNanoType

from consumer.domain.errors import TargetMismatchError
from consumer.embedded.stack import EmbeddedStack
from tests.support.cold_tier import MAPPING, IcebergColdTier, iceberg_cold_tier


@pytest.fixture
def tier(stack: EmbeddedStack) -> Iterator[IcebergColdTier]:
    with iceberg_cold_tier(stack.endpoints) as real:
        yield real


def test_the_library_that_commits_writes_no_version_3() -> None:
    nanos = Schema(NestedField(field_id=1, name="ts", field_type=TimestampNanoType(), required=True))
    metadata = new_table_metadata(
        nanos, PartitionSpec(), UNSORTED_SORT_ORDER, "s3://bucket/table", properties={"format-version": "3"}
    )

    # Once this fails, docs/adr/0036 is to be decided anew.
    with pytest.raises(NotImplementedError, match="Writing V3 is not yet supported"):
        metadata.model_dump_json()


VARIANT = {"id": 90, "name": "v", "type": "variant", "required": False}


@pytest.mark.parametrize(
    ("version", "added", "readable"),
    [
        pytest.param(3, [], True, id="3"),
        pytest.param(3, [VARIANT], False, id="3 with a type that PyIceberg does not know"),
        pytest.param(4, [], False, id="4"),
    ],
)
def test_an_existing_table_of_a_newer_version_is_refused_with_the_reason(
    tier: IcebergColdTier, version: int, added: list[dict[str, Any]], readable: bool
) -> None:
    tier.publish(tier.begin())
    base = tier.catalog._bases.load(tier.stream.target)
    assert base is not None
    document = json.loads(base.metadata.model_dump_json()) | {"format-version": version, "next-row-id": 3}
    for schema in document["schemas"]:
        schema["fields"] += added
    text = json.dumps(document)
    if readable:
        assert TableMetadataUtil.parse_raw(text).format_version == version
    newer = f"{base.metadata.location}/metadata/99999-newer.metadata.json"
    tier.put(newer, text.encode())
    tier.execute(f"UPDATE iceberg_tables SET metadata_location = '{newer}' WHERE table_name = 'trades'")

    with pytest.raises(TargetMismatchError, match=f"has Iceberg's format version {version}") as refusal:
        tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=None)

    assert "a new target" in refusal.value.remedy


def test_metadata_that_is_broken_is_not_taken_for_a_newer_version(tier: IcebergColdTier) -> None:
    tier.publish(tier.begin())
    broken = f"s3://{tier.store.bucket}/broken.metadata.json"
    tier.put(broken, b'{"format-version": 2, "schemas": "none"}')
    tier.execute(f"UPDATE iceberg_tables SET metadata_location = '{broken}' WHERE table_name = 'trades'")

    with pytest.raises(Exception, match="validation error") as error:
        tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=None)

    assert not isinstance(error.value, TargetMismatchError)
