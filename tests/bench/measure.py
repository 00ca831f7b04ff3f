"""What a path takes of the machine: seconds, CPU seconds of every process involved, and peak memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.support.processes import family, pss_kib

_SAMPLE_SECONDS = 0.4
"""Seldom: a sample of a large process takes the kernel some milliseconds, which the measured paths would pay."""
_TICKS = os.sysconf("SC_CLK_TCK")
_KIB_PER_MIB = 1024
_LEAST_CPU = 0.01
"""What a process takes at least: the kernel counts hundredths."""
_USER_TIME = 11
"""Position of utime in ``/proc/PID/stat`` after the command; stime, cutime and cstime follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One run of one path.

    ``cpu`` are CPU seconds by process group; memory is the greatest sum over all groups, shared pages counted once.
    """

    seconds: float
    rows: int
    bytes_written: int
    peak_rss_mib: float
    cpu: Mapping[str, float] = field(default_factory=dict)

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of all processes involved."""
        return sum(self.cpu.values())

    @property
    def rows_per_cpu_second(self) -> float:
        """Rows for each CPU second of all processes involved, the source's and the store's among them."""
        return self.rows / max(self.cpu_seconds, _LEAST_CPU)

    @property
    def rows_per_second(self) -> float:
        """Throughput."""
        return self.rows / self.seconds


def measure(rows: int, groups: Mapping[str, int], run: Callable[[], int], *, sampled: bool = True) -> Measurement:
    """Measure ``run``, which returns the bytes that it wrote; ``groups`` names the first process of each family.

    Unless it is ``sampled``, peak memory is left to the caller.
    """
    with _PeakMemory(tuple(groups.values()) if sampled else ()) as peak:
        before = cpu_by_group(groups)
        started = time.perf_counter()
        written = run()
        seconds = time.perf_counter() - started
        cpu = {name: after - before[name] for name, after in cpu_by_group(groups).items()}
    return Measurement(seconds=seconds, rows=rows, bytes_written=written, peak_rss_mib=peak.mib, cpu=cpu)


def cpu_by_group(groups: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far of each group: its first process, its descendants, and those of them that have ended.

    A group that descends from another one (a server from the program that started it) counts for itself alone.
    """
    families = {name: set(family(pid)) for name, pid in groups.items()}
    return {
        name: sum(_own_ticks(member) for member in members - _nested(members, groups, families, name)) / _TICKS
        for name, members in families.items()
    }


def _nested(members: set[int], groups: Mapping[str, int], families: Mapping[str, set[int]], name: str) -> set[int]:
    inner = [families[other] for other, pid in groups.items() if other != name and pid in members]
    return set().union(*inner)


def _own_ticks(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return sum(int(value) for value in fields[_USER_TIME : _USER_TIME + 4])


class _PeakMemory:
    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.mib = 0.0

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        members = {member for pid in self._pids for member in family(pid)}
        self.mib = max(self.mib, sum(pss_kib(member) for member in members) / _KIB_PER_MIB)
