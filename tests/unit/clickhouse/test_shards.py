from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.adapters.clickhouse.client import ClickHouseConnection, Row
from consumer.adapters.clickhouse.replica_watch import ReplicaWatch
from consumer.adapters.clickhouse.shards import answering, check_shards, identity
from consumer.adapters.spark.access import source_access
from consumer.domain.clickhouse_sql import in_partitions, quote_table, read_each, read_system, read_table
from consumer.domain.errors import IcehaulError, Reaction, SourceMissingError, SourceUnavailableError, StreamError
from consumer.domain.stream import Stream, TableName
from consumer.domain.unit_query import DISTRIBUTED_SETTINGS
from consumer.settings.connections import ClickHouseSettings, SparkSettings

ALONE = TableName(database="d", table="t")
T = TableName(database="d", table="t", cluster="c-1")
UUIDS = ("11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222")
KEY, ORDER, UTC = "toDate(ts)", "ts", "UTC"
COLUMNS = [["ts", "DateTime", ""], ["v", "UInt8", ""]]


@dataclass
class Server:
    """Answers one query after the other."""

    answers: list[Sequence[Row]] = field(default_factory=list)
    address: str = "here:8123"

    def rows(self, _query: str, *, parameters: Mapping[str, Any] | None = None) -> Sequence[Row]:
        assert parameters is not None
        return self.answers.pop(0)


def connection(*answers: Sequence[Row]) -> ClickHouseConnection:
    return cast("ClickHouseConnection", Server(list(answers)))


def stream(source: TableName, name: str = "s") -> Stream:
    return Stream(name=name, source=source, target=ALONE, timestamp_column="ts")


def shard(number: int, **changes: Any) -> Row:
    facts = {
        "uuid": UUIDS[number - 1],
        "engine": "MergeTree",
        "partition_key": KEY,
        "sorting_key": ORDER,
        "engine_full": "MergeTree ORDER BY ts",
        "zone": UTC,
        "columns": COLUMNS,
    }
    return (number, *(facts | changes).values())


def replica(number: int, host: str = "a", *, delay: int = 0, cut_off: int = 0) -> Row:
    return number, host, delay, cut_off


# --------------------------------------------------------------------------------------------------- statements


def test_a_table_of_a_cluster_is_read_over_every_shard_and_one_of_a_server_as_ever() -> None:
    assert read_table(ALONE) == "`d`.`t`"
    assert read_table(T) == "cluster('c-1', `d`, `t`)"
    assert read_system(ALONE, "parts") == "system.parts"
    assert read_system(T, "parts") == "cluster('c-1', system, parts)"
    assert read_each(ALONE, "SELECT 1") == "SELECT 1"
    assert read_each(T, "SELECT 1") == "SELECT * FROM cluster('c-1', view(SELECT 1))"


def test_a_statement_for_one_server_is_never_written_for_a_table_of_a_cluster() -> None:
    with pytest.raises(ValueError, match="cluster c-1"):
        quote_table(T)


def test_what_an_operator_sets_can_not_make_a_task_leave_out_a_shard() -> None:
    given = {"query_settings": {"skip_unavailable_shards": 1, "max_threads": 2}}
    alone, over = (
        dict(source_access(ClickHouseSettings.model_validate(given | more), SparkSettings()).settings)
        for more in ({}, {"cluster": "c"})
    )
    assert alone == given["query_settings"]
    assert over == {"max_threads": 2, **DISTRIBUTED_SETTINGS}


@pytest.mark.parametrize("name", ["", "a'b", "a)", "{cluster}", "-a", "ä"])
def test_what_is_no_name_of_a_cluster_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cluster"):
        TableName(database="d", table="t", cluster=name)


def test_the_partitions_of_a_cluster_are_told_apart_by_their_shards_and_pruned_by_their_own_ids() -> None:
    assert in_partitions(ALONE, ["b", "a"]) == "_partition_id IN ('a', 'b')"
    condition = in_partitions(T, ["shard2-1-2", "shard1-1-2"])
    assert condition.startswith(
        "_partition_id IN ('1-2') AND concat('shard', toString(_shard_num), '-', _partition_id)"
    )
    assert condition.endswith("IN ('shard1-1-2', 'shard2-1-2')")


# ------------------------------------------------------------------------------------------- the same everywhere


@given(st.dictionaries(st.integers(1, 200), st.uuids(), min_size=1))
def test_the_identity_depends_on_shards_and_uuids_and_not_on_their_order(uuids: dict[int, UUID]) -> None:
    pairs = [(number, str(uuid)) for number, uuid in uuids.items()]
    assert identity(pairs) == identity(reversed(pairs))
    renumbered = [(number + 1, uuid) for number, uuid in pairs]
    assert identity(renumbered) != identity(pairs)


def test_a_table_that_is_the_same_on_every_shard_is_one() -> None:
    check_shards(connection([(1, 1), (2, 1)]), T, [shard(1), shard(2)])


def test_a_shard_without_the_table_is_named() -> None:
    with pytest.raises(SourceMissingError, match="missing on shards 2, 3 of the cluster c-1"):
        check_shards(connection([(1, 1), (2, 1), (3, 1)]), T, [shard(1)])


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"engine": "ReplacingMergeTree"}, "engine"),
        ({"partition_key": "toYYYYMM(ts)"}, "partition key"),
        ({"sorting_key": "v"}, "sorting key"),
        ({"zone": "Asia/Tokyo"}, "time zone"),
        ({"engine_full": "MergeTree ORDER BY ts TTL ts + toIntervalDay(1)"}, "TTL"),
        ({"columns": COLUMNS[:1]}, "columns"),
    ],
)
def test_shards_that_differ_halt_the_stream(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(StreamError, match=f"between shards 1 and 2 of the cluster c-1: {what}"):
        check_shards(connection([(1, 1), (2, 1)]), T, [shard(1), shard(2, **changes)])


def test_replicas_that_do_not_replicate_are_refused() -> None:
    with pytest.raises(StreamError, match="2 replicas"):
        check_shards(connection([(1, 2)]), T, [shard(1)])
    check_shards(connection([(1, 2)]), T, [shard(1, engine="ReplicatedMergeTree")])


# ------------------------------------------------------------------------------------------------------ replicas


@pytest.mark.parametrize(
    ("behind", "says"),
    [
        (replica(2, "b", delay=9), "replica b of shard 2 of the cluster c-1 is 9 s behind for d.t"),
        (replica(2, "b", cut_off=1), "replica b of shard 2 of the cluster c-1 is read-only for d.t"),
    ],
)
def test_a_replica_that_is_behind_is_refused_for_now(behind: Row, says: str) -> None:
    with pytest.raises(SourceUnavailableError, match=says) as refused:
        answering(connection([replica(1), behind]), T)
    assert isinstance(refused.value, IcehaulError)
    assert refused.value.reaction is Reaction.RETRY
    assert "tried again" in refused.value.remedy


def test_a_comparison_is_begun_anew_when_another_replica_answers_in_its_middle() -> None:
    watch = ReplicaWatch(connection([replica(1, "a")], [replica(1, "a")], [replica(1, "b")]))
    watch.begin(stream(T))
    watch.confirm(stream(T))
    with pytest.raises(SourceUnavailableError, match="shard 1 of the cluster c-1 is answered by another replica"):
        watch.confirm(stream(T))


def test_streams_of_the_same_table_are_watched_apart() -> None:
    watch = ReplicaWatch(connection([replica(1, "a")], [replica(1, "b")], [replica(1, "b")]))
    watch.begin(stream(T))
    watch.begin(stream(T, "other"))
    with pytest.raises(SourceUnavailableError, match="another replica"):
        watch.confirm(stream(T))


def test_a_table_of_one_server_is_not_asked_for_replicas() -> None:
    watch = ReplicaWatch(connection())
    watch.begin(stream(ALONE))
    watch.confirm(stream(ALONE))
