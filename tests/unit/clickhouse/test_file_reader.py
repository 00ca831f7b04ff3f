from __future__ import annotations

import pytest
from pydantic import SecretStr

from consumer.adapters.clickhouse.files import FileReader, chunked
from consumer.settings.connections import ClickHouseSettings, StoreSettings

PATH = "s3://lake/warehouse/t/day=1/a b.parquet"


@pytest.mark.parametrize(
    ("endpoint", "path_style", "seen_by_server", "url"),
    [
        ("http://store:9000", True, None, "http://store:9000/lake/warehouse/t/day=1/a%20b.parquet"),
        ("http://store:9000/", True, None, "http://store:9000/lake/warehouse/t/day=1/a%20b.parquet"),
        ("http://store:9000", False, None, "http://lake.store:9000/warehouse/t/day=1/a%20b.parquet"),
        ("http://store:9000", True, "http://inside:1", "http://inside:1/lake/warehouse/t/day=1/a%20b.parquet"),
        (None, True, None, "https://lake.s3.eu-west-1.amazonaws.com/warehouse/t/day=1/a%20b.parquet"),
    ],
)
def test_a_path_becomes_the_address_that_the_server_reaches(
    endpoint: str | None, path_style: bool, seen_by_server: str | None, url: str
) -> None:
    store = StoreSettings(endpoint=endpoint, region="eu-west-1", bucket="lake", path_style=path_style)

    assert FileReader(ClickHouseSettings(store_endpoint=seen_by_server), store).url(PATH) == url


def test_without_a_key_the_server_uses_its_own() -> None:
    reader = FileReader(ClickHouseSettings(), StoreSettings(endpoint="http://store"))

    assert reader.source("s3://b/k", "`a` String") == "s3('http://store/b/k', 'Parquet', '`a` String')"
    assert reader.secrets == ()


def test_a_key_is_passed_and_named_as_a_secret() -> None:
    store = StoreSettings(endpoint="http://store", access_key="id", secret_key=SecretStr("it's"))
    reader = FileReader(ClickHouseSettings(), store)

    assert reader.source("s3://b/k", "`t` DateTime64(6, 'UTC')") == (
        r"s3('http://store/b/k', 'id', 'it\'s', 'Parquet', '`t` DateTime64(6, \'UTC\')')"
    )
    assert reader.secrets == ("it's",)
    assert "it's" not in repr(reader)


def test_a_named_collection_keeps_the_key_out_of_the_text() -> None:
    store = StoreSettings(endpoint="http://store", access_key="id", secret_key=SecretStr("it's"))
    reader = FileReader(ClickHouseSettings(store_collection="icehaul_store"), store)

    assert reader.source("s3://b/k", "`a` String") == (
        "s3(`icehaul_store`, url = 'http://store/b/k', format = 'Parquet', structure = '`a` String')"
    )


def test_queries_are_joined_within_the_servers_bounds_in_their_order() -> None:
    assert list(chunked([])) == []
    assert list(chunked(["a", "b"])) == ["a UNION ALL b"]
    many = [str(number) for number in range(150)]
    assert " UNION ALL ".join(chunked(many)).split(" UNION ALL ") == many
    assert all(len(chunk) < 256 * 1024 for chunk in chunked(["x" * 10_000] * 50))


def test_keys_of_the_servers_own_go_before_those_that_may_write() -> None:
    store = StoreSettings(endpoint="http://store", access_key="writer", secret_key=SecretStr("writes"))
    own = ClickHouseSettings(store_access_key="reader", store_secret_key=SecretStr("reads"))

    assert FileReader(own, store).source("s3://b/k", "a") == "s3('http://store/b/k', 'reader', 'reads', 'Parquet', 'a')"
    assert FileReader(own, store).secrets == ("reads",)


def test_files_of_a_bucket_are_read_together_and_those_whose_names_mean_something_in_a_glob_alone() -> None:
    reader = FileReader(ClickHouseSettings(), StoreSettings(endpoint="http://store"))
    paths = ["s3://b/t/1.parquet", "s3://b/{x}/2.parquet", "s3://b/t/a=1/3.parquet", "s3://c/4.parquet", "s3://b/5*"]
    assert [(list(files), source) for files, source in reader.sources(paths, "a")] == [
        (["s3://b/{x}/2.parquet"], "s3('http://store/b/%7Bx%7D/2.parquet', 'Parquet', 'a')"),
        (["s3://b/5*"], "s3('http://store/b/5%2A', 'Parquet', 'a')"),
        (
            ["s3://b/t/1.parquet", "s3://b/t/a=1/3.parquet"],
            "s3('http://store/b/{t/1.parquet,t/a=1/3.parquet}', 'Parquet', 'a')",
        ),
        (["s3://c/4.parquet"], "s3('http://store/c/4.parquet', 'Parquet', 'a')"),
    ]
    many = [f"s3://b/{number}" for number in range(150)]
    groups = [files for files, _ in reader.sources(many, "a")]
    assert [one for files in groups for one in files] == many
    assert max(map(len, groups)) < 100
