"""What the doctor says of commands that write into ClickHouse."""

from __future__ import annotations

from consumer.service.doctor.commands import CommandsCheck
from consumer.service.doctor.finding import NOTHING, Severity


def test_missing_rights_are_named_with_the_files_that_give_them_and_are_no_fault() -> None:
    check = CommandsCheck(subject="market", missing=lambda database: [f"INSERT ON `{database}`.*"])
    (found,) = check.run()
    assert found.severity is Severity.INFO
    assert "INSERT ON `market`.*" in found.message
    assert "restorer.sql" in found.remedy


def test_a_user_who_may_move_rows_is_told_so() -> None:
    (found,) = CommandsCheck(subject="market", missing=lambda _: ()).run()
    assert (found.severity, found.remedy) == (Severity.OK, NOTHING)
