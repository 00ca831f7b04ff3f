"""Secrets that a test plants, and the search for them in whatever form."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus
from uuid import uuid4


def planted(awkward: str = "") -> str:
    """Return a secret that stands nowhere else; ``awkward`` characters make it look different where it is quoted."""
    return f"pl4nted{awkward}{uuid4().hex}"


def found_in(text: str, secrets: Iterable[str]) -> list[str]:
    """Return the parts of a text that are a secret: as it is, quoted for a URL or as code, in base64."""
    return sorted({form for secret in secrets for form in _forms(secret) if form in text})


def _forms(secret: str) -> set[str]:
    raw = secret.encode()
    in_base64 = {base64.b64encode(b" " * before + raw)[4 : -8 + before].decode() for before in range(3)}
    assert all(len(one) > 8 for one in in_base64)
    quoted = {quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1], json.dumps(secret)[1:-1]}
    return {secret, raw.hex(), *quoted, *in_base64}
