"""A process that ends by a defect leaves no secret behind."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

SECRET = "hunter2-hunter2"


def ended(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program that knows the secret within ``secrets_kept_at_the_end``."""
    before = f"""
import os, resource, sys, threading
from consumer.domain.secrets import remember
from consumer.entrypoints.last_words import secrets_kept_at_the_end
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
remember([{SECRET!r}])
secret = {SECRET!r}
with secrets_kept_at_the_end():
"""
    return subprocess.run(
        [sys.executable, "-c", before + textwrap.indent(program, "    ")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("raise ValueError(f'the server quotes {secret}')", 1),
        ("thread = threading.Thread(target=lambda: int(secret)); thread.start(); thread.join()", 0),
        (
            "try:\n    int(secret)\nexcept ValueError as error:\n    raise RuntimeError('while connecting') from error",
            1,
        ),
    ],
    ids=["in the main thread", "in another thread", "as the cause of an error"],
)
def test_a_traceback_that_nobody_caught_quotes_no_secret(program: str, code: int) -> None:
    done = ended(program)
    assert done.returncode == code
    assert "Traceback" in done.stderr
    assert "***" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_no_core_is_dumped_and_children_dump_none_either() -> None:
    done = ended(
        "import subprocess\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0])\n"
        "show = 'import resource; print(resource.getrlimit(resource.RLIMIT_CORE)[0])'\n"
        "print(subprocess.check_output([sys.executable, '-c', show], text=True).strip())\n"
    )
    assert done.stdout.split() == ["0", "0"]


def test_an_end_in_order_is_left_alone() -> None:
    assert ended("sys.exit(4)").returncode == 4
