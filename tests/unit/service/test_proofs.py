"""What is recorded of a batch's files, and what of a wrong one is found before the publish, by policy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from consumer.domain.batch import BatchStatus
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.proof import Proof
from consumer.domain.stream import DigestPolicy
from consumer.testing.source import MemorySource
from tests.unit.service.test_offload import NEVER, NOW, World, event, make_stream, rows

ALL = 0.999_999
NONE = 0.000_001


def world(policy: DigestPolicy, share: float = 0.1) -> World:
    made = World({"trades": make_stream(digest=policy, digest_share=share)})
    made.insert(*rows(4, days_ago=3))
    return made


def damage(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a value of the first file be another one when it is read back."""
    whole = made.source.fingerprint_files

    def read(mapping: TableMapping, paths: Sequence[str]) -> Fingerprint:
        first = made.source.files[paths[0]]
        first[0] = replace(first[0], value=first[0].value + 1)
        return whole(mapping, paths)

    monkeypatch.setattr(made.source, "fingerprint_files", read)


@pytest.mark.parametrize(
    ("policy", "share", "files"),
    [
        (DigestPolicy.ALWAYS, 0.1, 2),
        (DigestPolicy.SAMPLED, ALL, 2),
        (DigestPolicy.SAMPLED, NONE, 0),
        (DigestPolicy.ON_DEMAND, 0.1, 0),
    ],
)
def test_a_batch_is_recorded_with_what_was_read_and_with_what_was_found_in_its_files(
    policy: DigestPolicy, share: float, files: int
) -> None:
    made = world(policy, share)
    made.offload().handle(event(cutoff=NOW - timedelta(days=1)), NEVER)
    (batch,) = (one for one in made.ledger.batches("trades", 10) if one.status is BatchStatus.PUBLISHED)
    assert batch.digest is not None
    read = Fingerprint.parse(rows=batch.rows, hexadecimal=batch.digest)
    assert read.rows == 4
    assert batch.proof == Proof(policy=policy, files=files, content=read if files else EMPTY)


@pytest.mark.parametrize(("policy", "share"), [(DigestPolicy.ALWAYS, 0.1), (DigestPolicy.SAMPLED, ALL)])
def test_a_file_that_is_read_back_and_holds_another_value_is_not_published(
    policy: DigestPolicy, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world(policy, share)
    damage(made, monkeypatch)
    made.offload().handle(event(cutoff=NOW - timedelta(days=1)), NEVER)
    assert made.cold() == {}
    reason = made.ledger.read(["trades"])["trades"].halt_reason or ""
    assert re.search(r"4 rows with digest [0-9a-f]{16} were read, 4 rows with digest [0-9a-f]{16} stand in", reason)


@pytest.mark.parametrize(("policy", "share"), [(DigestPolicy.ON_DEMAND, 0.1), (DigestPolicy.SAMPLED, NONE)])
def test_no_file_is_read_that_the_policy_does_not_ask_for(
    policy: DigestPolicy, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_self: MemorySource, _mapping: TableMapping, _paths: Sequence[str]) -> Fingerprint:
        raise AssertionError

    monkeypatch.setattr(MemorySource, "fingerprint_files", never)
    made = world(policy, share)
    made.offload().handle(event(cutoff=NOW - timedelta(days=1)), NEVER)
    assert made.cold() == made.hot()
