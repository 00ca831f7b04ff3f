"""A process that ends by a defect leaves no secret behind."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

SECRET = "hunter2-hunter2"


def ended(program: str) -> tuple[str, str]:
    """Run a program that has called ``keep_secrets_at_the_end`` and knows the secret; return what it printed."""
    before = f"""
        import os, resource, signal, sys, threading
        from consumer.domain.secrets import remember
        from consumer.entrypoints.last_words import keep_secrets_at_the_end
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
        keep_secrets_at_the_end()
        remember([{SECRET!r}])
        secret = {SECRET!r}
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(before) + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "raise ValueError(f'the server quotes {secret}')",
        "threading.Thread(target=lambda: int(secret)).start()",
        "try:\n    int(secret)\nexcept ValueError as error:\n    raise RuntimeError('while connecting') from error",
    ],
    ids=["in the main thread", "in another thread", "as the cause of an error"],
)
def test_a_traceback_that_nobody_caught_quotes_no_secret(program: str) -> None:
    _, said = ended(program)
    assert "Traceback" in said
    assert "***" in said
    # The source line of the program itself is none of ours to hide; it does not hold the value.
    assert SECRET not in said


def test_no_core_is_dumped_and_children_dump_none_either() -> None:
    said, _ = ended(
        "import subprocess\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0])\n"
        "show = 'import resource; print(resource.getrlimit(resource.RLIMIT_CORE)[0])'\n"
        "print(subprocess.check_output([sys.executable, '-c', show], text=True).strip())\n"
    )
    assert said.split() == ["0", "0"]
