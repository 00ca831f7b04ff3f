"""Platforms whose ledger is the module's own, for tests that need no Spark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.module_ledger import ledger_dsn

__all__ = ["ledger_dsn"]


@pytest.fixture
def platform(
    stack: EmbeddedStack, unique_name: str, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    """A platform without streams on the module's ledger."""
    with local_platform(stack.endpoints, unique_name, ledger_dsn, tmp_path, monkeypatch) as made:
        yield made
