"""Which offset of a partition may be committed."""

from __future__ import annotations

from collections import deque


class OffsetTracker:
    """Offsets of one partition since it was assigned: what was received, what is done.

    Only the contiguous prefix of done offsets is committable. Offsets that Kafka skips (compaction,
    transaction markers) are never received, and so never waited for. Not thread-safe: the poll thread owns it.
    """

    __slots__ = ("_committed", "_done", "_holds", "_last", "_open", "_position")

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._done: set[int] = set()
        self._last: int | None = None
        self._position: int | None = None
        self._committed: int | None = None
        self._holds = 0

    def begin(self, position: int, *, holds: int) -> None:
        """Begin at a position that is itself to be committed, once it was released as often as ``holds`` says."""
        self._position = position
        self._holds = holds

    def release(self) -> None:
        """Take one of the holds away."""
        self._holds -= 1

    @property
    def pending(self) -> int:
        """Number of offsets received and not done."""
        return len(self._open) - len(self._done)

    @property
    def position(self) -> int | None:
        """The offset to read next after the contiguous prefix of done offsets; ``None`` while that is unknown."""
        return self._position

    @property
    def committable(self) -> int | None:
        """The position, if it was not committed yet and nothing holds it back."""
        return None if self._holds or self._position == self._committed else self._position

    def received(self, offset: int) -> bool:
        """Record an offset as received; ``False`` if it, or a later one, was received before."""
        if self._last is not None and offset <= self._last:
            return False
        self._open.append(offset)
        self._last = offset
        return True

    def done(self, offset: int) -> None:
        """Record an offset as done; a second time changes nothing.

        Raises:
            ValueError: if the offset is beyond all that were received.
        """
        if self._last is None or offset > self._last:
            raise ValueError(f"offset {offset} is done but was never received")
        if not self._open or offset < self._open[0]:
            return
        self._done.add(offset)
        while self._open and self._open[0] in self._done:
            self._done.discard(self._open.popleft())
            self._position = self._open[0] if self._open else self._last + 1

    def committed(self, offset: int) -> None:
        """Record that the position ``offset`` was committed."""
        self._committed = offset
