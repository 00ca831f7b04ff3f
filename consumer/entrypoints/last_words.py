"""What a process leaves behind when it ends by a defect: a traceback without secrets, and no image of its memory."""

from __future__ import annotations

import resource
import sys
import threading
import traceback
from types import TracebackType

from consumer.adapters.telemetry.redaction import scrub


def keep_secrets_at_the_end() -> None:
    """Scrub the traceback of whatever nobody caught, in any thread, and forbid core dumps, of children too.

    A core dump holds every secret that the process has read. Who needs one raises the limit again from outside:
    ``prlimit --core=unlimited --pid``.
    """
    sys.excepthook = _print_scrubbed
    threading.excepthook = _print_of_thread
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _print_scrubbed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(scrub("".join(traceback.format_exception(kind, error, trace))))


def _print_of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is SystemExit or arguments.exc_value is None:
        return
    name = arguments.thread.name if arguments.thread is not None else "(gone)"
    sys.stderr.write(f"Exception in thread {name}:\n")
    _print_scrubbed(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
