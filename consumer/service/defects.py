"""What becomes of errors that nobody foresaw."""

from __future__ import annotations

from consumer.domain.errors import DefectError
from consumer.domain.stream import Stream


def defect(stream: Stream, error: Exception) -> DefectError:
    """Return the error that halts a stream whose handling has failed in a way that nobody foresaw."""
    return DefectError(
        f"stream {stream.name}: unexpected {type(error).__name__}: {error}",
        remedy="this is a defect of icehaul: report it with the traceback in the consumer's log; after an update run"
        f" `icehaul resume {stream.name}`",
    )
