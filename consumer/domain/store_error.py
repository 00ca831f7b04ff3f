"""The object store's refusals, by the words in which S3 clients report them."""

from __future__ import annotations

from enum import Enum, auto


class StoreTrouble(Enum):
    """What is the matter with the store."""

    FULL = auto()
    """It has no space left, or the quota is used up."""
    NO_BUCKET = auto()
    DENIED = auto()
    BUSY = auto()
    """It asks for fewer requests, or is overloaded for now."""
    OTHER = auto()


_SIGNS: tuple[tuple[StoreTrouble, tuple[str, ...]], ...] = (
    # First of all, for some stores refuse what would pass a quota with status 403.
    (
        StoreTrouble.FULL,
        (
            "HTTP status 507",
            "No space left on device",
            "StorageFull",
            "InsufficientStorage",
            "QuotaExceeded",
            "InsufficientCapacity",
        ),
    ),
    (StoreTrouble.NO_BUCKET, ("NO_SUCH_BUCKET", "NoSuchBucket")),
    (
        StoreTrouble.DENIED,
        (
            "ACCESS_DENIED",
            "INVALID_ACCESS_KEY_ID",
            "INVALID_CLIENT_TOKEN_ID",
            "INVALID_SIGNATURE",
            "MISSING_AUTHENTICATION_TOKEN",
            "SIGNATURE_DOES_NOT_MATCH",
            "UNRECOGNIZED_CLIENT",
            "HTTP response code 401",
            "HTTP response code 403",
            "HTTP status 401",
            "HTTP status 403",
        ),
    ),
    (StoreTrouble.BUSY, ("SLOW_DOWN", "SlowDown", "SERVICE_UNAVAILABLE", "HTTP status 503", "HTTP status 429")),
)

_PASSING = {
    StoreTrouble.FULL: (
        "has no space left",
        "free space on the store, or raise the quota; the step is tried again, and nothing has to be cleared away",
    ),
    StoreTrouble.BUSY: (
        "asks for fewer requests",
        (
            "nothing to do if it passes: the step is tried again, with growing pauses; if it lasts, lower"
            " consumer.workers or raise the store's limit"
        ),
    ),
}
_FAILED = (
    "failed",
    (
        "check that store.endpoint is reachable and healthy, has disk space left, and begins with https:// if TLS is"
        " spoken at that port; the step is tried again"
    ),
)


def trouble_of(text: str) -> StoreTrouble:
    """Return what an S3 client's error text says is the matter."""
    return next((trouble for trouble, signs in _SIGNS if any(sign in text for sign in signs)), StoreTrouble.OTHER)


def passing(text: str) -> tuple[str, str]:
    """Return what is said of the store, and the remedy, where the trouble may pass without a change of settings.

    The first is a predicate: "the object store at … *has no space left*".
    """
    return _PASSING.get(trouble_of(text), _FAILED)
