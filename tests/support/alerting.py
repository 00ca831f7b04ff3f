"""A real Alertmanager and a real Prometheus on free ports of this machine, for one test or module."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml

from tests.support.programs import find_program
from tests.support.waiting import wait_for

RULE_FILES = sorted((Path(__file__).resolve().parents[2] / "ops" / "prometheus").glob("*.yml"))

_DEBIANS_TEMPLATES = b"/usr/share/prometheus/alertmanager"
_OF_THE_FOLDER = b"/proc/self/cwd/./././/alertmanager"
_DEADLINE_S = 30.0


def program(name: str) -> Path:
    """Return a program that the test's marker has made sure of."""
    found = find_program(name)
    assert found is not None, name
    return found


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers at ``url``."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def ready(self) -> bool:
        """Whether it has read its data and answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=60) as answer:  # noqa: S310 - our own server
                return bool(answer.status == HTTPStatus.OK)
        except urllib.error.HTTPError as refused:
            refused.close()
            return False

    def get(self, path: str, **parameters: str) -> Any:
        """Return what a path answers, from JSON."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with urllib.request.urlopen(f"{self.url}{path}{query}", timeout=60) as answer:  # noqa: S310 - our own server
            return json.load(answer)

    def post(self, path: str, document: object) -> None:
        """Send JSON to a path."""
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.url}{path}", json.dumps(document).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60):  # noqa: S310 - our own server
            pass


@contextmanager
def _serving(command: Sequence[str | Path], folder: Path, log: Path) -> Iterator[Server]:
    """Run a server that takes a free port, and read that from its log."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:

        def listening() -> re.Match[str] | None:
            text = log.read_text(encoding="utf-8")
            assert process.poll() is None, text
            return re.search(r'msg="Listening on" address=(127\.0\.0\.1:[1-9]\d*)', text)

        address = wait_for(listening, _DEADLINE_S, f"the port of {command[0]} in {log}").group(1)
        server = Server(process, f"http://{address}", log)
        wait_for(server.ready, _DEADLINE_S, f"{command[0]} to be ready, see {log}")
        yield server
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def alertmanager(configuration: Path, directory: Path) -> Iterator[Server]:
    """Run Alertmanager by a configuration, alone and with its data in ``directory``."""
    binary, folder = _with_templates(program("prometheus-alertmanager"), directory)
    command: list[str | Path] = [
        binary,
        f"--config.file={configuration}",
        f"--storage.path={directory / 'alertmanager'}",
        "--web.listen-address=127.0.0.1:0",
        "--web.external-url=http://alertmanager.example",
        "--web.route-prefix=/",
        "--cluster.listen-address=",
    ]
    with _serving(command, folder, directory / "alertmanager.log") as server:
        yield server


@contextmanager
def prometheus(configuration: Mapping[str, object], directory: Path) -> Iterator[Server]:
    """Run Prometheus by a configuration, with its data in ``directory``."""
    path = directory / "prometheus.yml"
    path.write_text(yaml.safe_dump(dict(configuration)), encoding="utf-8")
    command: list[str | Path] = [
        program("prometheus"),
        f"--config.file={path}",
        f"--storage.tsdb.path={directory / 'prometheus'}",
        "--web.listen-address=127.0.0.1:0",
        "--web.external-url=http://prometheus.example",
        "--web.route-prefix=/",
    ]
    with _serving(command, directory, directory / "prometheus.log") as server:
        yield server


def _with_templates(binary: Path, directory: Path) -> tuple[Path, Path]:
    """Return an Alertmanager that finds its own templates, and the folder that it has to be started in.

    Debian's looks for them at an absolute path, where nothing is if the package was only unpacked: a copy is made that
    looks in the folder that it is started in, as packages are relocated elsewhere too.
    """
    shared = binary.parents[1] / "share" / "prometheus"
    if not (shared / "alertmanager" / "default.tmpl").exists() or shared == Path("/usr/share/prometheus"):
        return binary, directory
    image = binary.read_bytes()
    place = image.index(_DEBIANS_TEMPLATES)
    copy = directory / "prometheus-alertmanager"
    copy.write_bytes(image[:place] + _OF_THE_FOLDER + image[place + len(_OF_THE_FOLDER) :])
    copy.chmod(0o755)
    return copy, shared
