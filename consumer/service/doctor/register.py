"""The check of the register: are there streams in the ledger that are not configured."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from consumer.service.doctor.finding import Statement, info
from consumer.service.registry.ports import Register


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterCheck:
    """The streams of the ledger against those of the configuration."""

    configured: Collection[str]
    register: Register
    name: str = "register"
    subject: str = "ledger"

    def run(self) -> Iterator[Statement]:
        """Name the streams that nobody works on because they are not configured; say nothing where there is none."""
        left = [one.name for one in self.register.known() if one.removed is None and one.name not in self.configured]
        if left:
            yield info(
                f"not configured, so nobody works on them: {', '.join(left)}",
                "put them back into the configuration, or `icehaul stream remove` or `rename` them",
            )
