"""What is restored has the rows, the types and the digest of what was offloaded."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform, offload
from tests.support.platform import day
from tests.support.restores import ROWS, Restoring


@pytest.fixture(scope="module")
def ledger_dsn(stack: EmbeddedStack) -> Iterator[str]:
    with ledger_database(stack.endpoints, f"t_{uuid.uuid4().hex[:12]}") as dsn:
        yield dsn


@pytest.fixture
def platform(
    stack: EmbeddedStack, unique_name: str, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    with local_platform(stack.endpoints, unique_name, ledger_dsn, tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def days(platform: LocalPlatform) -> Restoring:
    """A stream of three days, all of which stand in both tiers, each a window of its own."""
    stream = platform.add_stream()
    with platform.consumer() as application:
        for number in range(3):
            platform.insert(ROWS, first=number * ROWS, day=f"2024-01-0{number + 1}")
            assert offload(application, stream, day(f"2024-01-0{number + 2}")) == []
    return Restoring(platform, stream)


def test_everything_comes_back_into_a_table_that_is_made_with_the_sources_keys_and_types(days: Restoring) -> None:
    done = days.restore()
    assert days.fingerprint(days.into) == days.fingerprint(days.source) == done.plan.total
    assert days.differing(days.source, days.into) == 0
    assert days.described(days.into) == days.described(days.source)
    assert days.stagings() == {}
