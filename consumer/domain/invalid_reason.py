"""Why an event is invalid."""

from __future__ import annotations

from enum import StrEnum


class InvalidReason(StrEnum):
    """Why an event is invalid: a bounded set, fit for a metric's label and a dead letter's header."""

    NULL_VALUE = "null-value"
    TOO_LARGE = "too-large"
    INVALID_UTF8 = "invalid-utf8"
    NOT_JSON = "not-json"
    TOO_DEEP = "too-deep"
    DUPLICATE_KEY = "duplicate-key"
    NOT_FINITE = "not-finite"
    WRONG_SCHEMA = "wrong-schema"
    UNKNOWN_VERSION = "unknown-version"
    UNKNOWN_TYPE = "unknown-type"
    INVALID_NAME = "invalid-name"
    INVALID_TIME = "invalid-time"
    WRONG_KEY = "wrong-key"
    WRONG_PARTITION = "wrong-partition"
    UNKNOWN_STREAM = "unknown-stream"
    OTHER = "other"
