"""What goes wrong in a campaign: the store at every step, connections that break, tasks that end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from consumer.adapters.spark.engine import SparkEngine
from consumer.failpoints.acting import Failpoints
from spark.session import Session
from tests.support.store_proxy import FULL, INTERNAL, RESET, SLOW_DOWN, Refusal, StoreProxy
from tests.support.tcp_proxy import TcpProxy

_PUT = r"^(PUT|POST) "


@dataclass(frozen=True, slots=True)
class StoreTrouble:
    """What the store does at a step of a stream's batches; ``{table}`` stands for its table."""

    name: str
    pattern: str
    refusal: Refusal

    def begin(self, proxy: StoreProxy, table: str) -> None:
        """Let it happen to the batches of a table's stream, in the place of what happened before."""
        proxy.disturb(table, self.pattern.format(table=table), self.refusal)


_DATA = rf"{_PUT}\S*/{{table}}/data/"
_MANIFEST = rf"{_PUT}\S*/{{table}}/metadata/\S*-m\d+\.avro"
_METADATA = rf"{_PUT}\S*/{{table}}/metadata/\S*\.metadata\.json"
_FOOTER = r"^(GET|HEAD) \S*/{table}/data/"

BRIEF = (
    StoreTrouble("the store is full at the data", _DATA, FULL),
    StoreTrouble("the store is full at the manifest", _MANIFEST, FULL),
    StoreTrouble("the store is full at the metadata", _METADATA, FULL),
    StoreTrouble("the store does not give the footer", _FOOTER, FULL),
)
"""Refusals that the S3 client does not repeat: quick to fail."""

LONG = (
    *BRIEF,
    StoreTrouble("the store asks for fewer requests at the data", _DATA, SLOW_DOWN),
    StoreTrouble("the store resets the connection at the manifest", _MANIFEST, RESET),
    StoreTrouble("the store fails at the metadata", _METADATA, INTERNAL),
    StoreTrouble("the store resets the connection at the data", _DATA, RESET),
)


class Saboteur(Failpoints):
    """Breaks connections and tasks now and then, beside what the store does.

    Args:
        source, ledger: proxies whose connections are cut, each with every seventh batch.
        task: what happens in the tasks of every fifth job, as failpoints say it.
    """

    def __init__(self, *, source: TcpProxy, ledger: TcpProxy, task: str) -> None:
        super().__init__()
        self._source = source
        self._ledger = ledger
        self._task = task
        self._counting = threading.Lock()
        self._batches = 0
        self._jobs = 0

    def hit(self, point: str) -> None:
        if point == "batch.before-write":
            with self._counting:
                self._batches += 1
                number = self._batches
            for rest, proxy in ((3, self._source), (5, self._ledger)):
                if number % 7 == rest:
                    proxy.cut()

    def for_job(self) -> str:
        with self._counting:
            self._jobs += 1
            return self._task if self._jobs % 5 == 0 else ""


def kill_driver(engine: SparkEngine) -> None:
    """Kill the driver of an engine, if it has one of its own."""
    session = engine._session
    if isinstance(session, Session) and session._process is not None and session.alive:
        os.kill(session._process.pid, signal.SIGKILL)


def begin(troubles: Sequence[StoreTrouble], proxy: StoreProxy, tables: Sequence[str], number: int) -> None:
    """Let each table's stream have a trouble of its own, and another one in the next round."""
    for position, table in enumerate(tables):
        troubles[(number + position) % len(troubles)].begin(proxy, table)
