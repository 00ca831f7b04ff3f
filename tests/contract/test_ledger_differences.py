"""What every ledger does with supplements, replacements and findings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consumer.domain.batch import BatchKind
from consumer.domain.errors import (
    FencedError,
    StaleDifferenceError,
    UnknownCommitError,
)
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.inventory import PartitionContent
from consumer.domain.reconcile import ComparedPartition, Finding, FindingKind, PartitionSpan
from consumer.domain.window import BEGINNING, Window
from consumer.ports import Claim, Comparison, Ledger
from tests.support.ledger_contract import TWO_FILES, Publish, claim, current, database, kind, ledger, publish
from tests.support.ledger_values import (
    DAY,
    STREAM,
    T0,
    TTL,
    batch,
    publication,
    replacement,
    supplement,
    trigger,
    window,
)

__all__ = ["claim", "database", "kind", "ledger", "publish"]


def test_a_supplement_is_added_to_what_is_recorded_of_its_window_and_leaves_the_watermark(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch()))
    publish(publication(claim, supplement(TWO_FILES, lateness=(1, 2, 0, 0, 0, 0, 7))))
    (recorded,) = ledger.windows(STREAM, window())
    assert recorded.cold == recorded.hot == Fingerprint(rows=20, digest=2)
    assert (current(ledger).watermark, current(ledger).last_upper) == (T0, T0)
    assert tuple(ledger.lateness(STREAM)) == (1, 2, 0, 0, 0, 0, 7)
    assert {one.kind for one in ledger.batches(STREAM, 9)} == {BatchKind.WINDOW, BatchKind.SUPPLEMENT}


def test_a_supplement_to_a_window_without_rows_counts_for_it_also_when_the_window_grows(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    ledger.advance(claim, batch(rows=0), trigger(), ())
    publish(publication(claim, supplement(EMPTY)))
    ledger.advance(claim, batch(Window(lower=T0, upper=T0 + DAY), rows=0), trigger(), ())
    for stretch in (Window(lower=BEGINNING, upper=T0 + DAY), Window(lower=T0 + DAY / 2, upper=T0 + DAY)):
        recorded = ledger.windows(STREAM, stretch)
        assert sum((one.cold for one in recorded), EMPTY) == TWO_FILES
    publish(publication(claim, supplement(TWO_FILES, Window(lower=BEGINNING, upper=T0 + DAY))))


def test_a_supplement_that_was_computed_from_another_content_is_refused(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch()))
    with pytest.raises(StaleDifferenceError, match="another content"):
        publish(publication(claim, supplement(Fingerprint(rows=9, digest=1))))
    publish(publication(claim, supplement(TWO_FILES)))
    with pytest.raises(UnknownCommitError):
        publish(publication(claim, supplement(TWO_FILES)))


def test_a_replacement_takes_the_place_of_what_is_recorded_and_supplements_after_it_count(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch()))
    publish(publication(claim, supplement(TWO_FILES)))
    publish(publication(claim, replacement(Fingerprint(rows=20, digest=2))))
    (recorded,) = ledger.windows(STREAM, window())
    assert (recorded.cold, recorded.hot, recorded.revision) == (TWO_FILES, TWO_FILES, 1)
    assert (current(ledger).watermark, current(ledger).last_upper) == (T0, T0)
    publish(publication(claim, supplement(TWO_FILES, revision=1)))
    (recorded,) = ledger.windows(STREAM, window())
    assert recorded.cold == Fingerprint(rows=20, digest=2)
    publish(publication(claim, replacement(Fingerprint(rows=20, digest=2), revision=2)))
    (recorded,) = ledger.windows(STREAM, window())
    assert (recorded.cold, recorded.revision) == (TWO_FILES, 2)


def test_a_window_that_is_equal_again_has_no_finding(ledger: Ledger, publish: Publish, claim: Claim) -> None:
    publish(publication(claim, batch()))
    hot = Fingerprint(rows=4, digest=5)
    kinds = (FindingKind.CHANGED, FindingKind.GAP)
    findings = [Finding(kind=kind, window=window(), rows=1, detail="d") for kind in kinds]
    ledger.record_comparison(claim, Comparison(hot={BEGINNING: hot}, findings=findings))
    ledger.record_comparison(claim, Comparison(equal=[window()]))
    assert [finding.kind for finding in ledger.findings(STREAM)] == [FindingKind.GAP]
    (recorded,) = ledger.windows(STREAM, window())
    assert recorded.hot == recorded.cold == TWO_FILES


def test_a_replacement_of_another_content_or_revision_is_refused(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch()))
    with pytest.raises(StaleDifferenceError, match="another content"):
        publish(publication(claim, replacement(Fingerprint(rows=9, digest=1))))
    publish(publication(claim, replacement(TWO_FILES)))
    with pytest.raises(UnknownCommitError):
        publish(publication(claim, replacement(TWO_FILES)))
    with pytest.raises(StaleDifferenceError):
        publish(publication(claim, supplement(TWO_FILES)))
    with pytest.raises(StaleDifferenceError):
        publish(publication(claim, replacement(TWO_FILES, revision=3)))


def test_a_replacement_settles_what_was_found_in_its_window_and_nothing_else(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    after = Window(lower=T0, upper=T0 + DAY)
    publish(publication(claim, batch()))
    publish(publication(claim, batch(after)))
    findings = [
        Finding(kind=kind, window=span, rows=1, detail="d")
        for span in (window(), after)
        for kind in (FindingKind.CHANGED, FindingKind.DELETED, FindingKind.TOO_LATE, FindingKind.GAP)
    ]
    hot = Fingerprint(rows=4, digest=5)
    ledger.record_comparison(claim, Comparison(hot={BEGINNING: hot, T0: hot}, findings=findings))
    publish(publication(claim, replacement(TWO_FILES)))
    left = {(finding.kind, finding.window) for finding in ledger.findings(STREAM)}
    assert left == {(one.kind, one.window) for one in findings if one.window == after or one.kind is FindingKind.GAP}
    first, second = ledger.windows(STREAM, Window(lower=BEGINNING, upper=T0 + DAY))
    assert (first.hot, second.hot) == (TWO_FILES, hot)


def test_an_old_epoch_publishes_no_supplement_and_records_no_comparison(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch()))
    ledger.claim(STREAM, "first", TTL)
    with pytest.raises(FencedError):
        publish(publication(claim, supplement(TWO_FILES)))
    with pytest.raises(FencedError):
        ledger.record_comparison(claim, Comparison())


def test_a_comparison_is_kept_partition_by_partition_and_window_by_window(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch()))
    partition = ComparedPartition(
        id="20260301",
        content=PartitionContent(rows=3, min_block=1, max_block=9, data_version=0),
        span=PartitionSpan(first=T0 - DAY, last=T0, pending=2),
        watermark=T0,
        exact=False,
    )
    other = replace(partition, id="20260302")
    hot = Fingerprint(rows=4, digest=5)
    ledger.record_comparison(claim, Comparison(partitions=[partition, other], hot={BEGINNING: hot}))
    assert ledger.partitions(STREAM) == {"20260301": partition, "20260302": other}
    (recorded,) = ledger.windows(STREAM, window())
    assert (recorded.hot, recorded.cold) == (hot, TWO_FILES)
    exact = replace(partition, exact=True)
    ledger.record_comparison(claim, Comparison(partitions=[exact], gone=["20260302"]))
    assert ledger.partitions(STREAM) == {"20260301": exact}
    ledger.accept(STREAM)
    assert ledger.partitions(STREAM) == {"20260301": exact.settled()}


def test_findings_are_accepted_once_and_open_again_when_they_grow(ledger: Ledger, claim: Claim) -> None:
    finding = Finding(kind=FindingKind.DELETED, window=window(), rows=3, detail="gone")
    ledger.record_comparison(claim, Comparison(findings=[finding]))
    assert list(ledger.findings(STREAM)) == [finding]
    assert (ledger.accept(STREAM), ledger.accept(STREAM)) == (1, 0)
    ledger.record_comparison(claim, Comparison(findings=[finding]))
    assert list(ledger.findings(STREAM)) == [replace(finding, accepted=True)]
    ledger.record_comparison(claim, Comparison(findings=[replace(finding, rows=4)]))
    assert list(ledger.findings(STREAM)) == [replace(finding, rows=4)]


# ------------------------------------------------------------------------------------------- history
