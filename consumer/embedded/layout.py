"""The files of one stack's directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from consumer.embedded.component import ComponentName


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below ``directory``."""

    directory: Path

    @classmethod
    def make(cls, directory: Path) -> Layout:
        """Create the directories that every stack has, private to their owner."""
        layout = cls(directory.resolve())
        layout.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        layout.logs.mkdir(exist_ok=True, mode=0o700)
        return layout

    @property
    def plan(self) -> Path:
        """Ports and secrets, kept between runs."""
        return self.directory / "plan.json"

    @property
    def endpoints(self) -> Path:
        """What clients have to know; exists while the stack is ready."""
        return self.directory / "endpoints.json"

    @property
    def control(self) -> Path:
        """How to reach the supervisor; exists while it runs."""
        return self.directory / "control.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor for its whole life: whether it runs is never guessed from a process id."""
        return self.directory / "supervisor.lock"

    @property
    def logs(self) -> Path:
        """The directory of all log files."""
        return self.directory / "logs"

    @property
    def supervisor_log(self) -> Path:
        """The supervisor's own log."""
        return self.logs / "supervisor.log"

    def component_log(self, name: ComponentName) -> Path:
        """One component's log."""
        return self.logs / f"{name.value}.log"

    def component_home(self, name: ComponentName) -> Path:
        """One component's own directory."""
        return self.directory / name.value
