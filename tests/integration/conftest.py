"""Platforms whose ledger is the module's own, for tests that need no Spark."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform


@pytest.fixture(scope="module")
def ledger_dsn(stack: EmbeddedStack) -> Iterator[str]:
    """A ledger's database for the tests of a module: each has streams of its own in it."""
    with ledger_database(stack.endpoints, f"t_{uuid.uuid4().hex[:12]}") as dsn:
        yield dsn


@pytest.fixture
def platform(
    stack: EmbeddedStack, unique_name: str, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    """A platform without streams on the module's ledger."""
    with local_platform(stack.endpoints, unique_name, ledger_dsn, tmp_path, monkeypatch) as made:
        yield made
