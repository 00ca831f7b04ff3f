"""The way to the cutoff is planned as it is gone: one batch at a time, and anew from where the stream really is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from consumer.domain.batch import Batch, BatchKind
from consumer.domain.errors import SourceUnavailableError
from consumer.domain.window import Window
from consumer.ports import StreamRecord
from consumer.service.course import Course

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
CUTOFF = START + 3 * HOUR


class Plan:
    """Plans batches of an hour, and remembers from where it began and what it planned."""

    def __init__(self) -> None:
        self.begun: list[datetime] = []
        self.planned: list[datetime] = []
        self.broken = False

    def begin(self, record: StreamRecord) -> Iterator[Batch]:
        self.begun.append(record.watermark)
        lower = record.watermark
        while lower < CUTOFF:
            if self.broken:
                raise SourceUnavailableError("the source is down", remedy="wait")
            self.planned.append(lower)
            yield Batch(
                id=UUID(int=lower.hour + 1),
                stream="trades",
                kind=BatchKind.WINDOW,
                window=Window(lower=lower, upper=lower + HOUR),
                generation=record.generation,
                units=(),
            )
            lower += HOUR


def at(watermark: datetime) -> StreamRecord:
    return replace(StreamRecord.unseen("trades", START, START), watermark=watermark)


def test_a_batch_is_planned_when_it_is_its_turn_and_once() -> None:
    plan = Plan()
    course = Course(plan.begin)
    for hour in range(3):
        assert course.at(at(START + hour * HOUR)) is course.at(at(START + hour * HOUR))
        assert plan.planned == [START + n * HOUR for n in range(hour + 1)]
    assert course.at(at(CUTOFF)) is None
    assert plan.begun == [START]


def test_a_watermark_that_is_not_where_the_last_batch_ended_makes_another_plan() -> None:
    plan = Plan()
    course = Course(plan.begin)
    course.at(at(START))
    batch = course.at(at(START + 2 * HOUR))
    assert batch is not None
    assert batch.window.lower == START + 2 * HOUR
    assert plan.begun == [START, START + 2 * HOUR]


def test_planning_goes_on_after_a_failure() -> None:
    plan = Plan()
    course = Course(plan.begin)
    course.at(at(START))
    plan.broken = True
    for _ in range(2):
        with pytest.raises(SourceUnavailableError):
            course.at(at(START + HOUR))
    plan.broken = False
    batch = course.at(at(START + HOUR))
    assert batch is not None
    assert batch.window.lower == START + HOUR
