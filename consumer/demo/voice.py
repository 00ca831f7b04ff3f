"""What the demo says while it runs."""

from __future__ import annotations

import time

from rich.console import Console


class Voice:
    """Writes phases, facts and progress to the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._progress = ""

    def phase(self, text: str) -> None:
        """Announce a phase."""
        elapsed = time.monotonic() - self._started
        self._console.print(f"[dim]{elapsed:6.1f} s[/dim]  [bold]{text}[/bold]")

    def step(self, text: str) -> None:
        """Report a step of the phase under way."""
        elapsed = time.monotonic() - self._started
        self._console.print(f"[dim]{elapsed:6.1f} s    {text}[/dim]")

    def fact(self, text: str) -> None:
        """State something that was seen."""
        self._console.print(f"          {text}", style="cyan", markup=False, highlight=False)

    def progress(self, done: int, total: int, what: str) -> None:
        """Show how far a wait has come: on a terminal on one line, elsewhere once it is over."""
        text = f"{done} of {total} {what}"
        if text == self._progress or not done:
            return
        self._progress = text
        if done == total:
            self.step(text)
        elif self._console.is_terminal:
            self._console.print(f"[dim]{'':8}    {text}[/dim]", end="\r")

    def clear(self) -> None:
        """Forget the progress of the wait that has ended."""
        self._progress = ""
