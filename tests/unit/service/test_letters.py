"""Dead letters that have become events are sent again, once each, and the others stay."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from consumer.adapters.kafka.letter_box import decode_letter
from consumer.domain.dead_letter import DeadLetter, Place, Verdict, parse_place
from consumer.domain.errors import BrokerUnavailableError, ConfigurationError
from consumer.domain.event import Coordinates
from consumer.failpoints.acting import Failpoints
from consumer.service.letters import Letters
from consumer.testing.letters import MemoryLetterBox

POINTS = ("letter.before-redrive", "letter.after-redrive", "letter.before-receipt", "letter.after-receipt")


def letter(offset: int, stream: str = "trades", *, value: bytes | None = None) -> DeadLetter:
    event = {
        "specversion": "1.0",
        "id": f"e{offset}",
        "source": "/tests",
        "type": "icehaul.tick.v1",
        "time": "2026-01-01T00:00:00Z",
        "data": {"stream": stream, "cutoff": "2026-01-01T00:00:00Z"},
    }
    return DeadLetter(
        place=Place(partition=0, offset=offset),
        origin=Coordinates(topic="events", partition=0, offset=offset),
        time=None,
        reason="unknown-stream",
        error="it was not configured",
        key=stream.encode(),
        value=json.dumps(event).encode() if value is None else value,
        headers=(),
        cut_off=False,
    )


def office(box: MemoryLetterBox, failpoints: str = "") -> Letters:
    return Letters(box=box, decode=decode_letter, streams={"trades"}, failpoints=Failpoints(failpoints))


def test_letters_of_a_stream_that_is_configured_by_now_are_sent_and_the_others_stay() -> None:
    box = MemoryLetterBox([letter(0), letter(1, "nobody"), letter(2, value=b"{"), letter(3)])
    shown = office(box).judge(office(box).list())
    assert [one.verdict for one in shown] == [Verdict.VALID, Verdict.INVALID, Verdict.INVALID, Verdict.VALID]
    assert "'nobody' is not configured; configured: trades" in shown[1].problem
    assert box.sent == []
    done = office(box).redrive(office(box).list())
    assert [one.verdict for one in done] == [Verdict.REDRIVEN, Verdict.INVALID, Verdict.INVALID, Verdict.REDRIVEN]
    assert [one.place.offset for one in box.sent] == [0, 3]
    assert [one.place.offset for one in office(box).list()] == [1, 2]
    assert [one.place.offset for one in office(box).list(redriven=True)] == [0, 1, 2, 3]


def test_what_was_sent_before_is_not_sent_again() -> None:
    box = MemoryLetterBox([letter(0)])
    office(box).redrive(office(box).list())
    again = office(box).redrive(office(box).find([Place(partition=0, offset=0)]))
    assert [one.verdict for one in again] == [Verdict.DONE]
    assert len(box.sent) == 1


def test_a_letter_that_was_cut_off_is_never_sent() -> None:
    box = MemoryLetterBox([replace(letter(0), cut_off=True)])
    (done,) = office(box).redrive(office(box).list())
    assert (done.verdict, box.sent) == (Verdict.INVALID, [])


def test_letters_are_chosen_by_reason_or_place() -> None:
    box = MemoryLetterBox([letter(0), replace(letter(1), reason="not-json")])
    assert [one.place.offset for one in office(box).list(reason="not-json")] == [1]
    with pytest.raises(ConfigurationError, match="no dead letter at 0@7"):
        office(box).find([parse_place("0@0"), parse_place("0@7")])


@pytest.mark.parametrize("point", POINTS)
def test_a_redrive_that_breaks_off_anywhere_is_finished_by_the_next_one(point: str) -> None:
    box = MemoryLetterBox([letter(n) for n in range(3)])
    with pytest.raises(BrokerUnavailableError):
        office(box, f"{point}=raise").redrive(office(box).list())
    office(box).redrive(office(box).list())
    assert {one.place.offset for one in box.sent} == {0, 1, 2}
    assert office(box).list() == []


@pytest.mark.parametrize("text", ["", "3", "3@", "@3", "a@1", "-1@2", "1@2@3", "1@99999999999999999999"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="LETTER"):
        parse_place(text)
