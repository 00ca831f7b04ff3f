from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from cloudevents.core.bindings import kafka as cloudevents_kafka
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from consumer.adapters.kafka.codec import MAX_BYTES, EncodedEvent, decode, encode
from consumer.domain.errors import InvalidEventError
from consumer.domain.event import Coordinates, Event
from consumer.domain.event_factory import batch_committed, partition_closed, tick
from consumer.domain.invalid_reason import InvalidReason
from consumer.domain.inventory import Partition, PartitionContent
from consumer.domain.stream import TableName
from tests.support.events import TICK, events

PLACE = Coordinates(topic="events", partition=3, offset=17)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def _read(message: EncodedEvent) -> Event:
    return decode(key=message.key, value=message.value, headers=message.headers, coordinates=PLACE)


def _structured(event: Event) -> bytes:
    message = encode(event)
    parsed = cloudevents_kafka.from_binary_event(
        cloudevents_kafka.KafkaMessage(headers=dict(message.headers), key=None, value=message.value)
    )
    return cloudevents_kafka.to_structured_event(parsed).value


@given(events)
def test_what_is_encoded_is_decoded_again(event: Event) -> None:
    assert _read(encode(event)) == replace(event, coordinates=PLACE)


@given(events)
def test_structured_mode_means_the_same_with_and_without_headers(event: Event) -> None:
    expected = replace(event, coordinates=PLACE, traceparent=None)
    key = event.stream.encode()
    for headers in ([("content-type", b"application/cloudevents+json; charset=UTF-8")], []):
        assert decode(key=key, value=_structured(event), headers=headers, coordinates=PLACE) == expected


@given(events)
def test_the_cloudevents_sdk_reads_what_is_encoded(event: Event) -> None:
    message = encode(event)
    read = cloudevents_kafka.from_kafka_event(
        cloudevents_kafka.KafkaMessage(headers=dict(message.headers), key=message.key, value=message.value)
    )
    assert isinstance(read, CloudEvent)
    assert (read.get_id(), read.get_type(), read.get_time()) == (event.id, event.type, event.time)
    data = read.get_data()
    assert isinstance(data, dict)
    assert data["stream"] == event.stream


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_an_event_or_invalid_and_nothing_else(value: bytes, binary: bool) -> None:
    headers = encode(TICK).headers if binary else ()
    with pytest.raises(InvalidEventError):
        decode(key=b"trades", value=value, headers=headers, coordinates=PLACE)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_as_data_is_an_event_or_invalid_and_nothing_else(data: object) -> None:
    with pytest.raises(InvalidEventError):
        decode(key=b"trades", value=json.dumps(data).encode(), headers=encode(TICK).headers, coordinates=PLACE)


CLOSED = partition_closed(
    stream="trades",
    table=TableName.parse("market.trades"),
    partition=Partition(
        id="202503",
        content=PartitionContent(rows=5, min_block=1, max_block=2, data_version=0),
        modified=datetime(2025, 4, 1, tzinfo=UTC),
        first=datetime(2025, 3, 1, tzinfo=UTC),
        last=datetime(2025, 3, 31, tzinfo=UTC),
    ),
    cutoff=datetime(2025, 4, 1, tzinfo=UTC),
)


def _document(event: Event = TICK, **changes: object) -> dict[str, object]:
    document: dict[str, object] = json.loads(_structured(event))
    data = document["data"]
    assert isinstance(data, dict)
    for name, value in changes.items():
        holder = data if name in data or name in {"cutoff", "stream"} else document
        if value is None:
            holder.pop(name)
        else:
            holder[name] = value
    return document


def _bytes(event: Event = TICK, **changes: object) -> bytes:
    return json.dumps(_document(event, **changes)).encode()


@pytest.mark.parametrize(
    ("value", "reason", "says"),
    [
        pytest.param(None, InvalidReason.NULL_VALUE, "value is null", id="null"),
        pytest.param(b"", InvalidReason.NOT_JSON, "is not JSON", id="empty"),
        pytest.param(b"{'stream': 1}", InvalidReason.NOT_JSON, "is not JSON", id="not JSON"),
        pytest.param(b'{"a": 1', InvalidReason.NOT_JSON, "is not JSON", id="cut off"),
        pytest.param(b'{"a": ' + b"9" * 5000 + b"}", InvalidReason.NOT_JSON, "limit", id="5,000 digits"),
        pytest.param(b"[1, 2]", InvalidReason.WRONG_SCHEMA, "no JSON object", id="array"),
        pytest.param(b'"text"', InvalidReason.WRONG_SCHEMA, "no JSON object", id="text"),
        pytest.param(b"null", InvalidReason.WRONG_SCHEMA, "no JSON object", id="JSON null"),
        pytest.param(b'{"stream": "\xff"}', InvalidReason.INVALID_UTF8, "byte 12", id="invalid UTF-8"),
        pytest.param("{}".encode("utf-16"), InvalidReason.INVALID_UTF8, "not UTF-8", id="UTF-16"),
        pytest.param(b'{"id": "1", "id": "2"}', InvalidReason.DUPLICATE_KEY, "'id' twice", id="duplicate"),
        pytest.param(b'{"data": {"a": 1, "a": 1}}', InvalidReason.DUPLICATE_KEY, "'a' twice", id="inner duplicate"),
        pytest.param(b'{"a": NaN}', InvalidReason.NOT_FINITE, "NaN", id="NaN"),
        pytest.param(b'{"a": -Infinity}', InvalidReason.NOT_FINITE, "-Infinity", id="infinity"),
        pytest.param(b'{"a": 1e999}', InvalidReason.NOT_FINITE, "1e999", id="overflow"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, InvalidReason.TOO_DEEP, "deeper", id="10,000 arrays"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, InvalidReason.TOO_DEEP, "deeper", id="10,000 objects"),
        pytest.param(b" " * (MAX_BYTES + 1), InvalidReason.TOO_LARGE, "bytes, more than", id="too large"),
        pytest.param(b"{" * 50_000_000, InvalidReason.TOO_LARGE, "bytes, more than", id="50 MB"),
        pytest.param(b"{}", InvalidReason.WRONG_SCHEMA, "specversion", id="nothing in it"),
        pytest.param(_bytes(specversion="0.3"), InvalidReason.UNKNOWN_VERSION, "'0.3'", id="version 0.3"),
        pytest.param(_bytes(specversion=1.0), InvalidReason.UNKNOWN_VERSION, "1.0", id="version as a number"),
        pytest.param(_bytes(type="com.example.order"), InvalidReason.UNKNOWN_TYPE, "order", id="foreign type"),
        pytest.param(_bytes(type=["a"]), InvalidReason.UNKNOWN_TYPE, "['a']", id="list as type"),
        pytest.param(_bytes(id=None), InvalidReason.WRONG_SCHEMA, "id: Field required", id="no id"),
        pytest.param(_bytes(id=7), InvalidReason.WRONG_SCHEMA, "id: 7", id="number as id"),
        pytest.param(_bytes(id="a\0b"), InvalidReason.INVALID_NAME, r"id: 'a\x00b'", id="NUL in the id"),
        pytest.param(_bytes(id="x" * 257), InvalidReason.INVALID_NAME, "id: 'xxx", id="long id"),
        pytest.param(_bytes(source="\ud800"), InvalidReason.NOT_JSON, "JSON", id="half a surrogate pair"),
        pytest.param(_bytes(data="text"), InvalidReason.WRONG_SCHEMA, "data", id="text as data"),
        pytest.param(_bytes(datacontenttype="text/xml"), InvalidReason.INVALID_NAME, "datacontenttype", id="XML"),
        pytest.param(_bytes(cutoff=None), InvalidReason.WRONG_SCHEMA, "data.cutoff: Field required", id="no cutoff"),
        pytest.param(_bytes(cutoff=1740831300), InvalidReason.INVALID_TIME, "data.cutoff: 1740831300", id="Unix time"),
        pytest.param(_bytes(cutoff="1740831300"), InvalidReason.INVALID_TIME, "RFC 3339", id="Unix time as text"),
        pytest.param(_bytes(cutoff="2025-03-01T12:00:00"), InvalidReason.INVALID_TIME, "timezone", id="naive"),
        pytest.param(_bytes(cutoff="2025-02-30T12:00:00Z"), InvalidReason.INVALID_TIME, "calendar", id="30 February"),
        pytest.param(_bytes(cutoff="9999-12-31T23:59:59Z"), InvalidReason.INVALID_TIME, "1900 to 2299", id="9999"),
        pytest.param(_bytes(cutoff="9999-12-31T23:59:59-14:00"), InvalidReason.INVALID_TIME, "1900", id="9999 west"),
        pytest.param(_bytes(cutoff="0001-01-01T00:00:00+14:00"), InvalidReason.INVALID_TIME, "1900", id="year 1 east"),
        pytest.param(_bytes(cutoff="1899-12-31T23:59:59Z"), InvalidReason.INVALID_TIME, "1900 to 2299", id="1899"),
        pytest.param(_bytes(time="9999-12-31T23:59:59Z"), InvalidReason.INVALID_TIME, "time", id="9999 as time"),
        pytest.param(_bytes(stream="x`; DROP TABLE y"), InvalidReason.INVALID_NAME, "DROP TABLE", id="SQL"),
        pytest.param(_bytes(stream="../trades"), InvalidReason.INVALID_NAME, "../trades", id="path"),
        pytest.param(_bytes(stream="trades\n"), InvalidReason.INVALID_NAME, r"trades\n", id="line end"),
        pytest.param(_bytes(stream="tr\u0430des"), InvalidReason.INVALID_NAME, r"tr\u0430des", id="look-alike letter"),
        pytest.param(_bytes(stream="\u202eselbat"), InvalidReason.INVALID_NAME, r"\u202e", id="right to left"),
        pytest.param(_bytes(CLOSED, partition_id="../1"), InvalidReason.INVALID_NAME, "partition_id", id="partition"),
        pytest.param(_bytes(CLOSED, table="a.b; c"), InvalidReason.INVALID_NAME, "table", id="table"),
        pytest.param(_bytes(CLOSED, content={"rows": -1}), InvalidReason.WRONG_SCHEMA, "rows", id="negative rows"),
        pytest.param(
            _bytes(CLOSED, content={"rows": 1.5, "min_block": 0, "max_block": 0, "data_version": 0}),
            InvalidReason.WRONG_SCHEMA,
            "rows: 1.5",
            id="half a row",
        ),
    ],
)
def test_what_is_no_event_is_refused_by_reason_field_and_remedy(
    value: bytes | None, reason: InvalidReason, says: str
) -> None:
    with pytest.raises(InvalidEventError) as caught:
        decode(key=b"trades", value=value, headers=[], coordinates=PLACE)
    assert caught.value.reason is reason
    assert says in caught.value.message
    assert caught.value.remedy
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("key", [None, b"", b"Trades", b"trades ", b"\xff", b"orders"])
def test_a_key_that_is_not_the_stream_is_refused(key: bytes | None) -> None:
    message = encode(TICK)
    with pytest.raises(InvalidEventError, match=r"key: .* is not data\.stream") as caught:
        decode(key=key, value=message.value, headers=message.headers, coordinates=PLACE)
    assert caught.value.reason is InvalidReason.WRONG_KEY


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([("ce_id", b"2")], InvalidReason.DUPLICATE_KEY),
        ([("CE_ID", b"2")], InvalidReason.DUPLICATE_KEY),
        ([("ce_note", b"\xff")], InvalidReason.INVALID_UTF8),
        ([("x", b"0" * MAX_BYTES)], InvalidReason.TOO_LARGE),
    ],
)
def test_hostile_headers_are_refused(headers: list[tuple[str, bytes | None]], reason: InvalidReason) -> None:
    message = encode(TICK)
    with pytest.raises(InvalidEventError) as caught:
        decode(key=message.key, value=message.value, headers=[*message.headers, *headers], coordinates=PLACE)
    assert caught.value.reason is reason


@pytest.mark.parametrize("name", ["ce_id", "ce_source", "ce_type", "ce_time", "ce_specversion"])
@pytest.mark.parametrize("content", [None, b"", b"missing"])
def test_binary_mode_needs_every_attribute(name: str, content: bytes | None) -> None:
    message = encode(TICK)
    headers: list[tuple[str, bytes | None]] = [(key, value) for key, value in message.headers if key != name]
    if content != b"missing":
        headers.append((name, content))
    with pytest.raises(InvalidEventError, match=name.removeprefix("ce_")):
        decode(key=message.key, value=message.value, headers=headers, coordinates=PLACE)


def test_a_batch_of_events_in_one_message_is_refused() -> None:
    with pytest.raises(InvalidEventError, match="one event in a message"):
        decode(
            key=b"trades",
            value=b"[]",
            headers=[("content-type", b"application/cloudevents-batch+json")],
            coordinates=PLACE,
        )


def test_fields_that_name_a_server_or_a_table_function_have_no_effect() -> None:
    document = _document(host="evil.example", url="http://evil.example", bucket="b")
    data = document["data"]
    assert isinstance(data, dict)
    data |= {"target": "s3('http://evil.example')", "source": "url('http://evil.example')", "clickhouse": {"host": "x"}}
    headers = [("x-forwarded-host", b"evil.example"), ("\xe9", b"\xff"), ("other", None)]
    read = decode(key=b"trades", value=json.dumps(document).encode(), headers=headers, coordinates=None)
    assert read == TICK


def test_times_are_read_as_utc_whatever_their_offset() -> None:
    document = _bytes(cutoff="2025-03-01t17:45:00.000000999+05:30")
    read = decode(key=b"trades", value=document, headers=[], coordinates=None)
    assert read.cutoff == datetime(2025, 3, 1, 12, 15, tzinfo=UTC)
    assert read.cutoff.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "garbage",
        TRACE.upper(),
        "ff" + TRACE[2:],
        TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        TRACE.replace("00f067aa0ba902b7", "0" * 16),
        TRACE + "\n",
    ],
)
def test_an_invalid_trace_context_is_as_good_as_none(traceparent: str) -> None:
    message = encode(TICK)
    headers = [*message.headers, ("traceparent", traceparent.encode())]
    assert decode(key=message.key, value=message.value, headers=headers, coordinates=None).traceparent is None


def test_a_trace_context_is_carried_in_a_header_or_as_an_extension() -> None:
    message = encode(TICK, traceparent=TRACE)
    assert ("traceparent", TRACE.encode()) in message.headers
    assert _read(message).traceparent == TRACE
    extended = _bytes(traceparent=TRACE)
    assert decode(key=b"trades", value=extended, headers=[], coordinates=None).traceparent == TRACE


def test_a_message_on_another_partition_than_murmur2_s_is_refused_where_the_count_is_known() -> None:
    refused = [_refusal(encode(TICK), number, partitions=12) for number in range(12)]
    assert refused.count(None) == 1
    assert refused.count(InvalidReason.WRONG_PARTITION) == 11


def _refusal(message: EncodedEvent, partition: int, *, partitions: int) -> InvalidReason | None:
    place = Coordinates(topic="events", partition=partition, offset=0)
    try:
        decode(key=message.key, value=message.value, headers=message.headers, coordinates=place, partitions=partitions)
    except InvalidEventError as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    "event",
    [
        replace(TICK, stream="../x"),
        replace(TICK, cutoff=datetime(2025, 3, 1)),  # noqa: DTZ001 - naive on purpose
        replace(CLOSED, content_id=None),
    ],
)
def test_what_no_reader_would_accept_is_not_written(event: Event) -> None:
    with pytest.raises(InvalidEventError, match=r"data\."):
        encode(event)


def test_the_same_fact_has_the_same_id_in_every_process_and_zone() -> None:
    boundary = datetime(2025, 3, 1, 13, 15, tzinfo=timezone(timedelta(hours=1)))
    assert tick(stream="trades", boundary=boundary).id == TICK.id == "db5f3c6b-728b-5f5e-9a17-96b4c04f0704"


def test_another_fact_has_another_id() -> None:
    batch = UUID(int=1)
    ids = {
        TICK.id,
        tick(stream="orders", boundary=TICK.cutoff).id,
        tick(stream="trades", boundary=TICK.cutoff + timedelta(microseconds=1)).id,
        CLOSED.id,
        *(
            batch_committed(dependant=name, upstream="u", batch_id=batch, watermark=TICK.cutoff, time=TICK.cutoff).id
            for name in ("a", "b")
        ),
    }
    assert len(ids) == 6
