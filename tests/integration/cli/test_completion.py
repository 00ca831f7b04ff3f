"""Shell completion: each shell installs it by the documented option, and completes with what was installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cases import few

ROOT = Path(__file__).resolve().parents[3]
CONFIGURATION = """
streams:
  - {name: alpha_trades, source: a.trades, target: bronze.trades, timestamp_column: ts}
  - {name: alpine_bars, source: a.bars, target: bronze.bars, timestamp_column: ts}
  - {name: beta, source: a.beta, target: bronze.beta, timestamp_column: ts}
"""
COMPLETE = {
    "bash": """
        shopt -u progcomp_alias
        source ~/.bashrc
        complete -p icehaul > /dev/null
        COMP_WORDS=(icehaul @typed@) COMP_CWORD=@count@
        _icehaul_completion icehaul
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    # What zsh draws needs a terminal: its function for that shows what it is given instead.
    "zsh": """
        compdef() { :; }
        _arguments() { print -r -- "$@"; }
        source ~/.zfunc/_icehaul
        words=(icehaul @typed@) CURRENT=$((@count@ + 1))
        _icehaul_completion
    """,
    "fish": 'complete -C "icehaul @typed@"',
}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(params=few(["bash", "zsh", "fish"], {"bash"}))
def shell(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install {name})")
    return name


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of somebody who has `icehaul` on the path."""
    command = tmp_path / "bin" / "icehaul"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m consumer.entrypoints.cli.main "$@"\n')
    command.chmod(0o755)
    (tmp_path / "icehaul.yaml").write_text(CONFIGURATION, encoding="utf-8")
    return tmp_path


def run(shell: str, script: str, home: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ICEHAUL_")}
    environment |= {"HOME": str(home), "PATH": f"{home}/bin:{environment['PATH']}", "PYTHONPATH": str(ROOT)}
    environment.pop("XDG_CONFIG_HOME", None)
    # A shell replaces itself by the last command of its script; `true` keeps it there to be recognised.
    done = subprocess.run(
        [shell, "-c", f"{script}\ntrue"],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def completed(shell: str, words: str, home: Path) -> str:
    script = COMPLETE[shell].replace("@typed@", words).replace("@count@", str(len(words.split())))
    return run(shell, script, home)


def test_what_a_shell_installs_completes_commands_and_streams(shell: str, home: Path) -> None:
    run(shell, "icehaul --install-completion", home)

    commands = completed(shell, "pl", home)
    streams = completed(shell, "status alp", home)

    assert "plan" in commands
    assert "verify" not in commands
    assert "alpha_trades" in streams
    assert "alpine_bars" in streams
    assert "beta" not in streams


def test_it_shows_what_it_would_install(shell: str, home: Path) -> None:
    shown = run(shell, "icehaul --show-completion", home)

    assert f"_ICEHAUL_COMPLETE=complete_{shell}" in shown
    assert sorted(home.rglob("*icehaul*")) == [home / "bin" / "icehaul", home / "icehaul.yaml"]


def test_without_a_readable_configuration_no_stream_is_named_and_nothing_is_said(home: Path) -> None:
    (home / "icehaul.yaml").write_text("streams: [", encoding="utf-8")
    environment = {"_ICEHAUL_COMPLETE": "complete_bash", "COMP_WORDS": "icehaul plan ", "COMP_CWORD": "2"}
    done = subprocess.run(
        [home / "bin" / "icehaul"],
        cwd=home,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
