"""Keeps secrets out of what is written."""

from __future__ import annotations

import re

from consumer.domain.secrets import HIDDEN, hide

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|credential|authorization|api[_.-]?key|access[_.-]?key|private[_.-]?key"
    r"|^dsn$|sasl\.jaas",
    re.IGNORECASE,
)
_IN_TEXT = (
    # user:password@ in a URL or DSN
    (re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@]+(?=@)", re.IGNORECASE), r"\g<keep>" + HIDDEN),
    # password=…, secret_key: …, X-Amz-Signature=…, also quoted as in a dictionary or JSON
    (
        re.compile(
            r"(?P<keep>[\w.-]*(?:password|passwd|secret|token|credential|access[_.-]?key|signature|api[_.-]?key)[\w.-]*"
            r"[\"']?\s*[=:]\s*[\"']?)(?!\*\*\*)[^\s\"'&,;)}\]]+",
            re.IGNORECASE,
        ),
        r"\g<keep>" + HIDDEN,
    ),
    (
        re.compile(r"(?P<keep>authorization[\"']?\s*[:=]\s*[\"']?(?:basic|bearer)\s+)\S+", re.IGNORECASE),
        r"\g<keep>" + HIDDEN,
    ),
)


def is_secret(name: str) -> bool:
    """Tell whether a field of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def scrub(text: str) -> str:
    """Return the text without the secrets that it shows: those that this process knows, and what looks like others."""
    text = hide(text)
    if "=" not in text and ":" not in text:
        return text  # each expression has one of them; most attributes of a span have neither
    for pattern, replacement in _IN_TEXT:
        text = pattern.sub(replacement, text)
    return text
