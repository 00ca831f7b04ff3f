"""The archive of the libraries that tasks need: all of them, once, and nothing of the machine that made it."""

from __future__ import annotations

import ast
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from consumer.domain.errors import ConfigurationError
from spark import environment
from spark.environment import FOLDER, environment_digest, libraries, pack_environment
from spark.packages import archive_name, zip_packages
from spark.properties import SessionSettings, session_properties

ARCHIVE = Path("/cache/environment.tar.gz")
DRIVERS = {"spark/connect_client.py", "spark/connect_session.py", "spark/environment.py"}
"""What no task imports."""
LOG = Path("/nowhere/log4j2.properties")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of some of the libraries; the cluster's test has all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "_ROOTS", ("boto3", "thrift"))
        forget()
        yield pack_environment(tmp_path_factory.mktemp("environment"))
    forget()


def forget() -> None:
    libraries.cache_clear()
    environment_digest.cache_clear()


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
    return {name.partition(".")[0] for name in found} - sys.stdlib_module_names


def test_every_library_that_the_code_which_travels_imports_is_packed(tmp_path: Path) -> None:
    with zipfile.ZipFile(zip_packages(tmp_path)) as code:
        code.extractall(tmp_path)  # noqa: S202 - our own
    files = [path for path in tmp_path.rglob("*.py") if path.relative_to(tmp_path).as_posix() not in DRIVERS]
    needed = set().union(*map(imports_of, files)) - {"consumer", "spark", "pyspark", "py4j"}
    origins = packages_distributions()

    assert {"pyarrow", "numpy", "boto3", "pyiceberg"} <= needed
    packed = {library.name for library in libraries()}
    assert {name for name in needed if packed.isdisjoint(origins[name])} == set()


def test_the_archive_holds_nobodys_name_no_test_and_no_path_outside(archive: Path) -> None:
    with tarfile.open(archive) as packed:
        members = packed.getmembers()

    assert {(member.uid, member.gid, member.uname, member.gname) for member in members} == {(0, 0, "", "")}
    assert not [one.name for one in members if one.name.startswith(("/", "..")) or "/tests/" in one.name]
    services = {one.name.split("/")[2] for one in members if one.name.startswith("botocore/data/")}
    assert {name for name in services if "." not in name} == {"s3"}


def test_an_archive_that_is_there_is_not_made_again_and_other_libraries_have_another_name(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = archive.stat().st_mtime_ns

    assert pack_environment(archive.parent) == archive
    assert archive.stat().st_mtime_ns == made
    monkeypatch.setattr(environment, "_ROOTS", ("thrift",))
    forget()
    try:
        assert environment_digest() not in archive.name
    finally:
        forget()


def test_an_archive_that_could_not_be_finished_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(environment, "_files", full)

    with pytest.raises(OSError, match="No space left"):
        pack_environment(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_library_without_a_list_of_its_files_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    listless = libraries()[0]
    monkeypatch.setattr(type(listless), "read_text", lambda *_: None)
    forget()
    try:
        with pytest.raises(ConfigurationError, match="without a list of its files") as caught:
            libraries()
    finally:
        forget()

    assert "set spark.environment to installed" in caught.value.remedy


def properties(**given: str) -> dict[str, str]:
    settings = SessionSettings(master="spark://m:7077", driver_memory="1g", environment=ARCHIVE, conf=given)
    return session_properties(settings, LOG, scratch=Path("/scratch"))


def test_executors_are_sent_the_libraries_and_find_them_before_their_own() -> None:
    sent = properties()

    assert sent["spark.archives"] == f"{ARCHIVE}#{FOLDER}"
    assert sent["spark.executorEnv.PYTHONPATH"] == f"{FOLDER}:{archive_name()}"
    assert sent["spark.python.daemon.module"] == "spark.worker_daemon"


def test_the_operators_archives_paths_and_daemon_are_kept() -> None:
    sent = properties(
        **{
            "spark.archives": "hdfs:/models.zip#models",
            "spark.executorEnv.PYTHONPATH": "/opt/ours",
            "spark.python.daemon.module": "ours",
        }
    )

    assert sent["spark.archives"] == f"hdfs:/models.zip#models,{ARCHIVE}#{FOLDER}"
    assert sent["spark.executorEnv.PYTHONPATH"] == f"{FOLDER}:{archive_name()}:/opt/ours"
    assert sent["spark.python.daemon.module"] == "ours"


def test_tasks_on_this_machine_are_sent_nothing() -> None:
    settings = SessionSettings(master="local[2]", driver_memory="1g", environment=ARCHIVE)

    assert "spark.archives" not in session_properties(settings, LOG, scratch=Path("/scratch"))
