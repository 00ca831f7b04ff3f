"""Which files of a batch are read back, by policy."""

from __future__ import annotations

from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.batch import WrittenFile
from consumer.domain.fingerprint import EMPTY
from consumer.domain.proof import files_to_prove
from consumer.domain.stream import DigestPolicy, Stream, TableName

NAMESPACE = UUID(int=7)


def stream(policy: DigestPolicy, share: float = 0.1) -> Stream:
    name = TableName.parse("market.trades")
    return Stream(name="trades", source=name, target=name, timestamp_column="ts", digest=policy, digest_share=share)


def files(units: int, attempt: str = "first") -> list[WrittenFile]:
    return [
        WrittenFile(unit=unit, path=f"s3://b/{attempt}/{unit}.parquet", bytes=1, fingerprint=EMPTY)
        for unit in range(units)
    ]


@given(batch=st.uuids(), units=st.integers(0, 20))
def test_always_reads_every_file_and_on_demand_none(batch: UUID, units: int) -> None:
    written = files(units)
    assert files_to_prove(stream(DigestPolicy.ALWAYS), batch, written) == written
    assert files_to_prove(stream(DigestPolicy.ON_DEMAND), batch, written) == []


@given(batch=st.uuids(), units=st.integers(0, 20), share=st.floats(0.001, 0.999))
def test_every_attempt_at_a_batch_reads_files_of_the_same_units(batch: UUID, units: int, share: float) -> None:
    sampled = stream(DigestPolicy.SAMPLED, share)
    first, second = (files_to_prove(sampled, batch, files(units, attempt)) for attempt in ("first", "second"))
    assert [file.unit for file in first] == [file.unit for file in second]


@given(batch=st.uuids(), shares=st.tuples(st.floats(0.001, 0.999), st.floats(0.001, 0.999)))
def test_a_larger_share_reads_what_a_smaller_one_reads_and_more(batch: UUID, shares: tuple[float, float]) -> None:
    written = files(20)
    less, more = (files_to_prove(stream(DigestPolicy.SAMPLED, share), batch, written) for share in sorted(shares))
    assert {file.path for file in less} <= {file.path for file in more}


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("units", [1, 4])
def test_the_share_is_read_whether_batches_have_one_file_or_several(share: float, units: int) -> None:
    sampled, batches = stream(DigestPolicy.SAMPLED, share), 8_000 // units
    read = sum(len(files_to_prove(sampled, uuid5(NAMESPACE, str(one)), files(units))) for one in range(batches))
    assert read / (batches * units) == pytest.approx(share, rel=0.15)
