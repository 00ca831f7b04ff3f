"""What Spark asks of Kubernetes and of YARN for icehaul, as docs/how-to/use-a-spark-cluster.md configures it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from consumer.adapters.spark.access import open_session
from consumer.adapters.spark.engine import SparkEngine
from consumer.domain.errors import EngineFailedError
from consumer.embedded.java import find_java_home
from consumer.settings.cache import cache_directory
from consumer.settings.connections import SparkSettings
from spark import unit_offload
from spark.environment import FOLDER, environment_digest
from spark.packages import archive_name
from spark.results import collect
from spark.session import Session
from tests.support.bare_python import bare_python
from tests.support.kubernetes_api import KubernetesApi, kubernetes_api
from tests.support.yarn_resource_manager import REFUSAL, ResourceManager, resource_manager

# The cluster's test shows the same on a standalone master.
pytestmark = [pytest.mark.spark, pytest.mark.thorough]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-a-spark-cluster.md"
HERE = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
SECRET = "planted-0123456789"


@pytest.fixture(autouse=True)
def planted_secret(monkeypatch: pytest.MonkeyPatch, spark_engine: SparkEngine) -> None:
    # A process has one Spark context; the shared engine starts anew with its next batch.
    spark_engine.stop()
    monkeypatch.setenv("ICEHAUL_STORE__SECRET_KEY", SECRET)
    monkeypatch.setenv("JAVA_HOME", str(find_java_home(cache_directory())))


def shown(heading: str) -> dict[str, Any]:
    """The settings of Spark under a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    (block, *_) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    return dict(yaml.safe_load(block)["spark"])


@pytest.fixture
def kubernetes(tmp_path: Path) -> Iterator[KubernetesApi]:
    with kubernetes_api(tmp_path / "pods", find_java_home(cache_directory())) as api:
        yield api


@pytest.fixture
def on_kubernetes(kubernetes: KubernetesApi, tmp_path: Path) -> Iterator[Session]:
    spark = shown("Kubernetes")
    assert spark["master"].startswith("k8s://https://")
    here = HERE | {
        "spark.driver.port": "0",
        "spark.blockManager.port": "0",
        "spark.pyspark.python": str(bare_python(tmp_path / "python")),
        # The server here answers questions only, and tells no news.
        "spark.kubernetes.executor.enableApiWatcher": "false",
        "spark.kubernetes.executor.apiPollingInterval": "1s",
    }
    settings = SparkSettings.model_validate(spark | {"master": f"k8s://{kubernetes.url}", "conf": spark["conf"] | here})
    session = open_session(settings)
    assert isinstance(session, Session)
    yield session
    session.stop()


def test_kubernetes_is_asked_for_executors_without_secrets_which_run_what_they_are_sent(
    kubernetes: KubernetesApi, on_kubernetes: Session
) -> None:
    tasks = on_kubernetes.context.parallelize([0], 1)
    ((code, library),) = collect(tasks.map(lambda _: (str(unit_offload.__file__), str(pa.__file__))))

    assert f"/{archive_name()}/spark/" in code
    assert library.endswith(f"/{FOLDER}/pyarrow/__init__.py")
    conf = shown("Kubernetes")["conf"]
    pods = list(kubernetes.objects["pods"].values())
    assert len(pods) == int(conf["spark.executor.instances"])
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert container["image"] == conf["spark.kubernetes.container.image"]
        assert container["resources"]["limits"]["memory"] == "1536Mi"
        given = {one["name"]: one.get("value") for one in container["env"]}
        assert given["PYTHONPATH"] == f"{FOLDER}:{archive_name()}"
    assert "ICEHAUL" not in json.dumps(kubernetes.objects)
    assert SECRET not in json.dumps(kubernetes.objects)


@pytest.fixture
def yarn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResourceManager]:
    with resource_manager() as manager:
        monkeypatch.setenv("HADOOP_CONF_DIR", str(manager.configuration(tmp_path)))
        yield manager


def test_yarn_is_given_the_libraries_as_a_resource_and_no_secret(yarn: ResourceManager) -> None:
    spark = shown("YARN")
    settings = SparkSettings.model_validate(spark | {"conf": spark["conf"] | HERE})

    with pytest.raises(EngineFailedError, match="Spark did not start on yarn") as caught:
        open_session(settings)

    assert REFUSAL in caught.value.message
    (submission,) = yarn.submissions
    assert submission.resources[FOLDER].endswith(f"/{FOLDER}-{environment_digest()}.tar.gz")
    assert not [name for name in submission.resources if name.endswith(".jar")], "Spark itself was not uploaded"
    assert re.search(
        rf"^spark\.executorEnv\.PYTHONPATH={FOLDER}\\?:{archive_name()}", submission.properties, re.MULTILINE
    )
    assert "ExecutorLauncher" in " ".join(submission.commands)
    assert SECRET not in str(submission)
    assert "ICEHAUL" not in str(submission)
