"""What a view's text says, and what is said of servers and users that can't have one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import SecretStr

from consumer.adapters.clickhouse.client import ClickHouseConnection
from consumer.adapters.clickhouse.errors import Meaning, translated
from consumer.adapters.clickhouse.views import INLINE, ClickHouseViews
from consumer.domain.clickhouse_error import source_error
from consumer.domain.errors import AccessDeniedError, StoreUnavailableError, StreamError
from consumer.domain.mapping import SourceColumn
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_mapping import map_table
from consumer.domain.view_query import ViewMark, columns_digest, view_query
from consumer.settings.connections import ClickHouseSettings, StoreSettings

LOCATION = "s3://lake/warehouse/bronze/trades"
METADATA = f"{LOCATION}/metadata/00003-aaaa.metadata.json"
STORE = StoreSettings(endpoint="https://s3.example", bucket="lake", access_key="key-id", secret_key=SecretStr("hush"))
STREAM = Stream(
    name="trades",
    source=TableName.parse("market.trades"),
    target=TableName.parse("bronze.trades"),
    timestamp_column="ts",
)
MAPPING = map_table(
    [SourceColumn(name="ts", type="DateTime64(3, 'UTC')"), SourceColumn(name="price", type="Float64")],
    timestamp_column="ts",
)
TYPES = {"ts": "DateTime64(6, 'UTC')", "price": "Float64"}
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


class Answers(ClickHouseConnection):
    """A server that answers a statement by its first word: with rows, or an exception's text."""

    def __init__(self, **answers: Sequence[Any] | str) -> None:
        super().__init__(ClickHouseSettings(), {})
        self._answers = answers
        self.statements: list[str] = []

    def rows(self, query: str, *, meaning: Meaning = source_error, secrets: Sequence[str] = (), **_: Any) -> Any:
        return self._answer(query, meaning, secrets)

    def run(self, statement: str, *, secrets: Sequence[str] = (), meaning: Meaning = source_error, **_: Any) -> None:
        self._answer(statement, meaning, secrets)

    def _answer(self, statement: str, meaning: Meaning, secrets: Sequence[str]) -> Any:
        self.statements.append(statement)
        answer = self._answers.get(statement.split(maxsplit=1)[0], ())
        with translated("server", secrets, meaning):
            if isinstance(answer, str):
                raise DatabaseError(f"server response: {answer}")
            return answer


def views(connection: Answers, *, collection: str = "icehaul_store", store: StoreSettings = STORE) -> ClickHouseViews:
    made = ClickHouseViews(ClickHouseSettings(), store, collection)
    made._connection = connection
    return made


def test_the_keys_of_the_store_are_in_a_named_collection() -> None:
    assert views(Answers()).cold(LOCATION, METADATA) == (
        "icebergS3(`icehaul_store`, url = 'https://s3.example/lake/warehouse/bronze/trades',"
        " SETTINGS iceberg_metadata_file_path = 'metadata/00003-aaaa.metadata.json')"
    )


@pytest.mark.parametrize(
    ("collection", "store", "arguments"),
    [
        (INLINE, STORE, "'https://s3.example/lake/warehouse/bronze/trades', 'key-id', 'hush', SETTINGS"),
        (
            "icehaul_store",
            StoreSettings(bucket="lake", region="eu-west-1"),
            "'https://lake.s3.eu-west-1.amazonaws.com/warehouse/bronze/trades', SETTINGS",
        ),
    ],
)
def test_inline_keys_and_no_keys(collection: str, store: StoreSettings, arguments: str) -> None:
    assert f"icebergS3({arguments}" in views(Answers(), collection=collection, store=store).cold(LOCATION, METADATA)


def test_a_metadata_file_elsewhere_is_refused() -> None:
    with pytest.raises(StreamError, match="outside of the table's folder"):
        views(Answers()).cold(LOCATION, "s3://lake/elsewhere/00003-aaaa.metadata.json")


def test_each_tier_is_bounded_by_the_boundary_in_its_own_type() -> None:
    assert view_query(STREAM, MAPPING, NOON, cold="cold()", types=TYPES) == (
        "SELECT `ts`, `price` FROM `market`.`trades` WHERE `ts` >= toDateTime64('2024-01-01 12:00:00.000', 3, 'UTC')"
        " UNION ALL SELECT CAST(`ts` AS DateTime64(3, 'UTC')) AS `ts`, `price` FROM (SELECT `ts`, `price` FROM cold()"
        " WHERE `ts` < toDateTime64('2024-01-01 12:00:00.000000', 6, 'UTC'))"
    )


@pytest.mark.parametrize("metadata", [METADATA, None])
def test_a_mark_is_read_as_it_was_written_and_no_other_comment_is_one(metadata: str | None) -> None:
    mark = ViewMark(stream="trades", boundary=NOON, columns=columns_digest(MAPPING), snapshot_id=7, metadata=metadata)
    assert ViewMark.parse(mark.comment()) == mark
    for other in ("", "a view of ours", mark.comment()[:-3], mark.comment().replace("stream", "Stream")):
        assert ViewMark.parse(other) is None


REFUSALS: tuple[tuple[str, type[Exception], str], ...] = (
    ("Code: 46. DB::Exception: Unknown table function icebergS3.", StreamError, "can't read a pinned Iceberg snapshot"),
    ("Code: 115. DB::Exception: Unknown setting 'iceberg_metadata_file_path'.", StreamError, "iceberg_metadata_file"),
    ("Code: 62. DB::Exception: Syntax error: failed at SETTINGS", StreamError, "can't read a pinned Iceberg snapshot"),
    (
        (
            "Code: 497. DB::Exception: reader: Not enough privileges. To execute this query, it's necessary to have the"
            " grant READ ON S3."
        ),
        AccessDeniedError,
        "the grant READ ON S3",
    ),
    ("Code: 499. DB::Exception: Failed to get object info. HTTP response code: 403", AccessDeniedError, "403"),
    ("Code: 499. DB::Exception: Could not connect", StoreUnavailableError, "Could not connect"),
)


@pytest.mark.parametrize(("answer", "error", "said"), REFUSALS)
def test_what_a_server_or_a_user_lacks_is_named(answer: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as refused:
        views(Answers(DESCRIBE=answer)).types("icebergS3()")
    if error is StreamError:
        assert "query the tiers apart" in str(refused.value)


def missing_collection(create: str) -> Callable[[], object]:
    absent = "Code: 669. DB::Exception: There is no named collection `icehaul_store`."
    return lambda: views(Answers(DESCRIBE=absent, CREATE=create)).types("icebergS3(`icehaul_store`)")


def test_a_named_collection_that_may_not_be_made_leaves_three_choices() -> None:
    denied = (
        "Code: 497. DB::Exception: reader: Not enough privileges. To execute this query, it's necessary to have the"
        " grant CREATE NAMED COLLECTION ON icehaul_store: hush"
    )
    with pytest.raises(AccessDeniedError, match="CREATE NAMED COLLECTION ON icehaul_store") as refused:
        missing_collection(denied)()
    for choice in ("grant it", "let an administrator define", "--named-collection inline"):
        assert choice in refused.value.remedy
    assert "hush" not in str(refused.value)


def test_a_missing_named_collection_is_made_and_read_again() -> None:
    connection = Answers(DESCRIBE="Code: 669. DB::Exception: There is no named collection `icehaul_store`.")
    with pytest.raises(AccessDeniedError):
        views(connection).types("icebergS3(`icehaul_store`)")
    assert [statement.split()[0] for statement in connection.statements] == ["DESCRIBE", "CREATE", "DESCRIBE"]
    assert connection.statements[1] == (
        "CREATE NAMED COLLECTION IF NOT EXISTS `icehaul_store` AS access_key_id = 'key-id', secret_access_key = 'hush'"
    )


def test_a_column_that_hides_the_file_of_a_row_is_named_where_the_view_would_be_proved() -> None:
    columns = [SourceColumn(name="ts", type="DateTime"), SourceColumn(name="_path", type="String")]
    mapping = map_table(columns, timestamp_column="ts")
    connection = Answers()
    with pytest.raises(StreamError, match="the source has a column _path") as refused:
        views(connection).read_back(
            STREAM, mapping, "cold", {"ts": "DateTime", "_path": "String"}, "s3://lake/a.parquet"
        )
    assert "query-the-cold-tier" in refused.value.remedy
    assert connection.statements == []
