"""A stream that is renamed, removed or moved is so wholly or not at all, whatever fails or who else works on it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError, FencedError, IcehaulError, LeaseHeldError
from consumer.domain.event_factory import batch_committed, tick
from consumer.domain.stream import TableName
from consumer.failpoints.acting import Failpoints
from consumer.failpoints.effect import Component
from consumer.failpoints.effects import POINTS
from tests.support.hot_drops import ROWS, Tiers
from tests.support.local_platform import judge, offload
from tests.support.platform import day

STEPS = [name for name, one in POINTS.items() if one.effect.component is Component.REGISTER]


def change(application: Application, stream: str, what: str) -> None:
    """Change the stream as the command does."""
    changes = application.stream_changes
    if what == "rename":
        changes.rename(stream, f"{stream}_new", dry=False)
    elif what == "move":
        changes.move(stream, TableName(database=application.streams[stream].target.database, table="moved"), dry=False)
    else:
        changes.remove(stream, purge=False, dry=False)


def standing(application: Application, stream: str) -> tuple[bool, bool, bool]:
    """Whether the ledger has the stream, has it under its new name, and whether the table was moved."""
    found = application.ledger.read([stream, f"{stream}_new"])
    moved = TableName(database=application.streams[stream].target.database, table="moved")
    return stream in found, f"{stream}_new" in found, application.catalog.inspect(moved) is not None


@pytest.mark.parametrize("what", ["rename", "remove", "move"])
def test_a_change_that_fails_is_made_wholly_or_not_at_all(tiers: Tiers, what: str) -> None:
    steps = [name for name in STEPS if name.endswith(f"-{what}")]
    with tiers.platform.consumer(failpoints=Failpoints(f"{steps[0]}=raise")) as application:
        with pytest.raises(IcehaulError, match=steps[0]):
            change(application, tiers.stream, what)
        assert standing(application, tiers.stream) == (True, False, False)
    with tiers.platform.consumer(failpoints=Failpoints(f"{steps[1]}=raise")) as application:
        with pytest.raises(IcehaulError, match=steps[1]):
            change(application, tiers.stream, what)
        expected = {"rename": (False, True, False), "remove": (False, False, False), "move": (True, False, True)}
        assert standing(application, tiers.stream) == expected[what]
    with tiers.platform.consumer() as application, pytest.raises(IcehaulError):
        change(application, tiers.stream, what)


def test_a_renamed_stream_goes_on_with_its_history_and_its_waiting_events(tiers: Tiers) -> None:
    old, new = tiers.stream, f"{tiers.stream}_new"
    waiting = batch_committed(
        dependant="other",
        upstream=old,
        batch_id=tiers_batch(tiers),
        watermark=day("2024-01-04"),
        time=day("2024-01-04"),
    )
    with tiers.platform.consumer() as application:
        application.ledger.halt(old, reason="r", remedy="m", epoch=None)
        application.ledger.park(tick(stream=old, boundary=day("2024-01-05")))
        application.ledger.register("other")
        application.ledger.halt("other", reason="r", remedy="m", epoch=None)
        application.ledger.park(waiting)
        change(application, old, "rename")
    tiers.platform.streams[0]["name"] = new
    with tiers.platform.consumer() as application:
        assert [one.stream for one in application.ledger.parked(new)] == [new]
        assert [one.upstream for one in application.ledger.parked("other")] == [new]
        application.ledger.resume(new)
        tiers.platform.insert(ROWS, first=900, day="2024-01-04")
        assert offload(application, new, day("2024-01-05")) == []
        judge(application, new, rows=4 * ROWS)


def tiers_batch(tiers: Tiers) -> UUID:
    with tiers.platform.consumer() as application:
        return application.ledger.batches(tiers.stream, 1)[0].batch_id


@pytest.mark.parametrize("what", ["rename", "remove"])
def test_a_stream_keeps_its_name_while_rows_of_it_stand_in_quarantine(tiers: Tiers, what: str) -> None:
    with pytest.raises(IcehaulError, match="after-quarantine"):
        tiers.drop(failpoints="partition.after-quarantine=raise")
    with tiers.platform.consumer() as application:
        with pytest.raises(ConfigurationError, match=r"1 drops .* have not ended"):
            change(application, tiers.stream, what)
        assert standing(application, tiers.stream) == (True, False, False)


@pytest.mark.parametrize("what", ["rename", "remove", "move"])
def test_a_stream_that_somebody_works_on_is_left_alone_and_the_owner_named(tiers: Tiers, what: str) -> None:
    with tiers.platform.consumer(owner="somebody") as application:
        application.ledger.claim(tiers.stream, "somebody", timedelta(seconds=30))
    with tiers.platform.consumer(owner="me") as application:
        with pytest.raises(LeaseHeldError, match="somebody holds it until"):
            change(application, tiers.stream, what)
        assert standing(application, tiers.stream) == (True, False, False)


def test_an_owner_of_before_is_fenced_out_of_a_changed_stream(tiers: Tiers) -> None:
    with tiers.platform.consumer(owner="zombie") as application:
        claim = application.ledger.claim(tiers.stream, "zombie", timedelta(microseconds=1))
    with tiers.platform.consumer(owner="me") as application:
        change(application, tiers.stream, "move")
        with pytest.raises(FencedError):
            application.register.move(claim, TableName.parse("a.b"), TableName.parse("a.c"))
        with pytest.raises(FencedError):
            application.register.rename(claim, "zombies", TableName.parse("a.b"))
