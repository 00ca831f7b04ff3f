"""An export of a few made-up rows, by the task's own code: what it meets, an export of real rows would meet."""

from __future__ import annotations

from uuid import uuid4

from pyiceberg.schema import assign_fresh_schema_ids

from consumer.adapters.clickhouse.files import FileReader
from consumer.adapters.spark.access import file_layout, source_access, store_access, without_keys
from consumer.adapters.spark.exports import export_order
from consumer.domain.export_query import ATTEMPT
from consumer.domain.file_options import DEFAULTS
from consumer.domain.mapping import SourceColumn
from consumer.domain.type_mapping import map_table
from consumer.failpoints.acting import Failpoints
from consumer.settings.connections import ClickHouseSettings, SparkSettings, StoreSettings
from spark.tail_rewrite import remove
from spark.unit_export import export_unit
from spark.unit_task import JobContext, UnitTask, attempt_path

FOLDER = "_icehaul_doctor"
_ROWS = "SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC') AS ts, toInt64(number) AS probe FROM numbers(6)"
_COLUMNS = (SourceColumn(name="ts", type="DateTime64(6, 'UTC')"), SourceColumn(name="probe", type="Int64"))


def try_export(clickhouse: ClickHouseSettings, store: StoreSettings, spark: SparkSettings) -> None:
    """Let ClickHouse write a small file under the warehouse, complete it, and remove it.

    Raises:
        IcehaulError: why that does not work.
    """
    mapping = map_table(_COLUMNS, timestamp_column="ts")
    prefix = f"{store.warehouse}/{FOLDER}"
    files = FileReader(*without_keys(clickhouse, store))
    order = export_order(files, mapping, _ROWS, attempt_path(prefix, 0, ATTEMPT), may_stream=False)
    context = JobContext(
        source=source_access(clickhouse, spark),
        store=store_access(store),
        layout=file_layout(assign_fresh_schema_ids(mapping.iceberg_schema()), spark, DEFAULTS),
        file_secret=next(iter(FileReader(clickhouse, store).secrets), None),
    )
    attempt = uuid4()
    task = UnitTask(index=0, batch_id=f"doctor-{attempt}", query="", prefix=prefix, export=order)
    file = export_unit(context, task, order, attempt, Failpoints())
    if file is not None:
        remove(context.store, file.path)
