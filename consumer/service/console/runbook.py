"""Which runbook is about what is wrong with a stream."""

from __future__ import annotations

from consumer.domain.batch import BatchStatus
from consumer.ports import BatchRecord, StreamRecord, StreamState

_CONSISTENCY, _RECOVERY, _SCHEMA = "data-consistency-audit", "restore-and-disaster-recovery", "schema-change"
_FAILURE, _LOSS = "offload-failure-recovery", "retention-at-risk"

_BY_REMEDY = (
    ("icehaul recover", _RECOVERY),
    ("icehaul repair", _CONSISTENCY),
    ("icehaul replace", _CONSISTENCY),
    ("icehaul verify", _CONSISTENCY),
    ("icehaul rewind", "watermark-management"),
    ("icehaul migrate", "upgrade-and-rollback"),
    ("change-a-schema", _SCHEMA),
    ("offload another source table", _SCHEMA),
)
"""The runbook by what a halt's remedy names; the first that it names decides."""

PAGES = frozenset({page for _, page in _BY_REMEDY} | {_FAILURE, _LOSS})
"""The pages of ``docs/runbooks`` that can be named."""


def runbook(record: StreamRecord | None, *, latest: BatchRecord | None, findings: int, in_danger: bool) -> str | None:
    """Return the page of ``docs/runbooks`` about the worst that is wrong with a stream, ``None`` if nothing is.

    Rows that may be lost come first, whatever keeps the stream from them; then a halt, then findings, then a batch that
    failed.
    """
    if in_danger:
        return _LOSS
    if record is not None and record.state is StreamState.HALTED:
        return _of_a_halt(record.halt_remedy or "")
    if findings:
        return _CONSISTENCY
    if latest is not None and latest.status is BatchStatus.FAILED:
        return _FAILURE
    return None


def _of_a_halt(remedy: str) -> str:
    return next((page for sign, page in _BY_REMEDY if sign in remedy), _FAILURE)
