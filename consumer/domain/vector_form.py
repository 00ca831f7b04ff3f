"""The wire form of a vector, which CAST does not convert wherever it converts an array."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.domain.wire_form import ArrayForm


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorForm(ArrayForm):
    """A ``QBit``, which CAST takes for an array, but inside of another array only element by element.

    Attributes:
        vector_type: the ClickHouse type.
    """

    vector_type: str

    @property
    def needs_function(self) -> bool:
        """Whether CAST won't do; see the class."""
        return True

    def convert(self, value: str, depth: int) -> str:  # noqa: ARG002 - CAST converts the elements
        """Convert; see the base."""
        return f"CAST({value} AS {self.wire_type})"

    @property
    def needs_way_back(self) -> bool:
        """Whether CAST won't do; see the class."""
        return True

    def back(self, value: str, depth: int) -> str:  # noqa: ARG002 - CAST converts the elements
        """Lead back; see the base."""
        return f"CAST({value} AS {self.vector_type})"
