"""The address of a Spark Connect server: ``sc://host:port/;name=value;…``, whose parameters may hold a token."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

_SCHEME = "sc"
_PORT = 15002
_FORM = "sc://host:port, and after that /;name=value;name=value where parameters are needed (use_ssl, token)"


def _checked(remote: SecretStr) -> SecretStr:
    """No message quotes the value: it may hold a token."""
    address, separator, parameters = remote.get_secret_value().partition("/;")
    try:
        url = urlsplit(address)
        right = url.scheme == _SCHEME and url.hostname and url.port != 0 and url.path in {"", "/"}
    except ValueError:
        right = False
    if not right or "@" in address or url.query or url.fragment:
        msg = f"a Spark Connect server is written {_FORM}"
        raise ValueError(msg)
    pairs = [part.partition("=") for part in parameters.split(";")] if separator else []
    if any(not name or not value or "=" in value for name, _, value in pairs):
        msg = f"each parameter of a Spark Connect server is name=value; it is written {_FORM}"
        raise ValueError(msg)
    if any(name == "session_id" for name, _, _ in pairs):
        msg = "session_id can't be given: the session is named after the code, so that all consumers share it"
        raise ValueError(msg)
    return remote


SparkRemote = Annotated[SecretStr, AfterValidator(_checked)]
"""A checked address of a Spark Connect server; a secret as a whole, because nobody need look for the token in it."""


def address_of(remote: str) -> str:
    """Return ``sc://host:port`` of a checked address: the part that may be shown."""
    url = urlsplit(remote.partition("/;")[0])
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{_SCHEME}://{host}:{url.port or _PORT}"


def holds_token(remote: str) -> bool:
    """Whether the address carries a token."""
    return ";token=" in remote
