"""Fixtures of all tests: the embedded stack and names that no two tests share."""

from __future__ import annotations

import logging
import signal
import uuid
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from opentelemetry import trace
from opentelemetry.util._once import Once

from consumer.embedded.stack import EmbeddedStack
from tests.support import shared_stack

pytest_plugins = ["tests.support.spark"]

# How fast an example runs says nothing about the code on a machine that is busy with other things.
settings.register_profile("icehaul", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("icehaul")


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> EmbeddedStack:
    """Real servers, shared by the whole run: use names of your own, and never stop or kill one."""
    return shared_stack.acquire(pytestconfig)


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """Real servers of this module's own, to be killed, paused and restarted at will."""
    with EmbeddedStack.start(tmp_path_factory.mktemp("stack")) as started:
        yield started


@pytest.fixture(autouse=True)
def logs_end_with_their_test() -> Iterator[None]:
    """Take away the log handlers that a command set up in this process: they write to what the test captured."""
    yield
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, logging.StreamHandler) and not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def traces_end_with_their_test() -> Iterator[None]:
    """Take away the tracer provider that a command installed in this process: OpenTelemetry keeps the first one."""
    yield
    trace._TRACER_PROVIDER = None
    trace._TRACER_PROVIDER_SET_ONCE = Once()


@pytest.fixture
def unique_name() -> str:
    """A name that is valid for a database, a topic, a namespace and a consumer group, and used by nobody else."""
    return f"t_{uuid.uuid4().hex[:12]}"


def pytest_configure() -> None:
    """Let SIGINT end what the tests start, even if whoever started the run in the background had it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the shared stack once the whole run is over."""
    if not shared_stack.is_worker(session.config):
        shared_stack.release(session.config)
