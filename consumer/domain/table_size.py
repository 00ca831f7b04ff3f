"""How many files a target has, and how large they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

SMALL_FILE_BYTES = 32 * 2**20
"""Below this a data file counts as small: many of them make a table slow to plan and to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """The live data files of a table: how many, their bytes together, and how many are small."""

    files: int
    bytes: int
    small_files: int

    @classmethod
    def of(cls, sizes: Iterable[int]) -> Self:
        """Return the size of a table whose files have these sizes in bytes."""
        listed = list(sizes)
        return cls(files=len(listed), bytes=sum(listed), small_files=sum(one < SMALL_FILE_BYTES for one in listed))

    @property
    def small_files_ratio(self) -> float:
        """The share of files that are small, 0 to 1; 0 of a table without files."""
        return self.small_files / self.files if self.files else 0.0
