"""What every ledger and every catalog does for a rewind, the real ones and those in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import uuid4

import pytest

from consumer.adapters.postgres.intents import intend, settle
from consumer.adapters.postgres.rewinds import PostgresRewinds
from consumer.domain.batch import Batch, BatchKind, BatchStatus, Remainder, Replacement, Rewind, WrittenFile
from consumer.domain.errors import FencedError, StaleDifferenceError, UnknownCommitError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.inventory import PartitionContent
from consumer.domain.reconcile import ComparedPartition, Finding, FindingKind, PartitionSpan
from consumer.domain.window import BEGINNING, EVER, Window
from consumer.ports import Claim, Comparison, Ledger, Publication
from consumer.service.rewinding.ports import RewindLedger
from consumer.testing.ledger import MemoryLedger
from tests.support.cold_tier import HOUR, START, TRIGGER, ColdTier, Step
from tests.support.ledger_contract import TWO_FILES, Publish, claim, current, database, kind, ledger, publish
from tests.support.ledger_values import DAY, STREAM, T0, TTL, batch, publication, supplement, trigger, window

__all__ = ["claim", "database", "kind", "ledger", "publish"]

AFTER = Window(lower=T0, upper=T0 + DAY)
INSIDE = T0 + DAY / 2
HALF = Fingerprint(rows=4, digest=4)


@pytest.fixture
def rewinds(ledger: Ledger, request: pytest.FixtureRequest) -> RewindLedger:
    if isinstance(ledger, MemoryLedger):
        return ledger.rewinds
    return PostgresRewinds(request.getfixturevalue("database"))


@pytest.fixture
def filled(ledger: Ledger, publish: Publish, claim: Claim) -> Claim:
    """A stream of two windows with rows, the second with late ones, and one without rows after them."""
    publish(publication(claim, batch()))
    publish(publication(claim, batch(AFTER)))
    publish(publication(claim, supplement(TWO_FILES, AFTER)))
    ledger.advance(claim, batch(Window(lower=AFTER.upper, upper=AFTER.upper + DAY), rows=0), trigger(), [])
    return replace(claim, record=current(ledger))


def planned(ledger: Ledger, to: datetime, rewind: Rewind | None = None) -> Batch:
    record = current(ledger)
    rest = Window(lower=to, upper=record.watermark)
    made = rewind or Rewind(watermark=to, windows=tuple(ledger.windows(STREAM, rest)), last_upper=T0)
    return Batch(
        id=uuid4(),
        stream=STREAM,
        kind=BatchKind.REWIND,
        window=rest,
        generation=record.generation,
        units=(),
        replacement=Replacement(content=EMPTY, files=()),
        rewind=made,
    )


def cut(ledger: Ledger, content: Fingerprint = HALF) -> Batch:
    """A rewind that leaves half of the second window, written by its first unit."""
    made = planned(ledger, INSIDE)
    assert made.rewind is not None
    left = Remainder(id=uuid4(), window=Window(lower=T0, upper=INSIDE), content=content, units=frozenset({0}))
    last_upper = INSIDE if content.rows else T0
    return replace(made, rewind=replace(made.rewind, remainder=left, last_upper=last_upper))


def without_files(claim: Claim, made: Batch) -> Publication:
    return replace(publication(claim, made), files=[])


def test_what_is_done_above_is_withdrawn_and_the_watermark_set_back(
    ledger: Ledger, publish: Publish, filled: Claim
) -> None:
    publish(without_files(filled, planned(ledger, T0)))
    record = current(ledger)
    assert (record.watermark, record.last_upper, record.generation) == (T0, T0, 2)
    assert [one.window for one in ledger.windows(STREAM, EVER)] == [window()]
    done = {one.kind: one.status for one in ledger.batches(STREAM, 100) if one.window.lower >= T0}
    assert done == {
        BatchKind.WINDOW: BatchStatus.WITHDRAWN,
        BatchKind.SUPPLEMENT: BatchStatus.WITHDRAWN,
        BatchKind.REWIND: BatchStatus.PUBLISHED,
    }
    publish(publication(replace(filled, record=record), batch(AFTER, generation=2)))
    assert current(ledger).watermark == AFTER.upper


def test_what_is_left_of_the_window_that_straddles_is_a_window_with_its_files(
    ledger: Ledger, publish: Publish, filled: Claim
) -> None:
    made = cut(ledger)
    ledger.begin(filled, made, trigger())
    path = f"s3://icehaul/{made.id}"
    own = WrittenFile(unit=0, path=f"{path}/0", bytes=10, fingerprint=HALF, kept=True)
    other = WrittenFile(unit=1, path=f"{path}/1", bytes=10, fingerprint=HALF, kept=True)
    ledger.stage(filled, made.id, path, [own, other])
    publish(replace(publication(filled, made), files=[own, other]))
    _, left = ledger.windows(STREAM, EVER)
    assert (left.window.upper, left.cold, left.revision) == (INSIDE, HALF, 0)
    assert current(ledger).last_upper == INSIDE
    newest = next(one for one in ledger.batches(STREAM, 100) if one.window == left.window)
    assert (newest.generation, newest.status, newest.rows) == (2, BatchStatus.PUBLISHED, 4)


def test_a_remainder_without_rows_is_an_empty_window(ledger: Ledger, publish: Publish, filled: Claim) -> None:
    publish(without_files(filled, cut(ledger, EMPTY)))
    assert [one.cold for one in ledger.windows(STREAM, EVER)] == [TWO_FILES, EMPTY]
    assert (current(ledger).watermark, current(ledger).last_upper) == (INSIDE, T0)


def test_windows_without_rows_are_rewound_without_a_publish_and_go_on_growing(
    ledger: Ledger, rewinds: RewindLedger, filled: Claim
) -> None:
    to = AFTER.upper + DAY / 2
    before = current(ledger)
    made = planned(ledger, to)
    assert made.rewind is not None
    assert rewinds.last_rows(STREAM, AFTER.upper) == AFTER.upper
    left = Remainder(id=uuid4(), window=Window(lower=AFTER.upper, upper=to), content=EMPTY)
    back = replace(made.rewind, remainder=left, last_upper=AFTER.upper)
    rewinds.set_back(filled, made, back, trigger())
    record = current(ledger)
    assert (record.watermark, record.generation, record.last_upper) == (to, 2, before.last_upper)
    assert record.last_batch_id == before.last_batch_id, "the table does not know of it"
    ledger.advance(filled, batch(Window(lower=to, upper=to + DAY), rows=0, generation=2), trigger(), [])
    assert ledger.windows(STREAM, EVER)[-1].window == Window(lower=AFTER.upper, upper=to + DAY)
    with pytest.raises(UnknownCommitError):
        rewinds.set_back(filled, made, back, trigger())
    with pytest.raises(FencedError):
        rewinds.set_back(replace(filled, epoch=99), planned(ledger, to), back, trigger())


@pytest.mark.parametrize("stale", ["window", "content", "generation", "watermark", "rows below"])
def test_a_rewind_that_was_planned_on_something_else_is_refused(
    ledger: Ledger, publish: Publish, filled: Claim, stale: str
) -> None:
    made = planned(ledger, T0)
    back = made.rewind
    assert back is not None
    if stale == "window":
        back = replace(back, windows=back.windows[:-1])
    elif stale == "content":
        back = replace(back, windows=(replace(back.windows[0], cold=HALF), *back.windows[1:]))
    elif stale == "rows below":
        back = replace(back, last_upper=BEGINNING)
    elif stale == "generation":
        made = replace(made, generation=7)
    else:
        made = replace(made, window=Window(lower=T0, upper=made.window.upper + DAY))
    before = current(ledger)
    with pytest.raises(StaleDifferenceError, match="out of date"):
        publish(without_files(filled, replace(made, rewind=back)))
    assert current(ledger) == before


def test_a_rewind_lands_once_and_only_at_the_owners_epoch(ledger: Ledger, publish: Publish, filled: Claim) -> None:
    made = planned(ledger, T0)
    publish(without_files(filled, made))
    with pytest.raises(UnknownCommitError):
        publish(without_files(filled, made))
    ledger.claim(STREAM, "first", TTL)
    with pytest.raises(FencedError):
        publish(without_files(filled, planned(ledger, BEGINNING + DAY)))


@pytest.mark.parametrize("way", ["publish", "set back"])
def test_a_rewind_needs_the_leases_on_its_dependants_when_it_lands(
    ledger: Ledger, rewinds: RewindLedger, publish: Publish, filled: Claim, way: str
) -> None:
    ledger.register("derived", BEGINNING)
    held = ledger.claim("derived", filled.owner, TTL)
    made = planned(ledger, T0 if way == "publish" else AFTER.upper)
    assert made.rewind is not None
    back = replace(made.rewind, held={"derived": held.epoch})
    if way == "set back":
        back = replace(back, last_upper=AFTER.upper)

    def land() -> None:
        if way == "publish":
            publish(without_files(filled, replace(made, rewind=back)))
        else:
            rewinds.set_back(filled, made, back, trigger())

    before = current(ledger)
    ledger.release(held)
    ledger.claim("derived", "another", TTL)
    with pytest.raises(FencedError, match=r"stream derived: .* belongs to another"):
        land()
    assert current(ledger) == before
    back = replace(back, held={})
    land()
    assert current(ledger).watermark == made.window.lower


def test_what_is_derived_may_not_go_beyond_a_rewind_that_is_about_to_be_committed(
    ledger: Ledger, filled: Claim, request: pytest.FixtureRequest
) -> None:
    made, stays = planned(ledger, T0), current(ledger).watermark
    assert ledger.final_until([STREAM, "unknown"]) == {STREAM: stays}
    if isinstance(ledger, MemoryLedger):
        ledger.rewinds.intend(7, made)
    else:
        with request.getfixturevalue("database").transaction() as connection:
            intend(connection, without_files(filled, made), snapshot_id=7, base_snapshot_id=None)
    assert ledger.final_until([STREAM]) == {STREAM: T0}
    assert current(ledger).watermark == stays, "it may not have landed"
    if isinstance(ledger, MemoryLedger):
        ledger.rewinds.settle(7)
    else:
        with request.getfixturevalue("database").transaction() as connection:
            settle(connection, STREAM, [7])
    assert ledger.final_until([STREAM]) == {STREAM: stays}


def test_what_is_known_of_the_source_is_put_right(ledger: Ledger, publish: Publish, filled: Claim) -> None:
    spans = (window(), AFTER)
    kinds = (FindingKind.CHANGED, FindingKind.DELETED, FindingKind.GAP)
    found = [Finding(kind=one, window=span, rows=3, detail="d") for span in spans for one in kinds]
    hot = Fingerprint(rows=1, digest=5)
    ledger.record_comparison(filled, Comparison(hot={BEGINNING: hot, T0: hot}, findings=found))
    ledger.accept(STREAM)
    made = cut(ledger)
    assert made.rewind is not None
    partition = ComparedPartition(
        id="20260302",
        content=PartitionContent(rows=9, min_block=1, max_block=9, data_version=0),
        span=PartitionSpan(first=T0, last=T0 + DAY, pending=5),
        watermark=INSIDE,
        exact=False,
    )
    left = replace(
        made.rewind,
        partitions=(partition,),
        hot={T0: HALF},
        findings=(Finding(kind=FindingKind.DELETED, window=Window(lower=T0, upper=INSIDE), rows=3, detail="d"),),
    )
    publish(without_files(filled, replace(made, rewind=left)))
    assert ledger.partitions(STREAM) == {"20260302": partition}
    assert [one.hot for one in ledger.windows(STREAM, EVER)] == [hot, HALF]
    known = {(one.kind, one.window.lower, one.window.upper): one.accepted for one in ledger.findings(STREAM)}
    assert known == {
        **{(one, BEGINNING, T0): True for one in kinds},
        (FindingKind.DELETED, T0, INSIDE): True,
        (FindingKind.GAP, T0, AFTER.upper): True,
    }


# ------------------------------------------------------------------------------------------- catalogs


def back_to_the_first(tier: ColdTier, claim: Claim, first: Step | None, removed: list[str]) -> Publication:
    """A rewind to the end of the first window, or to where the rows begin."""
    record = tier.ledger.read(["trades"])["trades"]
    to = START if first is None else first.publication.batch.window.upper
    rest = Window(lower=to, upper=record.watermark)
    made = Batch(
        id=uuid4(),
        stream="trades",
        kind=BatchKind.REWIND,
        window=rest,
        generation=record.generation,
        units=(),
        replacement=Replacement(content=EMPTY, files=tuple(removed)),
        rewind=Rewind(
            watermark=to,
            windows=tuple(tier.ledger.windows("trades", rest)),
            last_upper=None if first is None else to,
        ),
    )
    return Publication(
        claim=replace(claim, record=record), stream=tier.stream, batch=made, trigger=TRIGGER, files=[], outbox=[]
    )


@pytest.fixture
def two_windows(tier: ColdTier) -> tuple[Claim, Step, Step]:
    owner = tier.begin()
    first = tier.write(owner)
    tier.catalog.publish(first.publication)
    second = tier.write(owner)
    tier.catalog.publish(second.publication)
    return owner, first, second


def test_a_rewind_removes_files_and_is_what_the_table_proves(
    tier: ColdTier, two_windows: tuple[Claim, Step, Step]
) -> None:
    owner, first, second = two_windows
    wish = back_to_the_first(tier, owner, first, [second.file.path])
    snapshot_id = tier.catalog.publish(wish)
    evidence = tier.target().evidence
    assert evidence is not None
    assert (evidence.snapshot_id, evidence.batch_id) == (snapshot_id, wish.batch.id)
    assert (evidence.upper, evidence.generation) == (START + HOUR, 2)
    assert tier.catalog.data_files(tier.stream.target, tier.stream.partition_by, None) == [first.file.path]
    tier.publish(owner)


def test_a_rewind_stays_proved_where_expiry_has_hidden_its_snapshot(
    tier: ColdTier, two_windows: tuple[Claim, Step, Step]
) -> None:
    owner, first, second = two_windows
    tier.catalog.publish(back_to_the_first(tier, owner, None, [first.file.path, second.file.path]))
    tier.add_foreign()
    tier.expire(1)
    evidence = tier.target().evidence
    assert evidence is not None
    assert (evidence.upper, evidence.generation) == (None, 2)
    tier.publish(owner)


def test_properties_do_not_prove_a_rewind_that_was_rolled_back(
    tier: ColdTier, two_windows: tuple[Claim, Step, Step]
) -> None:
    owner, first, second = two_windows
    before = tier.target().snapshot_id
    assert before is not None
    tier.catalog.publish(back_to_the_first(tier, owner, first, [second.file.path]))
    tier.roll_back(before)
    tier.add_foreign()
    tier.expire(1)
    assert tier.target().evidence is None


def test_a_rewind_of_files_that_are_not_live_any_more_is_looked_at_again(
    tier: ColdTier, two_windows: tuple[Claim, Step, Step]
) -> None:
    owner, first, second = two_windows
    with pytest.raises(StaleDifferenceError, match="not live any more"):
        tier.catalog.publish(back_to_the_first(tier, owner, first, [f"{second.file.path}-gone"]))
