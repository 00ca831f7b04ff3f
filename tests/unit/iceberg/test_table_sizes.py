"""Sizes of tables are read once for each snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self
from uuid import UUID, uuid4

from consumer.adapters.iceberg.table_sizes import TableSizes
from consumer.domain.stream import TableName
from consumer.domain.table_size import SMALL_FILE_BYTES
from consumer.settings.connections import StoreSettings

TRADES = TableName(database="bronze", table="trades")


@dataclass
class Base:
    """A table of which a test counts how often its manifests are read; its own scan, too."""

    sizes: Sequence[int]
    uuid: UUID = field(default_factory=uuid4)
    snapshot: int = 1
    readings: int = 0

    @property
    def metadata(self) -> Any:
        return SimpleNamespace(table_uuid=self.uuid, current_snapshot_id=self.snapshot)

    def table(self, _io: object) -> Self:
        return self

    def scan(self) -> Self:
        return self

    def plan_files(self) -> Iterator[Any]:
        self.readings += 1
        return (SimpleNamespace(file=SimpleNamespace(file_size_in_bytes=size)) for size in self.sizes)


def sizes_of(bases: dict[TableName, Base]) -> TableSizes:
    placement: Any = SimpleNamespace(io=None, bases=SimpleNamespace(load=bases.get))
    return TableSizes(placement, StoreSettings.model_construct())


def test_a_table_is_read_again_once_its_snapshot_is_another_one() -> None:
    base = Base([1, SMALL_FILE_BYTES])
    sizes = sizes_of({TRADES: base})
    for _ in range(3):
        size = sizes.size(TRADES)
        assert size is not None
        assert (size.files, size.small_files) == (2, 1)
    assert base.readings == 1
    base.sizes, base.snapshot = [1], 2
    again = sizes.size(TRADES)
    assert again is not None
    assert (again.files, base.readings) == (1, 2)


def test_a_table_that_was_made_anew_is_read_again_and_one_that_is_not_there_has_no_size() -> None:
    base = Base([1])
    bases = {TRADES: base}
    sizes = sizes_of(bases)
    assert sizes.size(TRADES) is not None
    base.uuid = uuid4()
    sizes.size(TRADES)
    assert base.readings == 2
    bases.clear()
    assert sizes.size(TRADES) is None
