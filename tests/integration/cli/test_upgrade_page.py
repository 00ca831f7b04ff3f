"""The page upgrade.md, followed as written on real servers, from a ledger that lacks a migration to a newer one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.migrations import Migration, migrate, require_current, shipped
from consumer.domain.errors import ConfigurationError
from consumer.entrypoints.cli.output import ExitCode
from tests.integration.cli.conftest import Run, spawn
from tests.support.platform import Platform

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "how-to" / "upgrade.md").read_text(encoding="utf-8")
DOCTOR, MIGRATE, STATUS = (
    shlex.split(block)[1:] for block in re.findall(r"```bash\n(.*?)```", PAGE.replace("\n   ", "\n"), re.DOTALL)
)
REFUSED, NOTHING, LEFT_BEHIND = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
NEWEST = len(shipped())
NUMBERS = {"0015": NEWEST, "0016": NEWEST + 1, "0018": NEWEST + 3}
"""The migrations that the page speaks of, and those of this program: the last one, the next one, and one after that."""


def told(text: str, database: Database) -> list[str]:
    """What the page shows, for this program and the test's own database; in lines."""
    here = re.sub(r"00\d\d", lambda found: f"{NUMBERS[found[0]]:04}", text)
    return here.replace("db:5432/icehaul", database.target).splitlines()


def later(number: int, *, oldest: int) -> Migration:
    text = f"-- oldest-program: {oldest:04}\nCREATE TABLE example_{number} ();"
    return Migration(version=number, name="example", sql=text.encode())


@pytest.fixture
def database(platform: Platform, empty_database: str) -> Iterator[Database]:
    """The ledger's database, of before the newest migration."""
    assert empty_database
    with Database(platform.configuration().postgres) as opened:
        migrate(opened, shipped()[:-1])
        yield opened


def test_the_page_holds_from_an_old_ledger_to_a_newer_one(icehaul: Run, database: Database) -> None:
    lacking = f"lacks {shipped()[-1]}"
    looked = icehaul(*DOCTOR)
    assert (looked.code, lacking in looked.out) == (ExitCode.FINDING, True), looked.out
    for command in (["run"], ["emit"]):
        refused = spawn(*command)
        refused.explained(lacking, "remedy: run `icehaul migrate`")
        assert refused.code == ExitCode.USAGE
        assert "consumer.warm" not in refused.err

    assert shipped()[-1].name in icehaul(*MIGRATE).out
    assert icehaul(*STATUS).code == ExitCode.OK

    known = [*shipped(), later(NEWEST + 1, oldest=NEWEST)]
    lacking_next = told(REFUSED, database)
    with pytest.raises(ConfigurationError) as refusal:
        require_current(database, known)
    assert [f"error: {refusal.value.message}", f"remedy: {refusal.value.remedy}"] == lacking_next

    migrate(database, known)
    assert icehaul(*MIGRATE).out.splitlines() == told(NOTHING, database)
    assert icehaul(*STATUS).code == ExitCode.OK

    migrate(database, [*known, later(NEWEST + 2, oldest=NEWEST), later(NEWEST + 3, oldest=NEWEST + 1)])
    left = icehaul(*MIGRATE)
    assert left.code == ExitCode.USAGE
    left.explained(*told(LEFT_BEHIND, database))
