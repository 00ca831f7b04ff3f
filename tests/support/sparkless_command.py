"""The command `icehaul` without Spark: tasks run in its own process; run by ``python -m`` with its arguments."""

from __future__ import annotations

from functools import cached_property

from consumer.bootstrap import Application
from consumer.entrypoints.cli.main import main
from tests.support.local_engine import LocalEngine


def _engine(application: Application) -> LocalEngine:
    engine = LocalEngine(application.configuration, application.failpoints)
    engine._session = engine.session  # it counts as started
    return engine


if __name__ == "__main__":
    replacement = cached_property(_engine)
    replacement.__set_name__(Application, "engine")
    Application.engine = replacement  # type: ignore[assignment]
    main()
