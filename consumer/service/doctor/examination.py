"""Running checks side by side: none stops another, and none is waited for longer than its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from consumer.domain.errors import IcehaulError
from consumer.service.doctor.finding import Check, Finding, Statement, error

PARALLEL = 8
SECONDS = 60.0

_Answer = tuple[int, Sequence[Statement]]


def examine(
    checks: Sequence[Check],
    *,
    parallel: int = PARALLEL,
    seconds: float = SECONDS,
    progress: Callable[[Check], None] = lambda _check: None,
) -> list[Finding]:
    """Run the checks, ``parallel`` at a time and each for ``seconds`` at most; findings stand in the checks' order.

    ``progress`` is called for each check that has ended. A check that does not answer is left behind in a thread
    that does not keep the process alive.
    """
    answers: SimpleQueue[_Answer] = SimpleQueue()
    waiting = list(range(len(checks)))
    deadlines: dict[int, float] = {}
    found: dict[int, Sequence[Statement]] = {}
    while len(found) < len(checks):
        while waiting and len(deadlines) < parallel:
            number = waiting.pop(0)
            deadlines[number] = time.monotonic() + seconds
            threading.Thread(
                target=_run, args=(number, checks[number], answers), name=f"doctor-{number}", daemon=True
            ).start()
        try:
            number, statements = answers.get(timeout=max(0.0, min(deadlines.values()) - time.monotonic()))
        except Empty:
            number = min(deadlines, key=lambda one: deadlines[one])
            statements = [_silent(seconds)]
        if deadlines.pop(number, None) is not None:  # else it was given up already
            found[number] = statements
            progress(checks[number])
    return [_finding(check, statement) for number, check in enumerate(checks) for statement in found[number]]


def _run(number: int, check: Check, answers: SimpleQueue[_Answer]) -> None:
    statements: list[Statement] = []
    try:
        # Not extended at once: what was stated before an error counts.
        for statement in check.run():
            statements.append(statement)  # noqa: PERF402
    except IcehaulError as failure:
        statements.append(error(failure.message, failure.remedy))
    except Exception as failure:  # noqa: BLE001 - a check that nobody foresaw to fail is a finding, not the end
        statements.append(
            error(
                f"the check itself failed: {type(failure).__name__}: {failure}",
                "this is a defect of icehaul: report it with this message",
            )
        )
    answers.put((number, statements))


def _silent(seconds: float) -> Statement:
    return error(
        f"no answer within {seconds:g} s",
        "look whether something between here and there (a firewall, a full queue) swallows packets",
    )


def _finding(check: Check, statement: Statement) -> Finding:
    return Finding(
        check=check.name,
        subject=check.subject,
        severity=statement.severity,
        message=statement.message,
        remedy=statement.remedy,
    )
