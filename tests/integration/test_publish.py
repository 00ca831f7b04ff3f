"""Publishing into real Iceberg tables: what other engines find there, and what it costs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from uuid import UUID

import psycopg
import pyarrow as pa
import pytest
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.conversions import from_bytes
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import StaticTable
from pyiceberg.transforms import DayTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    PrimitiveType,
    StringType,
    StructType,
    TimestamptzType,
    UUIDType,
)

from consumer.adapters.iceberg.catalog import IcebergCatalog
from consumer.domain.errors import CheckFailedError, TargetMismatchError
from consumer.domain.mapping import TableMapping
from consumer.domain.proof import Proof
from consumer.domain.stream import DigestPolicy, TableName
from consumer.domain.window import PartitionBy, Window
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import Publication
from consumer.settings.connections import CatalogSettings
from tests.support.cold_tier import (
    HOUR,
    MAPPING,
    START,
    STREAM,
    TRIGGER,
    IcebergColdTier,
    column,
    iceberg_cold_tier,
    parquet_bytes,
    rows_of,
)


@pytest.fixture
def tier(stack: EmbeddedStack) -> Iterator[IcebergColdTier]:
    with iceberg_cold_tier(stack.endpoints) as real:
        yield real


def entries(tier: IcebergColdTier) -> list[DataFile]:
    """The live data files as the manifests describe them, oldest first."""
    table = tier.table()
    snapshot = table.current_snapshot()
    assert snapshot is not None
    found = [
        entry
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    ]
    return [entry.data_file for entry in sorted(found, key=lambda entry: entry.sequence_number or 0)]


def partition(file: DataFile) -> list[object]:
    return [file.partition[position] for position in range(len(file.partition))]


def decoded(kind: PrimitiveType, bound: bytes) -> object:
    value: object = from_bytes(kind, bound)
    return value


# ---------------------------------------------------------------------------------------------- readers


def test_another_engine_reads_exactly_the_rows_that_were_written(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    for note in ("a", "b"):
        tier.catalog.publish(tier.write(claim, rows=5, note=note).publication)
    expected = pa.concat_tables(
        rows_of(Window(lower=START + n * HOUR, upper=START + (n + 1) * HOUR), 5, note=note)
        for n, note in enumerate(("a", "b"))
    )
    found = tier.table().scan().to_arrow().sort_by("ts")
    assert found.to_pylist() == expected.cast(found.schema).to_pylist()


def test_the_catalogs_rows_are_those_of_a_jdbc_catalog_v1(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    before = tier.table().metadata_location
    tier.publish(claim)
    with psycopg.connect(tier.dsn) as connection:
        (row,) = connection.execute("SELECT * FROM iceberg_tables").fetchall()
        namespaces = connection.execute("SELECT * FROM iceberg_namespace_properties").fetchall()
    assert row == ("icehaul", "bronze", "trades", tier.table().metadata_location, before, "TABLE")
    assert namespaces == [("icehaul", "bronze", "exists", "true")]
    assert tier.other.list_tables("bronze") == [("bronze", "trades")]


def test_the_metadata_file_alone_is_a_whole_table(tier: IcebergColdTier) -> None:
    tier.publish(tier.begin())
    location = tier.table().metadata_location
    assert PurePosixPath(location).name.startswith("00001-")
    alone = StaticTable.from_metadata(location, dict(tier.other.properties))
    assert alone.scan().count() == 3


def test_the_snapshot_says_where_it_came_from(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    step = tier.write(claim)
    proof = Proof(policy=DigestPolicy.ALWAYS, files=1, content=step.publication.fingerprint)
    snapshot_id = tier.catalog.publish(replace(step.publication, proof=proof))
    table = tier.table()
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    ours = {k: v for k, v in snapshot.summary.additional_properties.items() if k.startswith("icehaul.")}
    batch = step.publication.batch
    assert ours == {
        "icehaul.batch-id": str(batch.id),
        "icehaul.stream": "trades",
        "icehaul.kind": "window",
        "icehaul.window-lower": "2024-01-01T00:00:00+00:00",
        "icehaul.window-upper": "2024-01-01T01:00:00+00:00",
        "icehaul.rows": "3",
        "icehaul.digest": "0000000000000003",
        "icehaul.schema-id": "0",
        "icehaul.proof": "always",
        "icehaul.proved-files": "1",
        "icehaul.proved-rows": "3",
        "icehaul.proved-digest": "0000000000000003",
        "icehaul.generation": "1",
        "icehaul.epoch": str(claim.epoch),
        "icehaul.event-id": TRIGGER.event_id,
        "icehaul.kafka-topic": "icehaul.events",
        "icehaul.kafka-partition": "3",
        "icehaul.kafka-offset": "7",
        "icehaul.trace-id": TRIGGER.trace_id,
        "icehaul.traceparent": TRIGGER.traceparent,
        "icehaul.last-upper": "2024-01-01T01:00:00+00:00",
        "icehaul.last-generation": "1",
    }
    assert snapshot.summary["total-records"] == "3"
    assert table.properties["icehaul.last-upper"] == "2024-01-01T01:00:00+00:00"
    assert table.properties["icehaul.last-generation"] == "1"
    assert table.properties["icehaul.last-snapshot-id"] == str(snapshot_id)
    assert table.properties["icehaul.stream"] == "trades"


def test_a_created_table_is_set_up_for_frequent_commits(tier: IcebergColdTier) -> None:
    tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
    table = tier.table()
    assert table.format_version == 2
    assert [str(field.transform) for field in table.spec().fields] == ["day"]
    assert table.sort_order().is_unsorted
    properties = table.properties
    assert properties["write.parquet.compression-codec"] == "zstd"
    assert properties["write.metadata.delete-after-commit.enabled"] == "true"
    assert properties["commit.manifest-merge.enabled"] == "true"
    assert [each["names"] for each in json.loads(properties["schema.name-mapping.default"])] == [
        ["ts"],
        ["id"],
        ["note"],
        ["tags"],
    ]


# ---------------------------------------------------------------------------------------------- manifest entries


@pytest.mark.parametrize(
    ("partition_by", "instant", "expected"),
    [
        (PartitionBy.NONE, datetime(2024, 5, 17, 13, tzinfo=UTC), None),
        (PartitionBy.YEAR, datetime(2024, 5, 17, 13, tzinfo=UTC), 54),
        (PartitionBy.MONTH, datetime(2024, 5, 17, 13, tzinfo=UTC), 54 * 12 + 4),
        (PartitionBy.DAY, datetime(2024, 5, 17, 13, tzinfo=UTC), 19860),
        (PartitionBy.HOUR, datetime(2024, 5, 17, 13, tzinfo=UTC), 19860 * 24 + 13),
        (PartitionBy.DAY, datetime(1969, 12, 31, 22, tzinfo=UTC), -1),
        (PartitionBy.YEAR, datetime(1900, 6, 1, tzinfo=UTC), -70),
        (PartitionBy.HOUR, datetime(1969, 12, 31, 22, tzinfo=UTC), -2),
    ],
)
def test_the_partition_is_that_of_the_units_window(
    tier: IcebergColdTier, partition_by: PartitionBy, instant: datetime, expected: int | None
) -> None:
    tier.stream = replace(STREAM, partition_by=partition_by)
    claim = tier.begin(at=instant)
    tier.publish(claim)
    (file,) = entries(tier)
    assert partition(file) == ([] if expected is None else [expected])
    day = Window(lower=instant, upper=instant + HOUR)
    assert tier.catalog.data_files(tier.stream.target, partition_by, day) == [file.file_path]
    assert tier.table().scan().count() == 3


def test_a_stream_may_be_on_a_date_column(tier: IcebergColdTier) -> None:
    tier.mapping = TableMapping(columns=(column("ts", DateType(), required=True), *MAPPING.columns[1:]))
    claim = tier.begin()
    step = tier.begin_batch(claim, span=timedelta(days=1))
    rows = rows_of(step.publication.batch.window, 2).set_column(0, "ts", pa.array([START.date()] * 2, pa.date32()))
    batch = step.publication.batch
    file = tier.put_rows(tier.target(), batch, rows)
    tier.catalog.check(tier.target(), tier.stream, [file])
    tier.catalog.publish(replace(step.publication, files=[file]))
    (entry,) = entries(tier)
    assert partition(entry) == [19723]
    assert tier.catalog.data_files(tier.stream.target, PartitionBy.DAY, batch.window) == [file.path]


def test_metrics_are_those_of_the_rows(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    step = tier.write(claim, rows=10, note="a rather long text of more than 16 characters")
    tier.catalog.publish(step.publication)
    (file,) = entries(tier)
    schema = tier.target().schema
    time, number, note = (schema.find_field(name).field_id for name in ("ts", "id", "note"))
    assert (file.record_count, file.file_size_in_bytes) == (10, step.file.bytes)
    assert decoded(TimestamptzType(), file.lower_bounds[time]) == 1704067200000000
    assert decoded(TimestamptzType(), file.upper_bounds[time]) == 1704067200000000 + 9 * 360_000_000
    assert decoded(LongType(), file.upper_bounds[number]) == 9
    assert decoded(StringType(), file.lower_bounds[note]) == "a rather long te"
    assert decoded(StringType(), file.upper_bounds[note]) == "a rather long tf"
    assert (file.value_counts[note], file.null_value_counts[note]) == (10, 5)


def test_a_row_group_without_bounds_never_hides_rows(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    step = tier.begin_batch(claim)
    rows = rows_of(step.publication.batch.window, 4)
    # Parquet leaves bounds of this length out; those of the other row group alone would be wrong for the file.
    rows = rows.set_column(2, "note", pa.array(["z" * 100_000, "z" * 100_000, "a", "b"]))
    batch = step.publication.batch
    file = tier.put_rows(tier.target(), batch, rows, group=2)
    tier.catalog.publish(replace(step.publication, files=[file]))
    (entry,) = entries(tier)
    assert tier.target().schema.find_field("note").field_id not in entry.upper_bounds
    assert tier.table().scan(row_filter="note >= 'y'").count() == 2


# ---------------------------------------------------------------------------------------------- checks


def checked(tier: IcebergColdTier, content: bytes) -> None:
    """Check a file with this content, reported as it is."""
    step = tier.write(tier.begin())
    file = replace(step.file, path=f"{step.file.path}.copy", bytes=len(content))
    tier.put(file.path, content)
    tier.catalog.check(tier.target(), tier.stream, [file])


def test_a_truncated_file_fails_the_check(tier: IcebergColdTier) -> None:
    target = tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
    content = parquet_bytes(rows_of(Window(lower=START, upper=START + HOUR), 3), target)
    for damaged in (content[:-20], content[:40], b"", b"PAR1"):
        with pytest.raises(CheckFailedError, match="truncated or corrupt"):
            checked(tier, damaged)


def test_a_corrupt_footer_fails_the_check(tier: IcebergColdTier) -> None:
    target = tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
    content = parquet_bytes(rows_of(Window(lower=START, upper=START + HOUR), 3), target)
    size = int.from_bytes(content[-8:-4], "little")
    for damaged in (
        content[: -8 - size] + b"\xff" * size + content[-8:],
        content[:-8] + b"\xff\xff\xff\x7fPAR1",
        content[:-4] + b"NOPE",
    ):
        with pytest.raises(CheckFailedError, match="truncated or corrupt"):
            checked(tier, damaged)


def test_another_codec_fails_the_check(tier: IcebergColdTier) -> None:
    target = tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
    rows = rows_of(Window(lower=START, upper=START + HOUR), 3)
    with pytest.raises(CheckFailedError, match="compression codec is SNAPPY, expected is ZSTD"):
        checked(tier, parquet_bytes(rows, target, codec="snappy"))


def test_missing_or_wrong_field_ids_fail_the_check(tier: IcebergColdTier) -> None:
    target = tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
    rows = rows_of(Window(lower=START, upper=START + HOUR), 3)
    wrong = Schema(*(field.model_copy(update={"field_id": field.field_id + 50}) for field in target.schema.fields))
    with pytest.raises(CheckFailedError, match="field id of column"):
        checked(tier, parquet_bytes(rows, replace(target, schema=wrong)))


def test_a_file_across_partitions_fails_the_check(tier: IcebergColdTier) -> None:
    target = tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
    rows = rows_of(Window(lower=START, upper=START + 48 * HOUR), 3)
    with pytest.raises(CheckFailedError, match="across partitions by day"):
        checked(tier, parquet_bytes(rows, target))


def test_a_row_outside_of_the_units_window_is_never_published(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    step = tier.write(claim)
    window = step.publication.batch.window
    late = rows_of(Window(lower=window.lower, upper=window.upper + 2 * HOUR), 3)
    file = tier.put_rows(tier.target(), step.publication.batch, late)
    with pytest.raises(CheckFailedError, match="outside of the unit's window"):
        tier.catalog.publish(replace(step.publication, files=[file]))
    assert tier.target().snapshot_id is None


def test_a_file_that_is_reported_twice_is_never_published(tier: IcebergColdTier) -> None:
    step = tier.write(tier.begin())
    with pytest.raises(CheckFailedError, match="twice"):
        tier.catalog.publish(replace(step.publication, files=[step.file, step.file]))
    assert tier.target().snapshot_id is None


# ---------------------------------------------------------------------------------------------- tables of others


def test_a_table_that_another_engine_made_is_taken_over(tier: IcebergColdTier) -> None:
    tier.other.create_namespace("bronze")
    made = tier.other.create_table(
        "bronze.trades",
        MAPPING.iceberg_schema(),
        partition_spec=PartitionSpec(
            PartitionField(source_id=1, field_id=1000, transform=DayTransform(), name="any_name")
        ),
    )
    claim = tier.begin()
    assert tier.target().uuid == made.metadata.table_uuid
    tier.publish(claim)
    properties = tier.table().properties
    assert properties["icehaul.stream"] == "trades"
    assert properties["write.metadata.delete-after-commit.enabled"] == "true"
    assert tier.table().scan().count() == 3


def test_a_table_of_another_format_version_is_refused(tier: IcebergColdTier) -> None:
    tier.other.create_namespace("bronze")
    tier.other.create_table(
        "bronze.trades",
        Schema(NestedField(field_id=1, name="ts", field_type=TimestamptzType(), required=True)),
        properties={"format-version": "1"},
    )
    with pytest.raises(TargetMismatchError, match="format-version: it is 1, expected is 2"):
        tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=None)


def test_a_view_is_no_target(tier: IcebergColdTier) -> None:
    tier.execute("INSERT INTO iceberg_tables VALUES ('icehaul', 'bronze', 'trades', 's3://x', NULL, 'VIEW')")
    with pytest.raises(TargetMismatchError, match="is a view"):
        tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=None)


def test_evidence_that_a_compaction_carries_forward_counts(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    tier.publish(claim)
    step = tier.write(claim)
    tier.catalog.publish(step.publication)
    compacted = tier.compact(carry=True)
    evidence = tier.target().evidence
    assert evidence is not None
    assert (evidence.snapshot_id, evidence.upper) == (compacted, START + 2 * HOUR)
    assert evidence.batch_id == step.publication.batch.id
    tier.expire(1)
    tier.publish(claim)
    assert tier.table().scan().count() == 9


def test_a_compaction_without_evidence_is_looked_through_also_after_expiry(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    ours = tier.publish(claim)
    tier.compact(carry=False)
    assert tier.target().evidence is not None
    tier.expire(1)
    evidence = tier.target().evidence
    assert evidence is not None
    assert evidence.snapshot_id == ours
    tier.publish(claim)
    assert tier.table().scan().count() == 6


# ---------------------------------------------------------------------------------------------- cost and concurrency


@pytest.mark.thorough
def test_the_cost_of_a_publish_does_not_grow_with_history(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    sizes: list[int] = []
    for _ in range(60):
        tier.publish(claim)
        sizes.append(len(tier.io.new_input(tier.location())))
    table = tier.table()
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert len(table.metadata.snapshots) == 20
    assert len(table.metadata.snapshot_log) == 20
    assert len(snapshot.manifests(table.io)) < 20
    assert max(sizes[30:]) < 1.1 * sizes[29]
    metadata_files = [key for key in tier.keys("metadata") if key.endswith(".metadata.json")]
    assert len(metadata_files) == 21
    assert table.scan().count() == 180


def test_expiry_keeps_tags_and_branches(tier: IcebergColdTier) -> None:
    tier.stream = replace(STREAM, retain_snapshots=2)
    claim = tier.begin()
    tagged = tier.publish(claim)
    branched = tier.publish(claim)
    manage = tier.table().manage_snapshots()
    manage.create_tag(tagged, "audit").create_branch(branched, "work").commit()
    last = [tier.publish(claim) for _ in range(5)][-2:]
    table = tier.table()
    assert {each.snapshot_id for each in table.snapshots()} == {tagged, branched, *last}
    assert set(table.refs()) == {"main", "audit", "work"}
    assert table.scan(snapshot_id=tagged).count() == 3


def test_one_retained_snapshot_is_enough(tier: IcebergColdTier) -> None:
    tier.stream = replace(STREAM, retain_snapshots=1)
    claim = tier.begin()
    ids = [tier.publish(claim) for _ in range(3)]
    assert [each.snapshot_id for each in tier.table().snapshots()] == ids[-1:]
    assert tier.table().scan().count() == 9


def test_many_consumers_may_create_one_table_at_once(tier: IcebergColdTier) -> None:
    catalogs = [IcebergCatalog(database=tier.database, catalog=CatalogSettings(), store=tier.store) for _ in range(6)]
    together = threading.Barrier(len(catalogs))

    def create(catalog: IcebergCatalog) -> object:
        together.wait()
        return catalog.ensure(tier.stream, MAPPING, expected_uuid=None)

    with ThreadPoolExecutor(len(catalogs)) as threads:
        targets = list(threads.map(create, catalogs))
    assert all(target == targets[0] for target in targets)
    assert [key for key in tier.keys("metadata") if key.endswith(".json")] == [tier.table().metadata_location]


def test_streams_publish_side_by_side_through_one_catalog(tier: IcebergColdTier) -> None:
    def run(number: int) -> int:
        mine = tier.sibling(replace(STREAM, name=f"s{number}", target=TableName(database="bronze", table=f"t{number}")))
        claim = mine.begin()
        for _ in range(5):
            mine.publish(claim)
        return mine.table().scan().count()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(run, range(4))) == [15] * 4


def test_pyiceberg_cannot_commit_around_the_fence(tier: IcebergColdTier) -> None:
    tier.publish(tier.begin())
    base = tier.catalog._bases.load(tier.stream.target)
    assert base is not None
    table = base.table(tier.io)
    assert isinstance(table.catalog, NoopCatalog)
    with pytest.raises(NotImplementedError):
        table.transaction().set_properties({"a": "b"}).commit_transaction()


def test_a_publication_without_coordinates_is_published(tier: IcebergColdTier) -> None:
    step = tier.write(tier.begin())
    bare: Publication = replace(
        step.publication, trigger=replace(TRIGGER, coordinates=None, trace_id=None, traceparent=None)
    )
    tier.catalog.publish(bare)
    snapshot = tier.table().current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert "icehaul.kafka-topic" not in snapshot.summary.additional_properties


def test_every_type_that_a_target_may_have_is_described(tier: IcebergColdTier) -> None:
    pair = StructType(
        NestedField(field_id=71, name="left", field_type=IntegerType(), required=True),
        NestedField(field_id=72, name="right", field_type=StringType(), required=False),
    )
    kinds: dict[str, tuple[IcebergType, list[object]]] = {
        "small": (DecimalType(9, 2), [Decimal("-1.50"), None]),
        "medium": (DecimalType(18, 0), [Decimal(10**17), Decimal(-5)]),
        "large": (DecimalType(38, 10), [Decimal("-12345678901234567890.0000000001"), Decimal(7)]),
        "unsigned": (DecimalType(20, 0), [Decimal(2**64 - 1), Decimal(0)]),
        "key": (UUIDType(), [UUID(int=5).bytes, UUID(int=9).bytes]),
        "real": (DoubleType(), [float("nan"), -0.0]),
        "single": (FloatType(), [float("nan"), float("nan")]),
        "flag": (BooleanType(), [True, False]),
        "day": (DateType(), [date(1900, 1, 1), date(2299, 12, 31)]),
        "raw": (BinaryType(), [b"\xff" * 40, b""]),
        "fixed": (FixedType(4), [b"\x00\x01\x02\x03", None]),
        "nothing": (StringType(), [None, None]),
        "pair": (pair, [{"left": 1, "right": None}, {"left": 2, "right": "r"}]),
        "pairs": (ListType(element_id=81, element_type=pair, element_required=False), [[{"left": 1}], []]),
        "map": (
            MapType(key_id=91, key_type=StringType(), value_id=92, value_type=LongType(), value_required=False),
            [[("a", 1), ("b", None)], []],
        ),
    }
    added = tuple(column(name, kind) for name, (kind, _) in kinds.items())
    tier.mapping = TableMapping(columns=(*MAPPING.columns, *added))
    claim = tier.begin()
    step = tier.begin_batch(claim)
    batch = step.publication.batch
    target = tier.target()
    arrow = schema_to_pyarrow(target.schema)
    columns = rows_of(batch.window, 2).to_pydict() | {name: values for name, (_, values) in kinds.items()}
    rows = pa.table([pa.array(columns[field.name], field.type) for field in arrow], schema=arrow)
    file = tier.put_rows(target, batch, rows)
    tier.catalog.check(target, tier.stream, [file])
    tier.catalog.publish(replace(step.publication, files=[file]))
    (entry,) = entries(tier)
    schema = target.schema
    unsigned, single = (schema.find_field(name).field_id for name in ("unsigned", "single"))
    assert decoded(DecimalType(20, 0), entry.upper_bounds[unsigned]) == Decimal(2**64 - 1)
    assert single not in entry.lower_bounds
    read = tier.table().scan().to_arrow()
    assert read.num_rows == 2
    assert read["unsigned"].to_pylist() == [Decimal(2**64 - 1), Decimal(0)]
    assert read["map"].to_pylist() == [[("a", 1), ("b", None)], []]
    assert tier.table().scan(row_filter="unsigned > 5").count() == 1
