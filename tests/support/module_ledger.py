"""The fixture of a ledger for the tests of a module; folders whose tests need one import it into their conftest."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.support.local_platform import ledger_database


@pytest.fixture(scope="module")
def ledger_dsn(stack: EmbeddedStack) -> Iterator[str]:
    """A ledger's database for the tests of a module: each has streams of its own in it."""
    with ledger_database(stack.endpoints, f"t_{uuid.uuid4().hex[:12]}") as dsn:
        yield dsn
