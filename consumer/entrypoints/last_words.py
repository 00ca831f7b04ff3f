"""What a process leaves behind when it ends by a defect: a traceback without secrets, and no image of its memory."""

from __future__ import annotations

import resource
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from consumer.adapters.telemetry.redaction import scrub
from consumer.domain.errors import IcehaulError

_DEFECT = 1
"""The interpreter's own exit code for an exception that nobody caught."""


@contextmanager
def secrets_kept_at_the_end() -> Iterator[None]:
    """Scrub the traceback of whatever nobody catches, in any thread, and forbid core dumps, of children too.

    A core dump holds every secret that the process has read. Who needs one raises the limit again from outside:
    ``prlimit --core=unlimited --pid``.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    before, threading.excepthook = threading.excepthook, _in_thread
    try:
        yield
    except IcehaulError:
        raise
    except Exception as error:  # noqa: BLE001 - the interpreter would print it as it is
        _print(error)
        sys.exit(_DEFECT)
    finally:
        threading.excepthook = before


def _print(error: BaseException) -> None:
    sys.stderr.write(scrub("".join(traceback.format_exception(error))))


def _in_thread(arguments: threading.ExceptHookArgs) -> None:
    if isinstance(arguments.exc_value, SystemExit) or arguments.exc_value is None:
        return
    name = arguments.thread.name if arguments.thread is not None else "(gone)"
    sys.stderr.write(f"Exception in thread {name}:\n")
    _print(arguments.exc_value)
