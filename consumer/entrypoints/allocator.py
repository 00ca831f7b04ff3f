"""How the C library's allocator behaves in a process that lives for months."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8
"""From glibc's ``malloc.h``."""
_ARENAS = 2


def keep_few_arenas() -> bool:
    """Let all threads share two arenas; ``False`` where the C library knows no such thing.

    glibc gives threads arenas of their own, up to eight for each processor, and what is freed in one of them is of no
    use to the others: a process of some forty threads that take turns grows. Python's own small objects, and Arrow's
    buffers, do not come from there. ``MALLOC_ARENA_MAX`` does the same from outside.

    Source of the parameter: glibc, ``mallopt(3)``.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, _ARENAS))
