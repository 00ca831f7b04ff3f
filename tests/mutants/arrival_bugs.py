"""Bugs of the arrival of data: events that ClickHouse makes itself, and the shards and replicas of a cluster."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_EVENTS = "tests/integration/cli/test_clickhouse_events.py"
_CLUSTERS = "tests/integration/test_clusters.py"
_ALL = (ComponentName.CLICKHOUSE, ComponentName.KAFKA, ComponentName.POSTGRES, ComponentName.STORE)

BUGS = (
    Bug(
        name="close_by_clickhouse_sent_once",
        breaks="A close that ClickHouse sends while the broker is away is lost: the refresh counts as done.",
        edits=(
            Edit(
                file="schemas/clickhouse/send_closes.sql",
                before="bitCount(toUInt64(greatest(age, 0))) <= 1",
                after="age = 0",
            ),
        ),
        tests=(f"{_EVENTS}::test_a_close_that_the_broker_never_took_is_sent_again",),
        servers=_ALL,
    ),
    Bug(
        name="close_by_clickhouse_with_another_id",
        breaks="The same close has another id when ClickHouse sends it, and nobody can tell that it is the same.",
        edits=(
            Edit(
                file="schemas/clickhouse/find_closes.sql",
                before="max(if(data_version = min_block_number, 0, data_version)) AS mutation",
                after="max(data_version) AS mutation",
            ),
        ),
        tests=(f"{_EVENTS}::test_for_every_partition_key_the_events_are_those_of_the_emitter",),
        servers=_ALL,
    ),
    Bug(
        name="shard_left_out",
        breaks="A shard that does not answer is left out, and its rows pass for rows that are not there.",
        edits=(
            Edit(
                file="consumer/domain/unit_query.py",
                before='"skip_unavailable_shards": 0',
                after='"skip_unavailable_shards": 1',
            ),
        ),
        tests=(f"{_CLUSTERS}::test_a_shard_that_does_not_answer_is_never_left_out",),
        servers=_ALL,
    ),
    Bug(
        name="inventory_of_one_server",
        breaks="What partitions hold is asked of one server, and late rows on the other shards are never looked for.",
        edits=(
            Edit(
                file="consumer/domain/clickhouse_sql.py",
                before='return f"system.{name}" if table.cluster is None else',
                after='return f"system.{name}" if True else',
            ),
        ),
        tests=("tests/unit/clickhouse/test_shards.py",),
    ),
    Bug(
        name="replica_changed_unnoticed",
        breaks="Rows are counted on a replica that lacks some of the inventory's, which are never looked for again.",
        edits=(
            Edit(
                file="consumer/adapters/clickhouse/replica_watch.py",
                before="        if found != seen:\n",
                after="        if found.keys() != seen.keys():\n",
            ),
        ),
        tests=("tests/unit/clickhouse/test_shards.py",),
    ),
    Bug(
        name="stale_replica_read",
        breaks="A replica that is behind is read, and what it lacks passes for rows that have gone.",
        edits=(
            Edit(
                file="consumer/adapters/clickhouse/shards.py",
                before="        if int(delay):\n",
                after="        if int(delay) > 300:\n",
            ),
        ),
        tests=("tests/unit/clickhouse/test_shards.py",),
    ),
)
