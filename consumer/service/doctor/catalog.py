"""The check of the Iceberg catalog: where it lies, what a publish is there, and whether it can be relied on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from consumer.service.doctor.finding import Statement, error, ok


class CatalogProbe(Protocol):
    """What is asked of a catalog."""

    @property
    def two_step(self) -> bool:
        """Whether it lies outside the ledger's database."""
        ...

    def lacking(self) -> Sequence[str]:
        """Return what it lacks: tables, rights, operations."""
        ...

    def demands_its_base(self) -> bool:
        """Tell whether it refuses a commit on another base than the table's present state, tried on a table of its own.

        Raises:
            IcehaulError: if it can't be reached, or the user may not create, commit to and drop a table.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogCheck:
    """Mode, reachability, rights, and that a commit lands on its base only."""

    subject: str
    probe: CatalogProbe
    name: str = "catalog"

    def run(self) -> Iterator[Statement]:
        """Ask for what it has, and where that is not the ledger's database, try a commit that has to be refused."""
        lacking = self.probe.lacking()
        if lacking:
            yield error(
                f"the catalog lacks {', '.join(lacking)}",
                "run `icehaul migrate` where tables are missing, and grant the rest to the user of catalog.dsn, or of"
                " catalog.credential",
            )
            return
        if not self.probe.two_step:
            yield ok("in the ledger's database: a publish is one transaction")
            return
        if self.probe.demands_its_base():
            yield ok("outside of the ledger's database: a publish has two steps, and is healed from the table")
            yield ok("reachable; tables are created, committed to and dropped; a commit on another base is refused")
        else:
            yield error(
                "a commit on another base than the table's current snapshot was taken: rows could be doubled or lost",
                "use a catalog that enforces the requirements of Iceberg's REST protocol (assert-ref-snapshot-id)",
            )
