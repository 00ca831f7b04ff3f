"""A consumer process without Spark; run by ``python -m tests.support.local_consumer CONFIG``, failpoints as usual."""

from __future__ import annotations

import sys
from pathlib import Path

from consumer.adapters.telemetry.tracing import Tracing
from consumer.bootstrap import Application
from consumer.settings.load import load
from tests.support.local_engine import LocalEngine


def main(path: Path) -> None:
    configuration = load(path)
    with Application(configuration) as application:
        application.engine = LocalEngine(configuration, application.failpoints)
        tracing = Tracing(configuration.telemetry, role="consumer")
        application.loop(tracing).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
