"""What an operator may do in the console: pause and resume a stream, by POST, with the token, from its own page."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Collection, Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import structlog

from consumer.domain.errors import IcehaulError, TransientError
from consumer.domain.stream import Stream
from consumer.entrypoints.http_messages import Answer, Request, json_answer, wrong_method
from consumer.service.actions import Actions
from consumer.service.states import StreamStates

TOKEN_HEADER = "icehaul-token"  # noqa: S105 - the header's name
_JSON = "application/json"
_REASON_CHARACTERS = 500
_ACTION = re.compile(r"/api/streams/(?P<stream>\w+)/(?P<action>pause|resume)")

_log = structlog.get_logger(__name__)


class Acting:
    """Does what is asked for by POST under ``/api/streams/``.

    No cookie is read: who has no token can't make anybody's browser send it. A page of another origin is refused even
    with the token.

    Args:
        states: pauses and resumes.
        actions: records who did so.
        streams: the configured streams by name.
        token: what the header ``Icehaul-Token`` has to say.
        hosts: names under which a proxy serves the console.
    """

    def __init__(
        self,
        states: StreamStates,
        *,
        actions: Actions,
        streams: Mapping[str, Stream],
        token: str,
        hosts: Collection[str],
    ) -> None:
        self._states = states
        self._actions = actions
        self._streams = streams
        self._digest = sha256(token.encode()).digest()
        self._hosts = frozenset(host.lower() for host in hosts)

    def answer(self, request: Request) -> Answer | None:
        """Answer a request, or return ``None`` if there is nothing under its path."""
        match = _ACTION.fullmatch(request.path)
        stream = self._streams.get(match["stream"]) if match is not None else None
        if match is None or stream is None:
            return None
        if request.method != "POST":
            return wrong_method("POST")
        refusal = self._refusal(request)
        if refusal is not None:
            status, error = refusal
            _log.warning("console.refused", stream=stream.name, action=match["action"], client=request.client)
            return json_answer(status, {"error": error})
        try:
            asked = _asked(request)
        except ValueError as error:
            return json_answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        try:
            return self._act(match["action"], stream, asked, request.client)
        except IcehaulError as error:
            status = HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, TransientError) else HTTPStatus.CONFLICT
            return json_answer(status, {"error": error.message, "remedy": error.remedy})

    def _refusal(self, request: Request) -> tuple[HTTPStatus, str] | None:
        if not self._is_own_page(request.headers):
            return HTTPStatus.FORBIDDEN, "a page of another origin may not act here"
        given = sha256(request.headers.get(TOKEN_HEADER, "").encode("utf-8", "surrogateescape")).digest()
        if not hmac.compare_digest(given, self._digest):
            return HTTPStatus.FORBIDDEN, "the token is not the one of consumer.console_token"
        return None

    def _is_own_page(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a browser says that the console's own page asks; other clients say nothing of it."""
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return False
        origin = headers.get("origin")
        if origin is None:
            return True
        try:
            place = urlsplit(origin)
            return place.netloc.lower() == headers.get("host", "").lower() or place.hostname in self._hosts
        except ValueError:
            return False

    def _act(self, action: str, stream: Stream, asked: Mapping[str, Any], client: str) -> Answer:
        if action == "pause":
            reason = " ".join(str(asked.get("reason", "")).split())[:_REASON_CHARACTERS]
            by = _operator(client)
            with self._actions.acting("pause", stream.name, by=by, reason=reason):
                done, record = self._states.pause(stream, by=by, reason=reason)
            result: dict[str, object] = {"state": record.state, "paused": done, "reason": record.halt_reason}
        else:
            accept = asked.get("accept_findings") is True
            told = {"accept_findings": accept}
            with self._actions.acting("resume", stream.name, by=_operator(client), arguments=told):
                resumed = self._states.resume(stream.name, accept_findings=accept)
            result = {
                "state": "active",
                "parked_events_taken_up": resumed.parked,
                "findings_accepted": resumed.accepted,
            }
        _log.info("console.acted", stream=stream.name, action=action, client=client)
        return json_answer(HTTPStatus.OK, {"stream": stream.name, **result})


def _operator(client: str) -> str:
    return f"the console, from {client}"


def _asked(request: Request) -> Mapping[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise ValueError(f"Content-Type: it has to be {_JSON}")
    body = request.body()
    if body is None:
        raise ValueError("the body is too long, or its length is not given")
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise ValueError("the body is no JSON") from error
    if not isinstance(asked, dict):
        raise ValueError("the body is no JSON object")  # noqa: TRY004 - what came in is a wrong value
    return asked
