"""What the doctor says of a catalog: its mode, what it lacks, and whether it may be relied on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from consumer.domain.batch import BatchStatus
from consumer.service.doctor.catalog import CatalogCheck
from consumer.service.doctor.finding import Severity
from consumer.service.doctor.targets import TargetCheck
from tests.support.cold_tier import MemoryColdTier


@dataclass
class Probe:
    two_step: bool = True
    lacks: Sequence[str] = ()
    demands: bool = True

    def lacking(self) -> Sequence[str]:
        return self.lacks

    def demands_its_base(self) -> bool:
        assert self.two_step, "nobody asks a catalog in the ledger's database for a commit"
        return self.demands


@pytest.mark.parametrize(
    ("probe", "severity", "said"),
    [
        (Probe(two_step=False), Severity.OK, "a publish is one transaction"),
        (Probe(), Severity.OK, "a publish has two steps"),
        (Probe(lacks=["UPDATE on iceberg_tables"]), Severity.ERROR, "UPDATE on iceberg_tables"),
        (Probe(two_step=False, lacks=["the table iceberg_tables"]), Severity.ERROR, "the table iceberg_tables"),
        (Probe(demands=False), Severity.ERROR, "rows could be doubled"),
    ],
)
def test_a_catalog_is_told_with_its_mode_and_what_is_wrong(probe: Probe, severity: Severity, said: str) -> None:
    found = list(CatalogCheck(subject="lake", probe=probe).run())
    assert {one.severity for one in found} == {severity}
    assert said in found[0].message
    assert (found[0].remedy == "nothing to do") is (severity is Severity.OK)


def test_a_publish_that_was_interrupted_is_no_divergence() -> None:
    tier = MemoryColdTier()
    claim = tier.begin()
    tier.publish(claim)
    record = tier.ledger.read([tier.stream.name])[tier.stream.name]
    (newest, *_) = tier.ledger.batches(tier.stream.name, 1)

    class Behind:
        """A ledger that has not recorded what is in the table."""

        def read(self, _: Sequence[str]) -> dict[str, object]:
            return {tier.stream.name: replace(record, last_batch_id=None, last_upper=None)}

        def batches(self, _: str, __: int) -> list[object]:
            return [replace(newest, status=BatchStatus.PUBLISHING)]

    check = TargetCheck(
        stream=tier.stream,
        describe=lambda _: pytest.fail("asked"),
        ledger=Behind(),  # type: ignore[arg-type]
        catalog=tier.catalog,  # type: ignore[arg-type]
    )
    (found,) = list(check._agreement(record, tier.target()))
    assert found.severity is Severity.INFO
    assert str(newest.batch_id) in found.message
    assert "the next event completes it" in found.remedy
