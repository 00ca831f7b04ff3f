"""The layouts that are compared: each differs from the default in one thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from consumer.domain.file_options import CODEC, DICTIONARY_BYTES, LEVEL, PAGE_BYTES, ROW_GROUP_BYTES, ROW_GROUP_ROWS

ASPECTS = ("codec", "row group", "page", "dictionary", "sort", "file")
"""What can be compared."""

_LARGE = str(2 * 1024**3 - 1)
"""A bound in bytes that never ends a row group, so that the one in rows does."""
_PAGES = {"64 KiB": 64 << 10, "1 MiB": 1 << 20, "4 MiB": 4 << 20}
_DICTIONARIES = {"64 KiB": 64 << 10, "1 MiB": 1 << 20, "16 MiB": 16 << 20}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A layout: table properties and sort order of the target, and how many rows make a file (``None``: all)."""

    aspect: str
    value: str
    properties: Mapping[str, str] = field(default_factory=dict)
    sort_by: tuple[str, ...] = ()
    file_rows: int | None = None

    @property
    def name(self) -> str:
        """How tables of results name it."""
        return f"{self.aspect}: {self.value}"


def candidates(rows: int, aspects: Sequence[str]) -> list[Candidate]:
    """Return the layouts to compare for a table of ``rows`` rows; the default ones come first."""
    every = [
        Candidate(aspect="default", value="as it is"),
        *_codecs(),
        *(
            Candidate(
                aspect="row group",
                value=f"{size:,} rows",
                properties={ROW_GROUP_ROWS: str(size), ROW_GROUP_BYTES: _LARGE},
            )
            for size in (128_000, 512_000, 1_000_000, 4_000_000)
            if size <= max(rows, 128_000)
        ),
        *(Candidate(aspect="page", value=name, properties={PAGE_BYTES: str(size)}) for name, size in _PAGES.items()),
        *(
            Candidate(aspect="dictionary", value=name, properties={DICTIONARY_BYTES: str(size)})
            for name, size in _DICTIONARIES.items()
        ),
        Candidate(aspect="sort", value="ts", sort_by=("ts",)),
        Candidate(aspect="sort", value="symbol, ts", sort_by=("symbol", "ts")),
        *(Candidate(aspect="file", value=f"{rows // parts:,} rows", file_rows=rows // parts) for parts in (16, 4)),
    ]
    return [one for one in every if one.aspect in {"default", *aspects}]


def _codecs() -> list[Candidate]:
    levels = {"zstd": ("1", "3", "6", "9"), "gzip": ("6",), "snappy": ("",), "lz4": ("",), "uncompressed": ("",)}
    return [
        Candidate(
            aspect="codec",
            value=f"{codec} {level}".strip(),
            properties={CODEC: codec, **({LEVEL: level} if level else {})},
        )
        for codec, tried in levels.items()
        for level in tried
    ]
