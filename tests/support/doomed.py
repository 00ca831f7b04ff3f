"""A process that handles one tick and, with ``ICEHAUL_FAILPOINTS`` set, does not survive it.

``python -m tests.support.doomed CONFIG STREAM CUTOFF``
"""

from __future__ import annotations

import sys
import threading
from datetime import datetime
from pathlib import Path

from consumer.bootstrap import Application
from consumer.domain.event_factory import tick
from consumer.settings.load import load


def main() -> None:
    config, stream, cutoff = sys.argv[1:]
    with Application(load(Path(config))) as application:
        application.offload.handle(tick(stream=stream, boundary=datetime.fromisoformat(cutoff)), threading.Event())


if __name__ == "__main__":
    main()
