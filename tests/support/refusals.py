"""What is refused, and what was said about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from consumer.domain.errors import AccessDeniedError, ConfigurationError, IcehaulError, UntrustedServerError


def refusal(act: Callable[[], object]) -> IcehaulError:
    """Do what is refused, and return the error."""
    with pytest.raises((AccessDeniedError, ConfigurationError, UntrustedServerError)) as refused:
        act()
    return refused.value


def allowed(act: Callable[[], object]) -> bool:
    """Whether the object store lets its client do it."""
    try:
        act()
    except OSError as error:
        if "ACCESS_DENIED" not in str(error):
            raise
        return False
    return True


def doctors_remedies(report: Mapping[str, Any]) -> dict[str, str]:
    """What the doctor advises against each error, by the check that found it."""
    found: dict[str, str] = {}
    for one in report["findings"]:
        if one["severity"] == "error":
            found[one["check"]] = f"{found.get(one['check'], '')}{one['remedy']}\n"
    return found
