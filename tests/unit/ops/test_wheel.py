"""The wheel and the source distribution: everything that is read at run time, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
import typer.main

from consumer import __version__
from consumer.entrypoints.cli.main import app

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("consumer", "spark", "schemas")
MANUAL = f"icehaul-{__version__}.data/data/share/man/man1/icehaul.1"
METADATA = f"icehaul-{__version__}.dist-info"


def build(project: Path, *targets: str, into: Path) -> None:
    """Build a project as `make wheel` does: offline, by the locked build tool of this environment."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(into), *targets],
        cwd=project, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def wheel_in(folder: Path) -> Path:
    (found,) = folder.glob("*.whl")
    return found


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sources() -> Mapping[str, bytes]:
    """Every file of the packages by its path; the console's pages stand behind a link."""
    return {
        str(Path(folder).relative_to(ROOT) / name): (Path(folder) / name).read_bytes()
        for package in PACKAGES
        for folder, _, names in os.walk(ROOT / package, followlinks=True)
        if "__pycache__" not in folder
        for name in names
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, into=folder)
    return folder


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(built: Path) -> None:
    found = contents(wheel_in(built))
    packaged = {name: data for name, data in found.items() if not name.startswith(f"icehaul-{__version__}.")}
    expected = sources()
    assert packaged.keys() == expected.keys()
    assert [name for name, data in expected.items() if packaged[name] != data] == []
    kinds = {Path(name).suffix for name in expected}
    assert {".py", ".sql", ".json", ".md", ".js", ".gz", ".lock", ".properties"} <= kinds
    assert {name for name in found.keys() - packaged.keys() if not name.startswith(METADATA)} == {MANUAL}


def test_the_wheel_says_that_it_is_typed_what_it_is_and_what_it_needs(built: Path) -> None:
    found = contents(wheel_in(built))
    assert {f"{package}/py.typed" for package in PACKAGES} <= found.keys()
    metadata = Parser().parsestr(found[f"{METADATA}/METADATA"].decode())
    assert (metadata["Name"], metadata["Version"]) == ("icehaul", __version__)
    assert set(metadata.get_all("Provides-Extra", [])) == {"embedded", "connect"}
    assert f"{METADATA}/licenses/LICENSE" in found
    assert "icehaul = consumer.entrypoints.cli.main:main" in found[f"{METADATA}/entry_points.txt"].decode()


def test_the_sources_build_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = opened.getnames()
        opened.extractall(tmp_path, filter="data")
    build(tmp_path / f"icehaul-{__version__}", "-t", "wheel", into=tmp_path)
    assert wheel_in(tmp_path).read_bytes() == wheel_in(built).read_bytes()
    folders = {name.split("/")[1] for name in names if name.count("/") > 1}
    assert folders == {*PACKAGES, "tests", "docs", "ops", "requirements"}


def test_the_command_runs_from_the_wheel_alone(built: Path, tmp_path: Path) -> None:
    with ZipFile(wheel_in(built)) as archive:
        archive.extractall(tmp_path / "installed")  # noqa: S202 - it was built a moment ago
    code = (
        "import sys; sys.argv[:] = ['icehaul', '--version']; import consumer.entrypoints.cli.main as command\n"
        "import spark, schemas; print(command.__file__, spark.__file__, schemas.__file__); command.main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files, version = done.stdout.splitlines()
    assert all(file.startswith(str(tmp_path)) for file in files.split())
    assert version == f"icehaul {__version__}"


def test_the_manual_page_shows_every_command(built: Path) -> None:
    page = contents(wheel_in(built))[MANUAL].decode()
    assert page == (ROOT / "docs" / "man" / "icehaul.1").read_text("utf-8")
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        for path in [f"{name} {inner}" for inner in getattr(command, "commands", ())] or [name]:
            assert f".SS icehaul {path}".replace("-", r"\-") in page
    requests = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert requests == {'.\\"', ".TH", ".SH", ".SS", ".TP", ".PP", ".B"}


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
def test_groff_finds_nothing_to_complain_of_in_the_manual_page() -> None:
    def groff(text: str) -> tuple[str, str]:
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-"], input=text, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout, done.stderr

    page = (ROOT / "docs" / "man" / "icehaul.1").read_text("utf-8")
    shown, complaints = groff(page)
    assert complaints == ""
    assert "no longer than this" in " ".join(shown.split())
    assert groff(page.replace(".SH EXIT STATUS", ".SZ EXIT STATUS"))[1] != ""
