"""`icehaul spark package` makes the archive of the tasks' libraries, and says how Spark is told of it."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumer.entrypoints.cli.main import app
from spark import environment
from spark.environment import FOLDER, environment_digest, libraries


@pytest.fixture(autouse=True)
def few_libraries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(environment, "_ROOTS", ("thrift",))
    for remembered in (libraries, environment_digest):
        remembered.cache_clear()
    yield
    for remembered in (libraries, environment_digest):
        remembered.cache_clear()


def test_the_archive_is_made_where_it_is_asked_for_with_the_properties_that_send_it(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["spark", "package", "--into", str(tmp_path), "--output", "json"])

    found = json.loads(done.stdout)
    (archive,) = tmp_path.iterdir()
    assert found["archive"] == str(archive)
    assert "thrift" in found["libraries"]
    assert found["properties"] == {
        "spark.archives": f"{archive}#{FOLDER}",
        "spark.executorEnv.PYTHONPATH": FOLDER,
    }
    with tarfile.open(archive) as packed:
        assert "thrift/__init__.py" in packed.getnames()


def test_people_are_given_the_properties_as_spark_submit_takes_them(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["spark", "package", "--into", str(tmp_path)], env={"COLUMNS": "400"})

    (archive,) = tmp_path.iterdir()
    assert f"--conf spark.archives={archive}#{FOLDER}" in done.stdout
    assert f"--conf spark.executorEnv.PYTHONPATH={FOLDER}" in done.stdout


def test_a_folder_that_takes_no_files_is_told_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = CliRunner().invoke(app, ["spark", "package", "--into", str(tmp_path / "file" / "below")])

    assert "can't be packed into" in str(done.exception)
