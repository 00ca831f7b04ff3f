"""Rows that a mutation changed or deleted are replaced in the real cold tier on request, window by window."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind
from consumer.domain.errors import FencedError
from consumer.domain.window import Window
from consumer.service.replacing.review import Choice, Verdict
from tests.faults.test_late_rows import CUTOFF, late, make
from tests.support.cases import few
from tests.support.interruptions import Interrupt
from tests.support.local_platform import LocalPlatform, judge, offload, published
from tests.support.platform import day

EVER = Choice(within=Window(lower=day("2024-01-01"), upper=CUTOFF))
ALL = Choice(within=EVER.within, remove_rows=True)


def mutate(platform: LocalPlatform, statement: str) -> None:
    platform.client.command(f"ALTER TABLE {platform.name}.trades {statement} SETTINGS mutations_sync = 2")


def replacements(consumer: Application, stream: str) -> int:
    return sum(one.kind is BatchKind.REPLACE for one in published(consumer, stream))


@pytest.fixture
def changed(local: LocalPlatform) -> Iterator[tuple[Application, str]]:
    """A stream of two days of fifty rows each, ten of which were changed after they had been offloaded."""
    stream = make(local)
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        mutate(local, "UPDATE price = price + 1 WHERE seq < 10")
        yield consumer, stream


def test_changed_rows_are_replaced_on_request(local: LocalPlatform, changed: tuple[Application, str]) -> None:
    consumer, stream = changed
    offload(consumer, stream, CUTOFF)
    settings = consumer.streams[stream]
    before = consumer.catalog.inspect(settings.target)
    (done,) = consumer.replacements.replace(settings, Choice(within=None))
    assert (done.verdict, done.missing, done.surplus) == (Verdict.REPLACED, 10, 10)
    judge(consumer, stream, rows=100)
    assert consumer.ledger.findings(stream) == []
    after = consumer.catalog.inspect(settings.target)
    assert before is not None
    assert after is not None
    assert after.snapshot_id == done.snapshot_id != before.snapshot_id
    late(local, "2024-01-01")
    offload(consumer, stream, CUTOFF)
    judge(consumer, stream, rows=103)


def test_deleted_rows_are_removed_only_where_that_is_asked_for(
    local: LocalPlatform, changed: tuple[Application, str]
) -> None:
    consumer, stream = changed
    mutate(local, "DELETE WHERE seq BETWEEN 5 AND 24")
    settings = consumer.streams[stream]
    assert [one.verdict for one in consumer.replacements.replace(settings, EVER)].count(Verdict.REFUSED) == 1
    assert consumer.verifier.verify(settings).cold.rows == 100
    consumer.replacements.replace(settings, ALL)
    judge(consumer, stream, rows=80)


def test_a_day_all_rows_of_which_were_deleted_is_emptied_and_may_be_filled_again(
    local: LocalPlatform, changed: tuple[Application, str]
) -> None:
    consumer, stream = changed
    mutate(local, "DELETE WHERE toDate(ts) = '2024-01-01'")
    consumer.replacements.replace(consumer.streams[stream], ALL)
    judge(consumer, stream, rows=50)
    late(local, "2024-01-01", rows=7)
    offload(consumer, stream, CUTOFF)
    judge(consumer, stream, rows=57)


def test_rows_of_other_windows_that_a_compaction_has_put_into_the_same_file_are_kept(local: LocalPlatform) -> None:
    stream = local.add_stream(partition_by="none")
    with local.consumer() as consumer:
        for number, date in enumerate(("2024-01-01", "2024-01-02", "2024-01-03")):
            local.insert(50, first=number * 50, day=date)
            offload(consumer, stream, day(f"2024-01-{number + 2:02}"))
        with closing(local.cold_tier(stream)) as tier:
            tier.merge_files()
        mutate(local, "UPDATE price = price + 1 WHERE seq BETWEEN 50 AND 59")
        settings = consumer.streams[stream]
        (done,) = consumer.replacements.replace(
            settings, Choice(within=Window(lower=day("2024-01-02"), upper=day("2024-01-03")))
        )
        assert done.verdict is Verdict.REPLACED
        found = consumer.verifier.verify(settings)
        assert found.equal
        assert found.cold.rows == 150
        audit = consumer.auditor.audit(settings)
        assert audit.clean, [check for check in audit.checks if not check.clean]
        mutate(local, "UPDATE price = price + 1 WHERE seq < 150")
        consumer.replacements.replace(settings, EVER)
        judge(consumer, stream, rows=150)


@pytest.mark.parametrize(
    "point",
    few(
        ["batch.before-begin", "attempt.after-stage", "publish.before-commit", "publish.after-commit"],
        {"attempt.after-stage", "publish.after-commit"},
    ),
)
def test_a_replacement_that_breaks_off_anywhere_is_there_once_after_the_next_run(
    local: LocalPlatform, changed: tuple[Application, str], point: str
) -> None:
    consumer, stream = changed

    def abandon() -> None:
        raise FencedError("the stream was taken over", remedy="nothing to do")

    with local.consumer(failpoints=Interrupt(point, abandon)) as other, pytest.raises(FencedError):
        other.replacements.replace(other.streams[stream], EVER)
    offload(consumer, stream, CUTOFF)
    consumer.replacements.replace(consumer.streams[stream], EVER)
    judge(consumer, stream, rows=100)
    assert replacements(consumer, stream) == 1
