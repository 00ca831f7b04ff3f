"""Threads of a consumer share what glibc's allocator has, however many they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
THREADS = 8
PROGRAM = """
import ctypes, pathlib, sys, threading
from consumer.entrypoints.allocator import keep_few_arenas

if sys.argv[1] == "few" and not keep_few_arenas():
    sys.exit("the C library has no mallopt")
together = threading.Barrier({threads})

def work():
    together.wait(30)
    held = [bytes(2_000 + number) for number in range(200)]
    together.wait(30)

threads = [threading.Thread(target=work) for _ in range({threads})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
stream = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, stream)
libc.fclose(stream)
print(pathlib.Path(sys.argv[2]).read_text().count("<heap nr="))
"""


def arenas(how: str, report: Path) -> int:
    """Return how many arenas a process has whose threads have all allocated something."""
    program = PROGRAM.replace("{threads}", str(THREADS))
    ended = subprocess.run(
        [sys.executable, "-c", program, how, str(report)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if "has no mallopt" in ended.stderr or "malloc_info" in ended.stderr:
        pytest.skip("the C library is not glibc")
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)


def test_all_threads_share_two_arenas(tmp_path: Path) -> None:
    assert arenas("few", tmp_path / "few.xml") == 2
    assert arenas("many", tmp_path / "many.xml") > 2, "and without it they would not"
