"""The Helm chart, rendered by the real Helm, and the page deploy-on-kubernetes.md."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer.entrypoints.service_manager import GRACE_SECONDS
from consumer.settings.connections import ConsumerSettings
from consumer.settings.load import load
from consumer.settings.model import Configuration
from tests.support.command_words import understand
from tests.support.programs import find_program, needs_program

pytestmark = needs_program("helm")

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "ops" / "helm" / "icehaul"
PAGE = ROOT / "docs" / "how-to" / "deploy-on-kubernetes.md"
DOCKERFILE = (ROOT / "ops" / "docker" / "Dockerfile").read_text("utf-8")
CASES = ["minimal", "full"]
KUBERNETES = ["1.27.0", "1.37.0"]
OTHERS = {"ScaledObject", "PodMonitor"}
"""Kinds that Kubernetes itself does not know."""

Object = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = str(find_program("helm"))
    return subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def template(*arguments: str, case: str = "minimal") -> subprocess.CompletedProcess[str]:
    values = str(CHART / "ci" / f"{case}-values.yaml")
    kube = ("--kube-version", KUBERNETES[-1], "--namespace", "data")
    return helm("template", "icehaul", str(CHART), *kube, "--values", values, *arguments)


@cache
def text_of(case: str, *arguments: str) -> str:
    done = template(*arguments, case=case)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(case: str, *arguments: str) -> dict[tuple[str, str], Object]:
    """What is rendered, by kind and name."""
    found = [one for one in yaml.safe_load_all(text_of(case, *arguments)) if one]
    made = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert len(made) == len(found)
    return made


def pods(case: str) -> dict[str, Object]:
    """The specifications of all pods, by component."""
    return {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]["template"]["spec"]
        for (kind, _), one in objects(case).items()
        if kind in {"Deployment", "Job"}
    }


def containers(case: str) -> dict[str, Object]:
    return {
        one["name"]: one for pod in pods(case).values() for one in [*pod.get("initContainers", []), *pod["containers"]]
    }


def environment(container: Object) -> Mapping[str, str]:
    """The variables of a container as the kubelet gives them: fields and references to other variables put in."""
    values: dict[str, str] = {}
    for one in container["env"]:
        value = one.get("value", f"<{one.get('valueFrom', {}).get('fieldRef', {}).get('fieldPath')}>")
        values[one["name"]] = re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], value)
    return values


def refused(*arguments: str, case: str = "minimal") -> str:
    done = template(*arguments, case=case)
    assert done.returncode != 0, "it was accepted"
    return done.stderr


def loaded(container: Object, config: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    """Load the configuration as a container does, with a Secret as the kubelet lays it out: behind two links."""
    secrets = {
        "icehaul_clickhouse__password": "planted\n",
        "icehaul_postgres__dsn": "postgresql://planted@there/icehaul",
    }
    version = directory / "..2026_11_26_23_00_00.123456789"
    version.mkdir()
    (directory / "..data").symlink_to(version.name)
    for name, value in secrets.items():
        (version / name).write_text(value)
        (directory / name).symlink_to(Path("..data") / name)
    for name, value in environment(container).items():
        monkeypatch.setenv(name, str(directory) if name == "ICEHAUL_SECRETS_DIR" else value)
    path = directory.parent / "icehaul.yaml"
    path.write_text(config)
    return load(path)


@pytest.mark.parametrize("case", CASES)
def test_helm_finds_nothing_to_complain_of(case: str) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(CHART / "ci" / f"{case}-values.yaml"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", KUBERNETES)
@needs_program("kubernetes-validate")
def test_every_object_follows_the_schemas_of_kubernetes(case: str, version: str, tmp_path: Path) -> None:
    path = tmp_path / "rendered.yaml"
    path.write_text(text_of(case))
    program = str(find_program("kubernetes-validate"))
    done = subprocess.run(
        [program, "--strict", "--kubernetes-version", version, str(path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    unknown = set(re.findall(r"Couldn't find schema for kind (\w+)", said))
    assert unknown == {kind for kind, _ in objects(case)} & OTHERS
    assert said.count(" passed for resource ") == len([kind for kind, _ in objects(case) if kind not in OTHERS])


@needs_program("kubernetes-validate")
def test_the_schemas_find_a_misspelt_field(tmp_path: Path) -> None:
    path = tmp_path / "rendered.yaml"
    path.write_text(text_of("minimal").replace("terminationGracePeriodSeconds", "terminationGracePeriod", 1))
    program = str(find_program("kubernetes-validate"))
    done = subprocess.run([program, "--strict", str(path)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0


def test_what_is_off_by_default_is_not_there() -> None:
    kinds = {kind for kind, _ in objects("minimal")}
    assert kinds == {
        "ConfigMap", "Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount",
    }  # fmt: skip
    assert {kind for kind, _ in objects("full")} - kinds == {"ScaledObject", "PodMonitor", "Role", "RoleBinding"}


@pytest.mark.parametrize("case", CASES)
def test_no_container_has_a_right_that_it_does_not_need(case: str) -> None:
    user = int(re.search(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)[1])  # type: ignore[index]
    for component, pod in pods(case).items():
        security = pod["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"]) == (True, user)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is (component == "consumer" and case == "full")
    for one in containers(case).values():
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert one["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in one["resources"]["limits"]


@pytest.mark.parametrize("case", CASES)
def test_what_a_process_writes_to_is_a_volume_of_its_own(case: str) -> None:
    for pod in pods(case).values():
        volumes = {one["name"]: one for one in pod["volumes"]}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            writable = {one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")}
            assert writable == {"/tmp", "/var/lib/icehaul"}  # noqa: S108 - the container's
            assert {one["name"] for one in container["volumeMounts"]} <= volumes.keys()
        assert volumes["scratch"]["emptyDir"]["sizeLimit"]
    assert "SPARK_LOCAL_DIRS=/tmp" in DOCKERFILE
    assert "ICEHAUL_CONFIG=/etc/icehaul/icehaul.yaml" in DOCKERFILE


@pytest.mark.parametrize("case", CASES)
def test_containers_run_commands_that_exist(case: str) -> None:
    commands = {name: one["args"] for name, one in containers(case).items()}
    assert commands == {"consumer": ["run"], "emitter": ["emit"], "migrate": ["migrate"], "topics": ["topics"]}
    for words in commands.values():
        understand(["icehaul", *words])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["consumer", "emitter"])
def test_probes_ask_the_process_s_own_endpoints(
    case: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = containers(case)[name]
    paths = {
        probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    source = (ROOT / "consumer" / "entrypoints" / "http.py").read_text("utf-8")
    assert all(f'"{path}"' in source for path in paths.values())
    (tmp_path / "secrets").mkdir()
    config = objects(case)["ConfigMap", "icehaul"]["data"]["icehaul.yaml"]
    section = getattr(loaded(container, config, tmp_path / "secrets", monkeypatch), name)
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert (section.http_host, section.http_port) == ("0.0.0.0", ports["http"])  # noqa: S104 - the pod's


def test_the_rendered_configuration_is_loaded_with_the_secrets_that_the_kubelet_lays_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secrets").mkdir()
    rendered = objects("full")
    config = rendered["ConfigMap", "icehaul"]["data"]["icehaul.yaml"]
    assert config == rendered["ConfigMap", "icehaul-migrate"]["data"]["icehaul.yaml"]
    configuration = loaded(containers("full")["consumer"], config, tmp_path / "secrets", monkeypatch)
    assert configuration.clickhouse.password.get_secret_value() == "planted"
    assert configuration.postgres.dsn.get_secret_value() == "postgresql://planted@there/icehaul"
    conf = configuration.spark.conf
    assert conf["spark.kubernetes.container.image"] == "registry.example/spark-python:4.1.4"
    assert conf["spark.driver.host"] == "<status.podIP>"
    assert conf["spark.kubernetes.driver.pod.name"] == "<metadata.name>"


def test_a_pod_gets_more_time_for_its_end_than_the_configuration_lets_it_take() -> None:
    defaults = ConsumerSettings()
    longest = max(defaults.shutdown_deadline_seconds, defaults.revoke_deadline_seconds)
    assert pods("minimal")["consumer"]["terminationGracePeriodSeconds"] == longest + GRACE_SECONDS
    assert pods("full")["consumer"]["terminationGracePeriodSeconds"] == 90 + GRACE_SECONDS
    slow = objects("minimal", "--set", "config.consumer.revoke_deadline_seconds=120.5")
    spec = slow["Deployment", "icehaul-consumer"]["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 121 + GRACE_SECONDS


def test_a_new_configuration_replaces_the_pods_and_the_same_does_not() -> None:
    def checksums(*arguments: str) -> set[str]:
        return {
            one["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            for (kind, _), one in objects("minimal", *arguments).items()
            if kind == "Deployment"
        }

    (before,) = checksums()
    assert checksums("--set", "consumer.replicas=5") == {before}
    (after,) = checksums("--set", "config.consumer.workers=9")
    assert after != before
    config = objects("minimal")["ConfigMap", "icehaul"]["data"]["icehaul.yaml"]
    assert before == hashlib.sha256(config.rstrip("\n").encode()).hexdigest()


@pytest.mark.parametrize("case", CASES)
def test_selectors_find_the_pods_that_they_are_for(case: str) -> None:
    rendered = objects(case)
    labels = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]["template"]["metadata"]["labels"]
        for (kind, _), one in rendered.items()
        if kind in {"Deployment", "Job"}
    }

    def found(selector: Mapping[str, str]) -> set[str]:
        return {name for name, given in labels.items() if selector.items() <= given.items()}

    for component in ("consumer", "emitter"):
        spec = rendered["Deployment", f"icehaul-{component}"]["spec"]
        assert found(spec["selector"]["matchLabels"]) == {component}
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    budget = rendered["PodDisruptionBudget", "icehaul-consumer"]["spec"]
    assert found(budget["selector"]["matchLabels"]) == {"consumer"}
    assert found(rendered["NetworkPolicy", "icehaul"]["spec"]["podSelector"]["matchLabels"]) == labels.keys()


def test_the_network_is_closed_but_for_the_servers_of_the_configuration() -> None:
    policy = objects("minimal")["NetworkPolicy", "icehaul"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == []
    assert [sorted({port["port"] for port in rule["ports"]}) for rule in policy["egress"]] == [
        [53], [5432, 8123, 9000, 9092],
    ]  # fmt: skip
    full = objects("full")["NetworkPolicy", "icehaul"]["spec"]
    assert [port["port"] for port in full["ingress"][0]["ports"]] == [8080]
    assert sorted(port["port"] for port in full["egress"][1]["ports"]) == [443, 4318, 5432, 8443, 9093]
    assert full["egress"][1]["to"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    catalog = objects("minimal", "--set", "config.catalog.uri=http://catalog.data.svc")
    assert 80 in {port["port"] for port in catalog["NetworkPolicy", "icehaul"]["spec"]["egress"][1]["ports"]}


def test_the_lag_of_the_configured_group_scales_the_consumers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secrets").mkdir()
    rendered = objects("full")
    config = rendered["ConfigMap", "icehaul"]["data"]["icehaul.yaml"]
    kafka = loaded(containers("full")["consumer"], config, tmp_path / "secrets", monkeypatch).kafka
    spec = rendered["ScaledObject", "icehaul-consumer"]["spec"]
    (trigger,) = spec["triggers"]
    metadata = trigger["metadata"]
    assert trigger["type"] == "kafka"
    assert (metadata["bootstrapServers"], metadata["consumerGroup"], metadata["topic"]) == (
        kafka.bootstrap_servers, kafka.group, kafka.topic,
    )  # fmt: skip
    assert all(isinstance(value, str) for value in metadata.values()), "KEDA takes texts only"
    assert trigger["authenticationRef"] == {"name": "kafka"}
    assert spec["scaleTargetRef"] == {"name": "icehaul-consumer"}
    assert "replicas" not in rendered["Deployment", "icehaul-consumer"]["spec"], "Helm would set back what KEDA has set"
    assert objects("minimal")["Deployment", "icehaul-consumer"]["spec"]["replicas"] == 2
    defaults = objects("minimal", "--set", "keda.enabled=true")["ScaledObject", "icehaul-consumer"]["spec"]
    bare = Configuration().kafka
    assert (defaults["triggers"][0]["metadata"]["consumerGroup"], defaults["triggers"][0]["metadata"]["topic"]) == (
        bare.group, bare.topic,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--set", "keda.enabled=true", "--set", "keda.maxReplicas=13"],
            "13 consumers find work on 12 partitions only",
        ),
        (["--set", "keda.enabled=true", "--set", "keda.minReplicas=9"], "9 is more than keda.maxReplicas, 6"),
        (["--set", "keda.minReplicas=0"], "/keda/minReplicas"),
        (["--set", "image.tag=latest"], "/image/tag"),
        (["--set", "image.digest=sha256:12"], "/image/digest"),
        (["--set", "secrets.name="], "/secrets/name"),
        (["--set", "consumer.replica=2"], "replica"),
        (["--set", "config.clickhouse.password=x"], "/config/clickhouse"),
        (["--set", "config.postgres.dsn=x"], "/config/postgres"),
        (["--set", "config.store.secret_key=x"], "/config/store"),
        (["--set", "config.kafka.secret_options.a=x"], "/config/kafka"),
        (["--set", "config.catalog.token=x"], "/config/catalog"),
        (["--set", "config.consumer.console_token=x"], "/config/consumer"),
        (["--set", "config.consumer.http_port=9"], "/config/consumer"),
        (["--set", "config.streams=null"], "streams"),
    ],
)
def test_values_that_can_not_be_meant_are_refused_by_name(arguments: list[str], complaint: str) -> None:
    assert complaint in refused(*arguments)


def test_every_secret_of_the_configuration_is_refused_in_the_values() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))["properties"]["config"]["properties"]
    for section, model in Configuration.model_fields.items():
        for name, field in getattr(model.annotation, "model_fields", {}).items():
            if "SecretStr" in str(field.annotation):
                forbidden = [one for rule in schema[section]["not"]["anyOf"] for one in rule["required"]]
                assert name in forbidden, f"{section}.{name}"


def test_the_schema_knows_every_value_and_no_other() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    assert schema["properties"].keys() - values.keys() == {"global", "nameOverride", "fullnameOverride"}
    for name, section in values.items():
        inner = schema["properties"][name]
        if isinstance(section, dict) and name != "config":
            assert inner["properties"].keys() == section.keys(), name


def test_secrets_are_named_and_never_written() -> None:
    assert not [kind for kind, _ in objects("full") if kind == "Secret"]
    named = {
        (component, volume["name"]): volume["secret"]["secretName"]
        for component, pod in pods("full").items()
        for volume in pod["volumes"]
        if "secret" in volume
    }
    assert named == {
        ("consumer", "secrets"): "icehaul-consumer",
        ("emitter", "secrets"): "icehaul-consumer",
        ("migrate", "owner"): "icehaul-owner",
        ("migrate", "operator"): "icehaul-operator",
    }


def test_the_migration_comes_before_everything_else_with_all_that_it_needs() -> None:
    rendered = objects("minimal")
    hooks = {
        key: int(one["metadata"]["annotations"]["helm.sh/hook-weight"])
        for key, one in rendered.items()
        if "helm.sh/hook" in one["metadata"].get("annotations", {})
    }
    assert hooks == {("ConfigMap", "icehaul-migrate"): -5, ("Job", "icehaul-migrate"): 0}
    pod = pods("minimal")["migrate"]
    assert [one["name"] for one in pod["initContainers"]] == ["migrate"]
    assert "serviceAccountName" not in pod, "the release's own comes after the hook"


def test_the_versions_are_those_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    version = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version is not None
    assert chart["appVersion"] == version[1]


def test_the_page_s_values_are_accepted_by_its_commands(tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    (values,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "values.yaml"
    path.write_text(values)
    (block,) = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    for line in block.splitlines():
        program, *words = shlex.split(line)
        assert program == "helm"
        done = helm(*(str(path) if word == "values.yaml" else word for word in words))
        assert done.returncode == 0, done.stderr
