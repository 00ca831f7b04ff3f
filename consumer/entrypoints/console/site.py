"""The console's paths: the page, what it asks for, and what it lets an operator do."""

from __future__ import annotations

from collections.abc import Callable, Collection
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from consumer.entrypoints.console.files import page_file, to_the_page
from consumer.entrypoints.http_messages import Answer, Request, json_answer, wrong_method

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_MISDIRECTED = json_answer(
    HTTPStatus.MISDIRECTED_REQUEST,
    {"error": "the console is not served under this host name", "remedy": "name it in consumer.console_hosts"},
)

Handler = Callable[[Request], Answer | None]


class ConsoleSite:
    """Answers requests for the console under ``/console/`` and ``/api/``; ``/`` leads there.

    Args:
        reading: answers what is asked for under ``/api/``.
        acting: changes something under ``/api/``; ``None`` where no action exists.
        hosts: names under which the console is served, besides addresses and ``localhost``. A request for another
            name is refused: it comes from a foreign page whose own name leads here (DNS rebinding).
    """

    def __init__(self, *, reading: Handler, acting: Handler | None, hosts: Collection[str]) -> None:
        self._reading = reading
        self._acting = acting
        self._hosts = frozenset(host.lower() for host in hosts)

    def answer(self, request: Request) -> Answer | None:
        """Answer a request, or return ``None`` if there is nothing under its path."""
        found = self._found(request) if self._is_served_as(request.headers.get("host", "")) else _MISDIRECTED
        return None if found is None else found._replace(headers={**SECURITY_HEADERS, **found.headers})

    def _found(self, request: Request) -> Answer | None:
        if not request.path.startswith("/api/"):
            found = to_the_page(request.path) or page_file(request.path)
            return found if found is None or request.reads else wrong_method("GET, HEAD")
        if request.reads:
            return self._reading(request)
        return self._acting(request) if self._acting is not None else None

    def _is_served_as(self, host: str) -> bool:
        name = host_name(host)
        return name == "localhost" or name in self._hosts or _is_address(name)


def host_name(host: str) -> str:
    """Return the name in a ``Host`` header, without port and brackets; nothing for one that is malformed."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
