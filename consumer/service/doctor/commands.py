"""The check of commands that write into ClickHouse: whether they could do so with the user that the rest works with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from consumer.service.doctor.finding import Statement, info, ok


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandsCheck:
    """The rights of `icehaul restore` and `icehaul drop-hot` in a database; that they are missing is no fault.

    Consumers need none of them, and a user of theirs should have none.
    """

    subject: str
    missing: Callable[[str], Sequence[str]]
    name: str = "commands"

    def run(self) -> Iterator[Statement]:
        """Ask the server for each right."""
        missing = self.missing(self.subject)
        if not missing:
            yield ok("`icehaul restore` and `icehaul drop-hot` may move rows between tables of this database")
            return
        yield info(
            f"`icehaul restore` and `icehaul drop-hot` are refused with this user, which lacks: {', '.join(missing)}",
            "nothing for consumers; give the commands a user of their own, with ops/security/clickhouse/restorer.sql or"
            " dropper.sql",
        )
