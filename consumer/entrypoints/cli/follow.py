"""Keeping views over both tiers up to date until a signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

import structlog

from consumer.domain.errors import IcehaulError, Reaction
from consumer.domain.stream import Stream, TableName
from consumer.service.view import Position, Views

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger(__name__)


def follow(views: Views, streams: Sequence[Stream], names: Mapping[str, TableName], interval: float) -> None:
    """Make every stream's view anew whenever its watermark or its table moves, until SIGTERM or SIGINT.

    One stream's failure leaves its view as it was, and the others alone; it is tried again at every look.

    Raises:
        IcehaulError: if the configuration is wrong: that would fail at every look.
    """
    seen: dict[str, Position] = {}
    failing: dict[str, str] = {}
    with _stopped_by_signal() as stop:
        _log.info("view.following", streams=[stream.name for stream in streams])
        while not stop.is_set():
            look(views, streams, names, seen, failing)
            stop.wait(interval)
    _log.info("view.stopped")


def look(
    views: Views,
    streams: Sequence[Stream],
    names: Mapping[str, TableName],
    seen: dict[str, Position],
    failing: dict[str, str],
) -> None:
    """Bring the views up to date whose streams have moved since they were ``seen``; log what is ``failing`` once.

    Raises:
        ConfigurationError: as :meth:`Views.make` does.
    """
    try:
        positions = views.positions(streams)
    except IcehaulError as error:
        _failed("all views", error, failing)
        return
    failing.pop("all views", None)
    for stream in streams:
        if seen.get(stream.name) == positions[stream.name]:
            continue
        try:
            made = views.make(stream, names[stream.name])
        except IcehaulError as error:
            _failed(stream.name, error, failing)
            continue
        failing.pop(stream.name, None)
        # What was read first: a publish that came in between is found at the next look.
        seen[stream.name] = positions[stream.name]
        if made.replaced:
            _log.info(
                "view.replaced",
                stream=stream.name,
                view=str(made.name),
                boundary=made.mark.boundary.isoformat(),
                snapshot=made.mark.snapshot_id,
            )


def _failed(what: str, error: IcehaulError, failing: dict[str, str]) -> None:
    if error.reaction is Reaction.STOP:
        raise error
    if failing.get(what) != error.message:
        _log.warning("view.not_replaced", stream=what, error=error.message, remedy=error.remedy)
    failing[what] = error.message


@contextmanager
def _stopped_by_signal() -> Iterator[threading.Event]:
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        # In a thread of its own: the main thread may hold the event's lock at this moment.
        threading.Thread(target=stop.set, daemon=True).start()
        signal.signal(number, before[signal.Signals(number)])

    for number in _SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
