"""Whatever an operator does is recorded before and after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

import structlog

from consumer.domain.action import Action, ActionPhase
from consumer.domain.errors import IcehaulError
from consumer.domain.secrets import hide
from consumer.ports.actions import ActionLog
from consumer.service.operator import operator

_log = structlog.get_logger(__name__)


class Actions:
    """Records operators' actions.

    Args:
        log: keeps the record.
    """

    def __init__(self, log: ActionLog) -> None:
        self._log = log

    @contextmanager
    def acting(
        self,
        command: str,
        *streams: str,
        by: str | None = None,
        reason: str | None = None,
        arguments: Mapping[str, object] | None = None,
    ) -> Iterator[None]:
        """Record that an action begins, and how it ended, around the block that does it.

        Args:
            command: name of the command.
            streams: names of the streams that it is about.
            by: who asks for it; without it, the user of this process on this machine.
            reason: why.
            arguments: what else the command was told; what is ``None`` or ``False`` is left out.

        Raises:
            TransientError: if the ledger can't be asked now: what can't be recorded is not done.
            UnknownCommitError: if it is not known whether the beginning was recorded; nothing was done.
        """
        action = Action(
            action_id=uuid4(),
            operator=by or operator(),
            command=command,
            streams=streams,
            arguments=_told(arguments or {}),
            reason=hide(reason or ""),
        )
        self._log.add(action, ActionPhase.BEGUN)
        try:
            yield
        except BaseException as error:
            message = error.message if isinstance(error, IcehaulError) else f"{type(error).__name__}: {error}"
            self._end(action, ActionPhase.FAILED, hide(message))
            raise
        self._end(action, ActionPhase.DONE)

    def _end(self, action: Action, phase: ActionPhase, detail: str = "") -> None:
        """Record the end; if that fails, what was done is done all the same, and its beginning is on record."""
        try:
            self._log.add(action, phase, detail)
        except IcehaulError as error:
            _log.warning("operator.end_not_recorded", action=str(action.action_id), error=error.message)


def _told(arguments: Mapping[str, object]) -> Mapping[str, str]:
    return {name: hide(str(value)) for name, value in arguments.items() if value is not None and value is not False}
