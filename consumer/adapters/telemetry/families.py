"""Counters and gauges whose text is ready but for the value: thousands of series are rendered in milliseconds.

prometheus_client formats each label of each series at each scrape, which takes half a second for 1,000 streams.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection
from itertools import product

from consumer.adapters.telemetry.catalogue import Metric
from consumer.adapters.telemetry.labels import OTHER, STREAM, Label

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

_SPECIAL = {0.0: "0.0", 1.0: "1.0", math.inf: "+Inf", -math.inf: "-Inf"}
"""The text of values that are frequent, or that Python writes in another way."""


class Vocabulary:
    """The values that labels may take in this process.

    Args:
        streams: the configured streams.
    """

    def __init__(self, streams: Collection[str]) -> None:
        self._streams = frozenset(streams)
        self._seen: dict[Label, set[str]] = {}

    def admit(self, label: Label, value: str) -> str | None:
        """Return the value to use for a label: itself or ``other``; ``None`` for a stream that is not configured."""
        if label is STREAM:
            return value if value in self._streams else None
        if label.values is not None:
            return value if value in label.values else OTHER
        seen = self._seen.setdefault(label, set())
        if value not in seen:
            if len(seen) >= label.limit:
                return OTHER
            seen.add(value)
        return value

    def all_of(self, metric: Metric, values: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the values to use for a metric's labels; ``None`` where nothing is to be counted."""
        admitted = tuple(map(self.admit, metric.labels, values))
        return None if None in admitted else tuple(value for value in admitted if value is not None)


class Family:
    """One counter or gauge with all its series; thread-safe."""

    def __init__(self, metric: Metric, vocabulary: Vocabulary) -> None:
        self.metric = metric
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self._series: dict[tuple[str, ...], tuple[str, list[float]]] = {}

    def add(self, amount: float, *values: str) -> None:
        """Add to the series with these values of the labels."""
        with self._lock:
            if (cell := self._cell(values)) is not None:
                cell[0] += amount

    def set(self, value: float, *values: str) -> None:
        """Set the series with these values of the labels."""
        with self._lock:
            if (cell := self._cell(values)) is not None:
                cell[0] = float(value)

    def begin(self, *first: str) -> None:
        """Make the series of all values that are known, at 0: an increase from nothing can't be seen.

        Args:
            first: values of the first labels, where these are not known beforehand.
        """
        rest = self.metric.labels[len(first) :]
        if all(label.values is not None for label in rest):
            for values in product(*(label.values or () for label in rest)):
                self.add(0, *first, *values)

    def remove(self, *values: str) -> None:
        """Remove the series whose first labels have these values."""
        with self._lock:
            for key in [key for key in self._series if key[: len(values)] == values]:
                del self._series[key]

    def render(self, *, openmetrics: bool) -> list[str]:
        """Return the lines of the exposition, with comments."""
        name = self.metric.name
        family = name.removesuffix("_total") if openmetrics else name
        with self._lock:
            series = list(self._series.values())
        head = f"# HELP {family} {self.metric.meaning}\n# TYPE {family} {self.metric.kind}\n"
        return [head, *[f"{prefix}{_SPECIAL.get(cell[0]) or _text(cell[0])}\n" for prefix, cell in series]]

    def _cell(self, values: tuple[str, ...]) -> list[float] | None:
        found = self._series.get(values)
        if found is None:
            admitted = self._vocabulary.all_of(self.metric, values)
            if admitted is None:
                return None
            found = self._series.get(admitted)
            if found is None:
                found = self._series[admitted] = (self._prefix(admitted), [0.0])
        return found[1]

    def _prefix(self, values: tuple[str, ...]) -> str:
        if not values:
            return f"{self.metric.name} "
        pairs = sorted(zip((label.name for label in self.metric.labels), values, strict=True))
        inside = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs)
        return f"{self.metric.name}{{{inside}}} "


def _text(value: float) -> str:
    return "NaN" if math.isnan(value) else repr(value)
