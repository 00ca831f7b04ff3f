"""Ivy itself resolves from the mirror of the user's Maven settings, and asks it for files only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from consumer.embedded.jars import JarSet, resolve
from consumer.embedded.java import find_java_home
from consumer.settings.cache import cache_directory

PLACE = "/maven/org/example/a/1/a-1"
FILES = {
    f"{PLACE}.pom": b"<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId>"
    b"<artifactId>a</artifactId><version>1</version></project>",
    f"{PLACE}.jar": b"PK\x05\x06" + bytes(18),
}


class Mirror(BaseHTTPRequestHandler):
    """Serves one artifact, and keeps what it was asked for."""

    asked: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        self.asked.add(self.path)
        body = FILES.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body or b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror() -> Iterator[str]:
    Mirror.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/maven"
        server.shutdown()


def test_checksums_are_asked_for_only_where_the_lock_is_made(
    mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java_home = find_java_home(cache_directory())
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2" / "settings.xml").write_text(
        f"<settings><mirrors><mirror><mirrorOf>central</mirrorOf><url>{mirror}</url></mirror></mirrors></settings>"
    )
    found = JarSet(name="sample", coordinates=("org.example:a:1",), transitive=True)

    resolve(found, tmp_path / "jars", java_home=java_home, log_file=tmp_path / "ivy.log")

    assert [path.name for path in (tmp_path / "jars").iterdir()] == ["org.example_a-1.jar"]
    assert FILES.keys() <= Mirror.asked
    assert not [path for path in Mirror.asked if path.endswith((".sha1", ".md5", ".sha256"))]

    Mirror.asked.clear()
    # As the lock is made.
    resolve(found, tmp_path / "again", java_home=java_home, log_file=tmp_path / "ivy.log", checksums=True)

    assert {f"{PLACE}.jar.sha1", f"{PLACE}.pom.sha1"} <= Mirror.asked
