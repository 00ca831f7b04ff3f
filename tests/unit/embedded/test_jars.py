from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from consumer.embedded import jars
from consumer.embedded.errors import JarsError
from consumer.embedded.ivy import maven_mirror, resolution_settings

SET = jars.JarSet(name="sample", coordinates=("org.example:a:1", "org.example:b:2"), transitive=False)
CONTENT = {"org.example_a-1.jar": b"first", "org.example_b-2.jar": b"second"}


class Repository:
    """Stands in for Ivy and the network."""

    def __init__(self) -> None:
        self.content = dict(CONTENT)
        self.resolved = 0

    def __call__(self, jar_set: jars.JarSet, target: Path, *, java_home: Path, log_file: Path) -> None:
        self.resolved += 1
        for name, content in self.content.items():
            (target / name).write_bytes(content)


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Repository:
    stub = Repository()
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(jars, "resolve", stub)
    monkeypatch.setattr(jars, "locked", lambda _: checksums)
    return stub


@pytest.fixture
def fetch(tmp_path: Path, repository: Repository) -> Callable[[], tuple[Path, ...]]:
    return lambda: jars.fetch(SET, java_home=tmp_path, cache=tmp_path / "cache", log_file=tmp_path / "log")


def test_are_resolved_once_and_then_taken_from_the_cache(
    fetch: Callable[[], tuple[Path, ...]], repository: Repository
) -> None:
    first = fetch()
    assert {path.name: path.read_bytes() for path in first} == CONTENT
    assert fetch() == first
    assert repository.resolved == 1


def test_of_the_stack_and_its_tests_can_be_fetched_beforehand(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "cache_directory", lambda: tmp_path)
    monkeypatch.setattr(jars, "find_java_home", lambda cache: cache)
    for _ in range(2):
        jars.main(["--fetch"])
    found = {home.name.rpartition("-")[0] for home in (tmp_path / "jars").iterdir() if home.is_dir()}
    assert found == {"kafka", "kafka-tools", "spark"}
    assert repository.resolved == 3


def test_asked_for_by_many_at_once_are_resolved_once(
    fetch: Callable[[], tuple[Path, ...]], repository: Repository
) -> None:
    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert repository.resolved == 1


def test_that_differ_from_the_lock_are_refused(fetch: Callable[[], tuple[Path, ...]], repository: Repository) -> None:
    repository.content["org.example_b-2.jar"] = b"something else"
    with pytest.raises(JarsError, match=r"wrong checksum: org.example_b-2.jar"):
        fetch()


def test_that_are_missing_or_unlisted_are_refused(
    fetch: Callable[[], tuple[Path, ...]], repository: Repository
) -> None:
    del repository.content["org.example_b-2.jar"]
    repository.content["org.evil_x-1.jar"] = b"stowaway"
    with pytest.raises(JarsError, match=r"missing: org.example_b-2.jar; not in jars.lock: org.evil_x-1.jar"):
        fetch()


def test_changed_in_the_cache_are_found_at_the_next_start(fetch: Callable[[], tuple[Path, ...]]) -> None:
    path = fetch()[0]
    path.write_bytes(b"tampered")
    with pytest.raises(JarsError, match=f"wrong checksum: {path.name}"):
        fetch()


def test_removed_from_the_cache_are_fetched_again(
    fetch: Callable[[], tuple[Path, ...]], repository: Repository
) -> None:
    path = fetch()[0]
    path.unlink()
    assert fetch()[0].read_bytes() == CONTENT[path.name]
    assert repository.resolved == 2


@pytest.mark.parametrize("jar_set", jars.ALL_SETS, ids=lambda jar_set: jar_set.name)
def test_the_committed_lock_covers_every_coordinate(jar_set: jars.JarSet) -> None:
    files = jars.locked(jar_set)
    for coordinate in jar_set.coordinates:
        organisation, *rest = coordinate.split(":")
        assert f"{organisation}_{'-'.join(rest)}.jar" in files
    assert all(len(checksum) == 64 for checksum in files.values())


def settings_file(home: Path, mirror_of: str, namespace: str = "") -> Path:
    path = home / ".m2" / "settings.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<settings{namespace}><mirrors>"
        "<mirror><id>other</id><mirrorOf>someone-else</mirrorOf><url>http://localhost/other</url></mirror>"
        f"<mirror><id>m</id><mirrorOf>{mirror_of}</mirrorOf><url>http://localhost/maven?a=1&amp;b=2</url></mirror>"
        "</mirrors></settings>"
    )
    return path


@pytest.mark.parametrize("mirror_of", ["*", "central", "external:*", "a, central"])
@pytest.mark.parametrize("namespace", ["", ' xmlns="urn:maven:settings"'])
def test_a_mirror_in_the_maven_settings_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror_of: str, namespace: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings_file(tmp_path, mirror_of, namespace)
    option, file = resolution_settings(tmp_path, checksums=False)
    assert option == "-settings"
    assert 'root="http://localhost/maven?a=1&amp;b=2"' in Path(file).read_text()


@pytest.mark.parametrize("mirror_of", ["snapshots", "*,!central", "external:http:*"])
def test_a_mirror_of_other_repositories_is_not_used(tmp_path: Path, mirror_of: str) -> None:
    assert maven_mirror(settings_file(tmp_path, mirror_of)) is None


def test_without_any_settings_ivy_decides_where_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    _, file = resolution_settings(tmp_path, checksums=False)
    assert "root=" not in Path(file).read_text()


def test_the_users_own_ivy_settings_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own = tmp_path / ".ivy2" / "ivysettings.xml"
    own.parent.mkdir()
    own.write_text("<ivysettings/>")
    assert resolution_settings(tmp_path, checksums=False) == ("-settings", str(own))
    assert own.read_text() == "<ivysettings/>"


def test_a_download_is_announced_and_the_cache_is_silent(tmp_path: Path, repository: Repository) -> None:
    heard: list[str] = []
    for _ in range(2):
        jars.fetch(SET, java_home=tmp_path, cache=tmp_path / "cache", log_file=tmp_path / "log", announce=heard.append)
    assert repository.resolved == 1
    assert len(heard) == 1
    assert "downloading 2 jars" in heard[0]
