from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from cloudevents.core.bindings import kafka as cloudevents_kafka
from hypothesis import given
from jsonschema import Draft202012Validator, ValidationError

from consumer.adapters.kafka.codec import encode
from consumer.domain.event import Event, EventType
from consumer.entrypoints.schemas import differing
from tests.support.events import TICK, events


def _validator(type_: EventType) -> Draft202012Validator:
    schema = json.loads(resources.files("schemas").joinpath("events", f"{type_.value}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


VALIDATORS = {type_: _validator(type_) for type_ in EventType}


def _document(event: Event) -> Any:
    message = encode(event)
    read = cloudevents_kafka.from_binary_event(
        cloudevents_kafka.KafkaMessage(headers=dict(message.headers), key=None, value=message.value)
    )
    return json.loads(cloudevents_kafka.to_structured_event(read).value)


def test_the_schema_files_are_what_the_models_say() -> None:
    assert differing() == []


@given(events)
def test_every_event_that_is_sent_fits_the_schema_of_its_type(event: Event) -> None:
    VALIDATORS[event.type].validate(_document(event))


@pytest.mark.parametrize(
    ("field", "value"),
    [("stream", "x; DROP TABLE y"), ("stream", None), ("cutoff", 5)],
)
def test_what_the_codec_refuses_does_not_fit_the_schema(field: str, value: object) -> None:
    document = _document(TICK)
    document["data"][field] = value
    with pytest.raises(ValidationError):
        VALIDATORS[EventType.TICK].validate(document)
