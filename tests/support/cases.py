"""Parameters of tests that have more cases than each change needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeVar

import pytest

T = TypeVar("T")


def few(cases: Iterable[T], now: Collection[T]) -> list[object]:
    """Return the cases as parameters: those in ``now`` for ``make test``, those like them for ``make thorough``.

    Raises:
        ValueError: if ``now`` names what is no case.
    """
    every = list(cases)
    if unknown := [one for one in now if one not in every]:
        msg = f"no cases: {unknown}"
        raise ValueError(msg)
    return [pytest.param(one, marks=() if one in now else pytest.mark.thorough) for one in every]
