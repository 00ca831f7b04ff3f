"""Bugs of the arrival of data: events that ClickHouse makes itself."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_EVENTS = "tests/integration/cli/test_clickhouse_events.py"
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
)
