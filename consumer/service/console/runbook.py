"""Which how-to page is about what is wrong with a stream."""

from __future__ import annotations

from consumer.domain.batch import BatchStatus
from consumer.ports import BatchRecord, StreamRecord, StreamState

PAUSED = "paused "
"""What the reason of every halt begins with that an operator has asked for."""

_BY_COMMAND = (
    ("icehaul repair", "repair-a-stream"),
    ("icehaul replace", "replace-changed-rows"),
    ("icehaul rewind", "rewind"),
    ("icehaul replay", "replay-a-stretch-of-time"),
    ("icehaul backfill", "backfill"),
    ("icehaul adopt", "adopt-a-table"),
    ("icehaul drop-hot", "drop-from-the-hot-tier"),
    ("icehaul dlq", "handle-dead-letters"),
    ("icehaul stream", "rename-move-remove"),
    ("icehaul verify", "audit"),
)
"""The page of each command that a remedy may name."""
_PAUSE, _EXAMINE, _FINDINGS, _LOSS = "pause-a-stream", "check-a-setup", "replace-changed-rows", "check-a-setup"

PAGES = frozenset({page for _, page in _BY_COMMAND} | {_PAUSE, _EXAMINE, _FINDINGS, _LOSS})
"""The pages of ``docs/how-to`` that can be named."""


def runbook(record: StreamRecord | None, *, latest: BatchRecord | None, findings: int, in_danger: bool) -> str | None:
    """Return the page of ``docs/how-to`` about the worst that is wrong with a stream, ``None`` if nothing is.

    A halt comes first, then rows that may be lost, then findings, then a batch that failed.
    """
    if record is not None and record.state is StreamState.HALTED:
        return _of_a_halt(record.halt_reason or "", record.halt_remedy or "")
    if in_danger:
        return _LOSS
    if findings:
        return _FINDINGS
    if latest is not None and latest.status is BatchStatus.FAILED:
        return _EXAMINE
    return None


def _of_a_halt(reason: str, remedy: str) -> str:
    if reason.startswith(PAUSED):
        return _PAUSE
    return next((page for command, page in _BY_COMMAND if command in remedy), _EXAMINE)
