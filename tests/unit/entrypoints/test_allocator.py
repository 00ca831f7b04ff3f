"""A process of many threads takes little memory for them, and gives large blocks back once they are free."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
THREADS = 8
FROM_OUTSIDE = {"MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "ARROW_DEFAULT_MEMORY_POOL"}
BEGIN = """
import ctypes, pathlib, sys, threading
from consumer.entrypoints.allocator import give_memory_back

if sys.argv[1] == "early" and not give_memory_back():
    sys.exit("the C library has no mallopt")
"""
ARENAS = """
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
BLOCKS = """
BLOCK = 10 * 2**20

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

held = bytearray(BLOCK)
del held  # the size from which glibc maps blocks is that of this one now, unless it is told another
before, held, others = resident(), [], []
for _ in range({threads}):
    held.append(bytearray(BLOCK))
    held[-1][:] = b"x" * BLOCK
    others.append(bytes(100_000))  # what lives on keeps the heap where it is
held.clear()
print((resident() - before) // BLOCK)
"""
POOL = "import consumer.entrypoints.cli.main, pyarrow; print(pyarrow.default_memory_pool().backend_name)"


def output(program: str, how: str, report: Path, **environment: str) -> str:
    """Return what a program prints in a process of its own, of which nobody has told the allocators anything."""
    ended = subprocess.run(
        [sys.executable, "-c", program.replace("{threads}", str(THREADS)), how, str(report)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in FROM_OUTSIDE} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if "has no mallopt" in ended.stderr or "malloc_info" in ended.stderr:
        pytest.skip("the C library is not glibc")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_all_threads_share_two_arenas(tmp_path: Path) -> None:
    assert int(output(BEGIN + ARENAS, "early", tmp_path / "few.xml")) == 2
    assert int(output(BEGIN + ARENAS, "late", tmp_path / "many.xml")) > 2, "and without it they would not"


def test_large_blocks_that_are_free_are_given_back(tmp_path: Path) -> None:
    assert int(output(BEGIN + BLOCKS, "early", tmp_path)) == 0
    assert int(output(BEGIN + BLOCKS, "late", tmp_path)) > 0, "and without it they would not be"


def test_arrow_has_no_allocator_of_its_own_where_nobody_asks_for_one(tmp_path: Path) -> None:
    assert output(POOL, "", tmp_path) == "system"
    assert output(POOL, "", tmp_path, ARROW_DEFAULT_MEMORY_POOL="mimalloc") == "mimalloc"
