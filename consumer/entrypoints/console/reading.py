"""What the console's page asks for: pages of bounded size, never more than a few at once."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from uuid import UUID

from consumer.domain.errors import TransientError
from consumer.entrypoints.console import data
from consumer.entrypoints.console.files import documentation
from consumer.entrypoints.http_messages import Answer, Request, json_answer
from consumer.service.console.viewing import Viewing

AT_ONCE = 8
"""Requests that are answered at the same time; one more is told to come again."""
FRESH_SECONDS = 1.0
"""How old the list of streams may be: however many people look, it is read that often at most."""
_PAGE, _MOST = 100, 500
_PAGES_KEPT = 32

_STREAM = re.compile(r"/api/streams/(?P<stream>\w+)")
_BATCHES = re.compile(r"/api/streams/(?P<stream>\w+)/batches")
_BATCH = re.compile(r"/api/batches/(?P<batch>[0-9a-f-]{36})")
_FILES = re.compile(r"/api/batches/(?P<batch>[0-9a-f-]{36})/files")
_RUNBOOK = re.compile(r"/api/runbooks/(?P<page>[a-z-]+)")

_BUSY = json_answer(
    HTTPStatus.SERVICE_UNAVAILABLE,
    {"error": f"{AT_ONCE} requests of the console are being answered already", "remedy": "it asks again by itself"},
    {"Retry-After": "1"},
)


class Reading:
    """Answers what is asked for under ``/api/``.

    Args:
        viewing: reads the ledger.
        actions: whether there are any: the page shows no controls without.
        clock: monotonic seconds.
    """

    def __init__(self, viewing: Viewing, *, actions: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._viewing = viewing
        self._actions = actions
        self._clock = clock
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._refreshing = threading.Lock()
        self._kept: dict[tuple[str, int], tuple[float, Answer]] = {}
        self._routes: Mapping[re.Pattern[str], Callable[[Request, re.Match[str]], Answer | None]] = {
            re.compile(r"/api/streams"): self._streams,
            _STREAM: self._stream,
            _BATCHES: self._batches,
            _BATCH: self._batch,
            _FILES: self._files,
            _RUNBOOK: self._runbook,
        }

    def answer(self, request: Request) -> Answer | None:
        """Answer a request, or return ``None`` if there is nothing under its path."""
        for pattern, route in self._routes.items():
            match = pattern.fullmatch(request.path)
            if match is not None:
                return self._bounded(lambda route=route, match=match: route(request, match))  # type: ignore[misc]
        return None

    def _bounded(self, answer: Callable[[], Answer | None]) -> Answer | None:
        if not self._places.acquire(blocking=False):
            return _BUSY
        try:
            return answer()
        except ValueError as error:
            return json_answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except TransientError as error:
            return json_answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": error.message, "remedy": error.remedy})
        finally:
            self._places.release()

    def _streams(self, request: Request, _match: re.Match[str]) -> Answer:
        key = (request.query.get("after", ""), _limit(request))
        # Whoever waits here finds what the first one has read.
        with self._refreshing:
            read, answer = self._kept.get(key, (float("-inf"), None))
            if answer is not None and self._clock() - read < FRESH_SECONDS:
                return answer
            if len(self._kept) >= _PAGES_KEPT:
                self._kept.clear()
            page = data.streams_page(*self._viewing.streams(after=key[0], limit=key[1]))
            answer = json_answer(HTTPStatus.OK, {"actions": self._actions, **page})
            self._kept[key] = self._clock(), answer
            return answer

    def _stream(self, _request: Request, match: re.Match[str]) -> Answer | None:
        found = self._viewing.stream(match["stream"])
        if found is None:
            return None
        return json_answer(HTTPStatus.OK, {"actions": self._actions, **data.stream_page(*found)})

    def _batches(self, request: Request, match: re.Match[str]) -> Answer | None:
        limit, cursor = _limit(request), request.query.get("before")
        try:
            before = None if cursor is None else data.place_of(cursor)
        except ValueError as error:
            raise ValueError(f"before: {cursor!r} is no place; take next of a page") from error
        found = self._viewing.batches(match["stream"], limit, before)
        return None if found is None else json_answer(HTTPStatus.OK, data.batches_page(found, limit))

    def _batch(self, _request: Request, match: re.Match[str]) -> Answer | None:
        found = self._viewing.batch(UUID(match["batch"]))
        return None if found is None else json_answer(HTTPStatus.OK, data.batch_page(found))

    def _files(self, request: Request, match: re.Match[str]) -> Answer | None:
        limit = _limit(request)
        found = self._viewing.files(UUID(match["batch"]), limit, request.query.get("after", ""))
        return None if found is None else json_answer(HTTPStatus.OK, data.files_page(found, limit))

    def _runbook(self, _request: Request, match: re.Match[str]) -> Answer | None:
        text = documentation(match["page"])
        return None if text is None else json_answer(HTTPStatus.OK, {"page": match["page"], "markdown": text})


def _limit(request: Request) -> int:
    given = request.query.get("limit", str(_PAGE))
    if not given.isascii() or not given.isdecimal() or not 1 <= int(given) <= _MOST:
        raise ValueError(f"limit: {given!r} is no number from 1 to {_MOST}")
    return int(given)
