"""Publishes in two steps, interrupted: what crashes, what is late, and the judge of what is left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from consumer.adapters.iceberg.catalog import IcebergCatalog
from consumer.domain.batch import BatchStatus
from consumer.domain.errors import BaseMovedError, IcehaulError, UnknownCommitError
from consumer.ports import Claim, Publication
from tests.support.cold_tier import TTL, IcebergColdTier
from tests.support.interruptions import Interrupt

_LONGEST_S = 60.0


class Crash(BaseException):
    """The process dies here: nothing of it handles this."""


def die() -> None:
    raise Crash


@contextmanager
def crashing(tier: IcebergColdTier, point: str) -> Iterator[IcebergCatalog]:
    """A process that dies at a failpoint."""
    catalog = tier.another(Interrupt(point, die))
    try:
        yield catalog
    finally:
        catalog.close()


def take_over(tier: IcebergColdTier, claim: Claim) -> Claim:
    """Take the lease with a new epoch, and heal, as every claim begins."""
    newer = tier.ledger.claim(tier.stream.name, claim.owner, TTL)
    return tier.catalog.heal(tier.stream, newer, final=True)


def status(tier: IcebergColdTier, publication: Publication) -> BatchStatus:
    found = tier.ledger.resolve(publication.stream.name, publication.batch.id)
    assert found is not None
    return found.status


def run(tier: IcebergColdTier, catalog: IcebergCatalog, publication: Publication) -> list[type[IcehaulError]]:
    """Publish until it is done, as the runner of batches does; return what it met with on the way."""
    met: list[type[IcehaulError]] = []
    for _ in range(5):
        try:
            catalog.publish(publication)
        except BaseMovedError as error:
            met.append(type(error))
            continue
        except UnknownCommitError as error:
            met.append(type(error))
            tier.catalog.heal(tier.stream, publication.claim, final=False)
            if status(tier, publication) is not BatchStatus.PUBLISHED:
                continue
        return met
    raise AssertionError(f"not published after {met}")


def open_intents(tier: IcebergColdTier) -> int:
    with psycopg.connect(tier.dsn) as connection:
        row = connection.execute("SELECT count(*) FROM offload_publishes").fetchone()
    assert row is not None
    return int(row[0])


def settled(tier: IcebergColdTier, *, rows: int, batches: int, foreign: int = 0) -> None:
    """The judge: every row once, one snapshot for each batch, the watermark where the table's evidence is.

    Of the rows, so many are ``foreign``: another engine has put them into the table.
    """
    table, evidence = tier.table(), tier.target().evidence
    published = [
        snapshot.summary.additional_properties["icehaul.batch-id"]
        for snapshot in table.snapshots()
        if snapshot.summary is not None and snapshot.summary.additional_properties.get("icehaul.kind") == "window"
    ]
    record = tier.ledger.read([tier.stream.name])[tier.stream.name]
    assert table.scan().count() == rows
    assert len(published) == len(set(published)) == batches
    assert evidence is not None
    assert evidence.upper == record.last_upper == record.watermark
    assert evidence.batch_id == record.last_batch_id
    recorded = [one for one in tier.ledger.batches(tier.stream.name, 100) if one.status is BatchStatus.PUBLISHED]
    assert {str(one.batch_id) for one in recorded} == set(published)
    assert sum(one.rows for one in recorded) == rows - foreign
    assert open_intents(tier) == 0


class Late:
    """A publish of an owner that stands still just before its commit is sent, until it is let go."""

    def __init__(self, tier: IcebergColdTier, publication: Publication) -> None:
        self._reached, self._go = threading.Event(), threading.Event()
        self._catalog = tier.another(Interrupt("publish.before-send", self._stand))
        self._publication = publication
        self.outcome: BaseException | int | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._reached.wait(_LONGEST_S)

    def go(self) -> BaseException | int | None:
        """Let it go on, and return how it ended."""
        self._go.set()
        self._thread.join(_LONGEST_S)
        assert not self._thread.is_alive()
        self._catalog.close()
        return self.outcome

    def _stand(self) -> None:
        self._reached.set()
        assert self._go.wait(_LONGEST_S)

    def _run(self) -> None:
        try:
            self.outcome = self._catalog.publish(self._publication)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.outcome = error
