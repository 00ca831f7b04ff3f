"""The store's key travels with a job, never in the description of a task: PySpark writes that to a file."""

from __future__ import annotations

import pickle

from pydantic import SecretStr

from consumer.adapters.clickhouse.files import FileReader
from consumer.adapters.spark.access import source_access, store_access, without_keys
from consumer.adapters.spark.engine import SparkEngine
from consumer.domain.clickhouse_sql import quote_text
from consumer.settings.connections import ClickHouseSettings, SparkSettings, StoreSettings
from spark.unit_task import STORE_KEY, FileLayout, JobContext

KEY = "s3cr3t'key\\with"
STORE = StoreSettings(endpoint="http://store", bucket="lake", access_key="public", secret_key=SecretStr(KEY))
PATH = "s3://lake/warehouse/b/t/data/1.parquet"


def context(store: StoreSettings) -> JobContext:
    layout = FileLayout(schema_json="{}", row_group_rows=1, row_group_bytes=1)
    return JobContext(
        source=source_access(ClickHouseSettings(), SparkSettings()),
        store=store_access(store),
        layout=layout,
        file_secret=None if store.secret_key is None else store.secret_key.get_secret_value(),
    )


def test_a_task_that_reads_a_file_gets_the_key_from_the_job_where_it_runs() -> None:
    engine = SparkEngine(SparkSettings(), ClickHouseSettings(), STORE)
    query = f"SELECT * FROM {engine._files.source(PATH, 'x UInt8')}"
    assert KEY not in query
    assert quote_text(KEY) not in query
    assert quote_text(STORE_KEY) in query
    whole = context(STORE).complete(query)
    assert whole == f"SELECT * FROM {FileReader(ClickHouseSettings(), STORE).source(PATH, 'x UInt8')}"
    assert quote_text(KEY) in whole
    assert KEY.encode() not in pickle.dumps(query)


def test_keys_of_clickhouses_own_take_the_same_way() -> None:
    own = ClickHouseSettings(store_access_key="reader", store_secret_key=SecretStr("of the reader's own"))
    engine = SparkEngine(SparkSettings(), own, STORE)
    query = engine._files.source(PATH, "x UInt8")
    assert "of the reader" not in query
    assert "reader" in query
    assert engine._file_secret == "of the reader's own"


def test_a_store_without_keys_needs_none() -> None:
    public = STORE.model_copy(update={"access_key": None, "secret_key": None})
    assert without_keys(ClickHouseSettings(), public) == (ClickHouseSettings(), public)
    assert context(public).complete("SELECT 1") == "SELECT 1"
