"""The labels of metrics, and which values they may take: a label without a bound is a leak of memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from consumer.domain import errors
from consumer.domain.audit import CheckName
from consumer.domain.batch import BatchKind
from consumer.domain.errors import IcehaulError
from consumer.domain.event import EventType
from consumer.domain.invalid_reason import InvalidReason
from consumer.domain.maintenance import TaskName
from consumer.domain.offset_incident import IncidentKind

OTHER = "other"
"""Stands for every value that a label may not take."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label of a metric.

    Attributes:
        name: as Prometheus knows it.
        meaning: what its values are, for the reference.
        values: all that it may take; ``None`` where they are known in operation only.
        limit: how many different values it may take where ``values`` does not tell.
    """

    name: str
    meaning: str
    values: tuple[str, ...] | None = None
    limit: int = 0


def _fixed(name: str, values: Iterable[str], meaning: str = "") -> Label:
    listed = tuple(str(value) for value in values)
    return Label(name, meaning or ", ".join(f"`{value}`" for value in listed), listed)


_ERRORS = sorted(
    name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, IcehaulError)
)
_CLASSES = "a class of [errors](errors.md)"

STREAM = Label("stream", "a configured stream; whatever names another one is not counted")
EVENT_TYPE = _fixed("type", EventType)
EVENT_OUTCOME = _fixed("outcome", ("offloaded", "idle", "covered", "parked"))
STEP = _fixed("step", ("claim", "observe", "plan", "write", "check", "publish", "reconcile", OTHER))
BATCH_KIND = _fixed("kind", BatchKind)
TASK = _fixed("task", TaskName)
TASK_OUTCOME = _fixed("outcome", ("done", "idle", *_ERRORS, OTHER), f"`done`, `idle` (nothing to do), or {_CLASSES}")
BATCH_OUTCOME = _fixed("outcome", ("published", *_ERRORS, OTHER), f"`published`, or {_CLASSES}")
READ_BACK = _fixed("outcome", ("landed", "not_landed"))
CHECK = _fixed("check", CheckName, "a check of the [audit](../how-to/audit.md)")
DEAD_REASON = _fixed("reason", InvalidReason, "a [reason](../how-to/handle-dead-letters.md)")
CAUSE = _fixed("cause", (*_ERRORS, OTHER), f"{_CLASSES}, or `{OTHER}`")
REBALANCE = _fixed("kind", ("assigned", "revoked", "lost"))
INCIDENT = _fixed("kind", IncidentKind)
KAFKA_ERROR = Label("reason", "Kafka's name of the error", limit=64)
TOPIC = Label("topic", "the topic of events", limit=8)
PARTITION = Label("partition", "a partition that this member owns", limit=4096)
ROLE = _fixed("role", ("consumer", "emitter"))
VERSION = Label("version", "icehaul's version", limit=1)
DIRECTORY = _fixed("directory", ("temporary", "spark", "traces"))
