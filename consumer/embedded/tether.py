"""Runs one program that cannot outlive its parent: ``tether.py PARENT_PID PROGRAM ARGUMENT…``.

The program becomes the leader of its own session, so that it can be signalled as a group and hears no Ctrl-C from
the terminal, and the kernel kills it the moment the parent is gone, however the parent ended. This file is executed
by path with ``-I -S`` (no site packages, a few milliseconds) instead of a ``preexec_fn``, which is unsafe in a
process that has threads. The kernel ties the program to the parent's *thread*: start it from one that lives on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Detach from the terminal, bind to the parent's life, become the program."""
    parent = int(arguments[0])
    os.setsid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG) failed with errno {ctypes.get_errno()}")
    if os.getppid() != parent:
        sys.exit(f"process {parent} ended before {arguments[1]} started")
    os.execvp(arguments[1], arguments[1:])  # noqa: S606 - becoming the program is the point; no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
