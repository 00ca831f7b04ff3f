"""The check of the ways to the servers: encrypted, and to servers that were proved to be the right ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from consumer.service.doctor.finding import Statement, info, ok, warning


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How this process speaks to one server.

    Attributes:
        host: as it is configured; an empty one, or a path, is on this machine.
        encrypted: whether TLS is spoken.
        proven: whether the server's certificate and host name are checked.
        remedy: the fields that change it.
    """

    server: str
    host: str
    encrypted: bool
    proven: bool
    remedy: str

    @property
    def local(self) -> bool:
        """Whether the way does not leave this machine."""
        if self.host in {"", "localhost"} or self.host.startswith("/"):
            return True
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionCheck:
    """What the configuration says of TLS; nothing is connected to."""

    ways: Sequence[Way]
    subject: str = "connections"
    name: str = "encryption"

    def run(self) -> Iterator[Statement]:
        """Go through the servers."""
        good = []
        for way in self.ways:
            if way.encrypted and way.proven:
                good.append(f"{way.server}: TLS, with certificate and host name checked")
            elif way.encrypted:
                yield warning(
                    f"{way.server}: TLS, but anybody may answer at {way.host}: its certificate or host name is not"
                    " checked",
                    way.remedy,
                )
            elif way.local:
                good.append(f"{way.server}: not encrypted, and on this machine")
            else:
                yield info(f"{way.server}: not encrypted, passwords and rows are readable on the way", way.remedy)
        if good:
            yield ok("; ".join(good))
