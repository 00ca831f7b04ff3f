"""A group is upgraded from the revision before the newest migration, and goes back: a short `make rolling-upgrade`."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumer.adapters.postgres.migrations import shipped
from consumer.embedded.stack import EmbeddedStack
from tests.rolling.revision import NoHistoryError, Revision, before_the_newest_migration, revision_of
from tests.rolling.stage import staged
from tests.rolling.upgrade import Upgrade


@pytest.fixture(scope="module")
def revision() -> Revision:
    try:
        return before_the_newest_migration()
    except NoHistoryError as error:
        pytest.skip(f"this is no clone with its history: {error}")


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_old_and_new_consumers_take_turns_on_one_ledger_and_no_row_is_lost_or_doubled(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, revision: Revision, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = revision.unpack(tmp_path)
    with staged(stack.endpoints, unique_name, tmp_path, tree, 2, monkeypatch) as stage:
        outcome = Upgrade(stage, pending=True).play_short()
    assert outcome.problems == ()
    assert outcome.rows > 0


def test_a_revision_whose_migrations_are_others_is_no_beginning() -> None:
    """Only what a migration can bring here is an upgrade."""
    try:
        first = revision_of("HEAD")
    except NoHistoryError as error:
        pytest.skip(str(error))
    assert first.migration == len(shipped())
    with pytest.raises(NoHistoryError, match="nothing-of-this-name"):
        revision_of("nothing-of-this-name")
