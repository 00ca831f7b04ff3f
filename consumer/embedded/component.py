"""What every component of the stack has in common."""

from __future__ import annotations

import re
import signal
from abc import ABC, abstractmethod
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from consumer.embedded.process import Launch


class ComponentName(StrEnum):
    """The components, by the names that the command line and the logs use."""

    CLICKHOUSE = "clickhouse"
    KAFKA = "kafka"
    POSTGRES = "postgres"
    STORE = "store"


class NotReadyError(Exception):
    """A probe's answer: not yet. Never leaves the supervisor."""


class Component(ABC):
    """One server: how to prepare its directory, run it, see whether it works, and stop it.

    ``home`` is the component's own directory, ``log_file`` takes everything it prints.
    """

    name: ClassVar[ComponentName]
    start_deadline_s: ClassVar[float] = 60.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_grace_s: ClassVar[float] = 5.0
    port_taken: ClassVar[re.Pattern[str]] = re.compile(r"address already in use", re.IGNORECASE)

    def __init__(self, home: Path, log_file: Path) -> None:
        self.home = home
        self.log_file = log_file

    @property
    @abstractmethod
    def port(self) -> int:
        """The loopback port that clients connect to."""

    @abstractmethod
    def prepare(self) -> None:
        """Bring the directory into a state the server can start from, on the first start and after a crash.

        Raises:
            EmbeddedStackError: if that fails.
        """

    @abstractmethod
    def launch(self) -> Launch:
        """The command that runs the server in the foreground."""

    @abstractmethod
    def probe(self) -> None:
        """Do one real operation with a short time limit; idempotent.

        Raises:
            NotReadyError: if the server does not do its work (yet).
        """

    def clean_up(self) -> None:  # noqa: B027 - most components leave nothing outside
        """Remove what the server leaves outside its directory; called after it has ended."""
