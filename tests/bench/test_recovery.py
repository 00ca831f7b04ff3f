"""The benchmark of recoveries on a scale that tells nothing about speed: it recovers what it has put there."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.bench.recovery import measure, running


@pytest.mark.thorough
def test_a_ledger_is_rebuilt_from_a_table_that_it_never_knew(stack: EmbeddedStack, tmp_path: Path) -> None:
    with running(stack.endpoints, tmp_path, f"t_{uuid.uuid4().hex[:12]}") as platform:
        found = measure(platform, snapshots=5, rows=2)
    assert (found.snapshots, found.rows, found.windows) == (5, 10, 1)
    assert found.equal
