"""The check of the cluster over which the source tables are read, where one is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from consumer.domain.phrasing import counted
from consumer.service.doctor.finding import Statement, ok


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterCheck:
    """Whether the server knows the cluster, and every shard of it answers; says nothing where there is none."""

    answering: Callable[[], Mapping[int, str]]
    subject: str
    name: str = "cluster"

    def run(self) -> Iterator[Statement]:
        """Ask every shard for its name."""
        found = self.answering()
        if found:
            hosts = ", ".join(f"{shard}: {host}" for shard, host in sorted(found.items()))
            yield ok(f"{counted(len(found), 'shard')}, each answers ({hosts})")
