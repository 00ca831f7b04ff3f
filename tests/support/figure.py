"""A figure of a report that has a limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure of a report and the most that it may be; ``holds`` tells whether it is no more."""

    name: str
    measured: float
    most: float

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        return self.measured <= self.most
