"""Pydantic models of the events: CloudEvents envelope and ``data`` of each type.

They are the one truth for what is accepted and sent; ``schemas/events/`` is generated from them. Fields that a
model does not name are ignored: nothing in an event can name a server, and none has an effect.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from consumer.domain.event import Coordinates, Event, EventType
from consumer.domain.inventory import PartitionContent
from consumer.domain.stream import IDENTIFIER
from consumer.domain.window import BEGINNING, END_OF_TIME

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?")

INSTANT_ERROR = "instant"
"""Type of the validation error of a time that no event may carry."""


def _rfc3339(value: object) -> object:
    """Parse a time written with seconds and offset; digits below a microsecond are cut off."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or _RFC3339.fullmatch(value) is None:
        raise PydanticCustomError(INSTANT_ERROR, "is no RFC 3339 time such as 2025-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        raise PydanticCustomError(INSTANT_ERROR, "is no time of the calendar") from None


def _in_range(value: datetime) -> datetime:
    if not BEGINNING <= value <= END_OF_TIME:
        raise PydanticCustomError(INSTANT_ERROR, "lies outside the years 1900 to 2299, the range of ClickHouse's times")
    return value.astimezone(UTC)


Instant = Annotated[AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_in_range)]
Name = Annotated[str, Field(pattern=f"^{IDENTIFIER.pattern}$")]
Table = Annotated[str, Field(pattern=f"^{IDENTIFIER.pattern}\\.{IDENTIFIER.pattern}$")]
PartitionId = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,128}$")]
ContentId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
BatchId = Annotated[str, Field(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Visible = Annotated[str, Field(pattern="^[\\x21-\\x7e]{1,256}$")]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]

D_co = TypeVar("D_co", bound="Data", covariant=True)
T_co = TypeVar("T_co", bound=EventType, covariant=True)


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, from_attributes=True)


class Data(_Model):
    """What the ``data`` of every event has."""

    stream: Name = Field(description="Stream that the event is a hint for; also the message's key.")
    cutoff: Instant = Field(description="Everything before this instant should be offloaded.")


class Content(_Model):
    """What a partition held."""

    rows: Count = Field(description="Rows of all active parts.")
    min_block: Count = Field(description="Lowest block number.")
    max_block: Count = Field(description="Highest block number.")
    data_version: Count = Field(description="Version of the newest mutation applied, 0 where none was.")


class PartitionClosedData(Data):
    """A partition of the source table is complete, as far as its present content tells."""

    partition_id: PartitionId = Field(description="ClickHouse partition id.")
    content_id: ContentId = Field(description="Hash of the content; a late row makes another one.")
    table: Table | None = Field(default=None, description="Source table.")
    content: Content | None = Field(default=None, description="What the partition held.")


class TickData(Data):
    """A wall-clock boundary has passed."""


class BatchCommittedData(Data):
    """A batch of an upstream stream was committed; ``cutoff`` is the upstream's new watermark."""

    upstream: Name = Field(description="Stream of the batch.")
    batch_id: BatchId = Field(description="The batch.")
    snapshot_id: Annotated[int, Field(gt=-(1 << 63), lt=1 << 63)] | None = Field(
        default=None, description="Its Iceberg snapshot; none for an empty window."
    )


class CloudEventModel(_Model, Generic[T_co, D_co]):
    """A CloudEvent 1.0 as it stands in a structured-mode message."""

    specversion: Literal["1.0"]
    id: Visible = Field(description="The same fact has the same id, whoever sends it and however often.")
    source: Visible = Field(description="Who produced the event.")
    type: T_co
    time: Instant
    datacontenttype: Annotated[str, Field(pattern="^application/json *(;.*)?$")] = "application/json"
    data: D_co


class PartitionClosedEvent(CloudEventModel[Literal[EventType.PARTITION_CLOSED], PartitionClosedData]):
    """Partition closed."""


class TickEvent(CloudEventModel[Literal[EventType.TICK], TickData]):
    """Tick."""


class BatchCommittedEvent(CloudEventModel[Literal[EventType.BATCH_COMMITTED], BatchCommittedData]):
    """Batch committed."""


AnyEvent = PartitionClosedEvent | TickEvent | BatchCommittedEvent

MODELS: dict[EventType, type[AnyEvent]] = {
    EventType.PARTITION_CLOSED: PartitionClosedEvent,
    EventType.TICK: TickEvent,
    EventType.BATCH_COMMITTED: BatchCommittedEvent,
}


def to_model(event: Event) -> AnyEvent:
    """Return the model of an event.

    Raises:
        pydantic.ValidationError: if the event lacks what its type needs, which is a defect of its maker.
    """
    return MODELS[event.type].model_validate(
        {
            "specversion": "1.0",
            "id": event.id,
            "source": event.source,
            "type": event.type,
            "time": event.time,
            "data": event,
        }
    )


def to_event(model: AnyEvent, *, traceparent: str | None, coordinates: Coordinates | None) -> Event:
    """Return the event of a model."""
    fields = model.data.model_dump()
    content = fields.pop("content", None)
    return Event(
        id=model.id,
        type=model.type,
        source=model.source,
        time=model.time,
        content=None if content is None else PartitionContent(**content),
        traceparent=traceparent,
        coordinates=coordinates,
        **fields,
    )


def json_schema(type_: EventType) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an event type, envelope included."""
    schema = MODELS[type_].model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": type_.value}
