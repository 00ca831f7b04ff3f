"""Fingerprints: a count of rows and an order-independent digest of their full content."""

from __future__ import annotations

from dataclasses import dataclass

_MODULUS = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Count of rows and the sum of their 64-bit row hashes modulo 2**64.

    A sum keeps duplicates apart (an XOR would cancel a pair), and does not depend on row order, so
    fingerprints of disjoint parts add up to the fingerprint of the whole.
    """

    rows: int
    digest: int

    def __post_init__(self) -> None:
        if self.rows < 0:
            raise ValueError(f"fingerprint has a negative row count: {self.rows}")
        if not 0 <= self.digest < _MODULUS:
            raise ValueError(f"fingerprint digest is not an unsigned 64-bit number: {self.digest}")

    def __add__(self, other: Fingerprint) -> Fingerprint:
        return Fingerprint(rows=self.rows + other.rows, digest=(self.digest + other.digest) % _MODULUS)

    def __sub__(self, other: Fingerprint) -> Fingerprint:
        return Fingerprint(rows=self.rows - other.rows, digest=(self.digest - other.digest) % _MODULUS)

    @property
    def hex(self) -> str:
        """The digest as 16 hexadecimal digits, as it stands in summaries and in the ledger."""
        return f"{self.digest:016x}"

    @classmethod
    def parse(cls, *, rows: int, hexadecimal: str) -> Fingerprint:
        """Rebuild a fingerprint from a row count and its hexadecimal digest."""
        return cls(rows=rows, digest=int(hexadecimal, 16))


EMPTY = Fingerprint(rows=0, digest=0)
"""The fingerprint of no rows, the neutral element of addition."""
