from __future__ import annotations

import ipaddress
import json
import re
import runpy
import stat
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pyspark
import pytest
import yaml

from consumer.entrypoints.cli.main import app
from consumer.settings.load import load
from tests.support.programs import find_program, needs_program

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = sorted(name for name, service in SERVICES.items() if service["restart"] != "no")
JOBS = sorted(SERVICES.keys() - SERVERS)
ADDED = {
    "observability": ["grafana", "prometheus"],
    "cluster": ["spark-master", "spark-worker"],
}
"""What a profile adds to the stack that is started without one."""
OURS = sorted(name for name, service in SERVICES.items() if service["image"].startswith("icehaul:"))
COMMANDS = sorted(name for name, service in SERVICES.items() if "build" in service)
# An exact release: two dotted numbers at least, not a moving name such as 18, latest or lts.
EXACT = re.compile(r"^v?\d+\.\d+(\.\d+)*([.-][\w.]+)*$")
SECRETS = "/run/secrets/"


def tag(image: str) -> str:
    """The image's tag, with Compose's default for a variable put in."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", image).rpartition(":")[2]


def makes_secrets(directory: Path) -> list[str]:
    script = runpy.run_path(str(ROOT / "ops" / "docker" / "make_secrets.py"))
    made: list[str] = script["make"](directory)
    return made


def test_follows_the_compose_specification() -> None:
    schema = json.loads(files("check_jsonschema.builtin_schemas.vendor").joinpath("compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_the_schema_finds_a_misspelt_key() -> None:
    schema = json.loads(files("check_jsonschema.builtin_schemas.vendor").joinpath("compose-spec.json").read_text())
    broken = {"services": {"kafka": {"image": "apache/kafka:4.3.1", "helthcheck": {}}}}
    assert not jsonschema.Draft202012Validator(schema).is_valid(broken)


def test_has_the_parts_of_the_stack() -> None:
    added = [name for names in ADDED.values() for name in names]
    assert sorted(set(SERVERS) - set(added)) == ["clickhouse", "consumer", "emitter", "kafka", "postgres", "store"]
    assert JOBS == ["bucket", "migrate", "tables", "topics"]
    assert SERVICES["consumer"]["deploy"]["replicas"] == 2
    assert tag(SERVICES["clickhouse"]["image"]).startswith("24.3.")


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_an_exact_release(name: str) -> None:
    assert EXACT.match(tag(SERVICES[name]["image"])), SERVICES[name]["image"]


@pytest.mark.parametrize("name", SERVERS)
def test_every_server_has_a_bounded_health_check_and_comes_back(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_waits_for_servers_to_be_healthy_and_for_jobs_to_succeed(name: str) -> None:
    for other, condition in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if other in JOBS else "service_healthy"
        assert condition == {"condition": expected}, other


@pytest.mark.parametrize("name", ["consumer", "emitter"])
def test_consumers_and_emitter_wait_for_everything_else(name: str) -> None:
    assert SERVICES[name]["depends_on"].keys() == {n for n in SERVICES if "profiles" not in SERVICES[n]} - {
        "consumer",
        "emitter",
    }


@pytest.mark.parametrize("profile", ADDED)
def test_a_profile_adds_its_services_and_nothing_else_needs_them(profile: str) -> None:
    assert sorted(name for name, service in SERVICES.items() if service.get("profiles") == [profile]) == ADDED[profile]
    for name, service in SERVICES.items():
        if profile not in service.get("profiles", []):
            assert not set(ADDED[profile]) & service.get("depends_on", {}).keys(), name
    assert f"--profile {profile} up" in (ROOT / "docker-compose.yml").read_text()


def test_prometheus_finds_every_container_and_has_the_rules(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / COMPOSE["configs"]["prometheus"]["file"]).read_text())
    (job,) = config["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == {"consumer", "emitter"}
    configuration = yaml.safe_load((ROOT / "ops" / "docker" / "icehaul.yaml").read_text())
    for section in found["names"]:
        assert configuration[section]["http_port"] == found["port"]
        assert configuration[section]["http_host"] == "0.0.0.0"  # noqa: S104 - the container's
    assert job["job_name"] == "icehaul", "the alerts ask for this job"
    assert "http://prometheus:9090" in (ROOT / "ops/grafana/provisioning/datasources/prometheus.yml").read_text()


@needs_program("promtool")
def test_prometheus_accepts_its_configuration_as_it_is_mounted(tmp_path: Path) -> None:
    mounted = tmp_path / "config" / "prometheus.yml"
    mounted.parent.mkdir()
    mounted.write_text((ROOT / COMPOSE["configs"]["prometheus"]["file"]).read_text())
    (rules,) = [one for one in SERVICES["prometheus"]["volumes"] if "ops/prometheus" in one]
    host, inside, mode = rules.split(":")
    assert (inside, mode) == ("/etc/prometheus/rules", "ro")
    (tmp_path / "rules").symlink_to(ROOT / host)
    program = str(find_program("promtool"))
    done = subprocess.run([program, "check", "config", str(mounted)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "recording.yml" in done.stdout


def test_the_cluster_is_made_of_the_image_that_the_consumers_have() -> None:
    for name in ADDED["cluster"]:
        assert SERVICES[name]["image"] == SERVICES["consumer"]["image"]
        program = Path(pyspark.__path__[0]) / "bin" / SERVICES[name]["entrypoint"][-1]
        assert program.exists()
    address = SERVICES["spark-worker"]["command"][-1]
    command = SERVICES["spark-master"]["command"]
    assert address == f"spark://{command[command.index('--host') + 1]}:{command[command.index('--port') + 1]}"
    assert f"SPARK_MASTER={address} docker compose" in (ROOT / "docker-compose.yml").read_text()
    assert SERVICES["consumer"]["environment"]["ICEHAUL_SPARK__MASTER"] == "${SPARK_MASTER:-local[2]}"


@pytest.mark.parametrize("name", SERVICES)
def test_can_run_many_times_side_by_side_and_publishes_on_loopback_only(name: str) -> None:
    service = SERVICES[name]
    assert "container_name" not in service
    assert service.get("network_mode") is None
    for port in service.get("ports", []):
        assert ipaddress.ip_address(port.split(":")[0]).is_loopback, port


@pytest.mark.parametrize("name", SERVICES)
def test_holds_no_secret_in_its_environment_or_command(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search(r"PASSWORD|SECRETS|DSN", variable):
            assert value.startswith(SECRETS.rstrip("/")), variable
    command = json.dumps([SERVICES[name].get(part) for part in ("command", "entrypoint", "healthcheck")])
    assert not re.search(r"password[= ](?!\$\$)[\w\"']", command, re.IGNORECASE)


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_rights_and_no_writable_image(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", COMMANDS)
def test_our_commands_exist(name: str) -> None:
    known = {command.name for command in app.registered_commands}
    assert SERVICES[name]["command"][0] in known


def test_the_script_makes_exactly_the_secrets_that_are_mounted(tmp_path: Path) -> None:
    made = makes_secrets(tmp_path / "secrets")
    assert made == sorted(Path(secret["file"]).name for secret in COMPOSE["secrets"].values())
    assert {secret["file"].rpartition("/")[0] for secret in COMPOSE["secrets"].values()} == {"var/compose/secrets"}
    mounted = {
        secret if isinstance(secret, str) else secret["source"]
        for service in SERVICES.values()
        for secret in service.get("secrets", [])
    }
    assert mounted == set(made)


def test_the_script_closes_the_directory_and_keeps_what_exists(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    makes_secrets(directory)
    before = {path.name: path.read_text() for path in directory.iterdir()}
    makes_secrets(directory)
    assert {path.name: path.read_text() for path in directory.iterdir()} == before
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert before["postgres_password"] in before["icehaul_postgres__dsn"]
    assert before["icehaul_store__secret_key"] in before["s3.json"]


def test_the_configuration_and_the_secrets_fit_the_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    makes_secrets(tmp_path / "secrets")
    mounted = SERVICES["consumer"]["secrets"]
    run_secrets = tmp_path / "run"
    run_secrets.mkdir()
    for name in mounted:
        (run_secrets / name).write_text((tmp_path / "secrets" / name).read_text())
    monkeypatch.setenv("ICEHAUL_SECRETS_DIR", str(run_secrets))
    configuration = load(ROOT / "ops" / "docker" / "icehaul.yaml")
    assert configuration.clickhouse.host in SERVICES
    assert configuration.kafka.bootstrap_servers.partition(":")[0] in SERVICES
    assert configuration.store.endpoint == "http://store:8333"
    assert "@postgres:5432/" in configuration.postgres.dsn.get_secret_value()
    assert configuration.store.secret_key is not None
    assert configuration.store.access_key
    published = SERVICES["consumer"]["ports"][0].rpartition(":")[2]
    assert str(configuration.consumer.http_port) == published
    table = configuration.streams[0].source
    assert f"CREATE TABLE IF NOT EXISTS {table}\n" in (ROOT / "ops" / "docker" / "clickhouse.sql").read_text()
