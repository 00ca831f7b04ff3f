"""Events for tests: every one that icehaul can send, and a simple one."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from consumer.domain.event_factory import batch_committed, partition_closed, tick
from consumer.domain.inventory import Partition, PartitionContent
from consumer.domain.stream import TableName
from consumer.domain.window import BEGINNING, END_OF_TIME

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TICK = tick(stream="trades", boundary=datetime(2025, 3, 1, 12, 15, tzinfo=UTC))

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,126}", fullmatch=True)
instants = st.datetimes(
    min_value=BEGINNING.replace(tzinfo=None), max_value=END_OF_TIME.replace(tzinfo=None), timezones=st.just(UTC)
)
counts = st.integers(min_value=0, max_value=2**63 - 1)
contents = st.builds(PartitionContent, rows=counts, min_block=counts, max_block=counts, data_version=counts)
partitions = st.builds(
    Partition,
    id=st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True),
    content=contents,
    modified=instants,
    first=instants,
    last=instants,
)
tables = st.builds(TableName, database=names, table=names)
traces = st.none() | st.just(TRACE)
events = st.one_of(
    st.builds(tick, stream=names, boundary=instants),
    st.builds(partition_closed, stream=names, table=tables, partition=partitions, cutoff=instants),
    st.builds(
        batch_committed,
        dependant=names,
        upstream=names,
        batch_id=st.uuids(),
        watermark=instants,
        time=instants,
        snapshot_id=st.none() | st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1),
        traceparent=traces,
    ),
)
