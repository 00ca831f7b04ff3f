"""How memory is allocated in a process that lives for months: what is free goes back to the system.

Two allocators share a process: that of the C library, glibc's most often, and Arrow's own. Both keep what was freed for
the thread that had it. A consumer has some forty threads that take turns, and each upload needs a block of 10 MiB
(Arrow's writer for S3), so that one more thread that uploads for the first time made the process larger for good.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

ARROW_POOL: Mapping[str, str] = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
"""What the environment has to say before pyarrow is imported, so that Arrow asks the C library for its buffers."""
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
"""From glibc's ``malloc.h``."""
_ARENAS = 2
_LARGE_BYTES = 2**20


def give_memory_back() -> bool:
    """Let all threads share two arenas, and large blocks return to the system; ``False`` where that can't be had.

    glibc gives threads arenas of their own, up to eight for each processor, and what is freed in one of them is of no
    use to the others. And it raises the size from which blocks are mapped, and unmapped once they are free, to that of
    the largest one that was ever freed, up to 32 MiB, unless it is told one. Python's own small objects are elsewhere.
    ``MALLOC_ARENA_MAX`` and ``MALLOC_MMAP_THRESHOLD_`` do the same from outside.

    Source of the parameters: glibc, ``mallopt(3)``.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_ARENA_MAX, _ARENAS)) and bool(mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))
