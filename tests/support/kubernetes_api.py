"""A Kubernetes API server as far as Spark needs one, and a node that runs the pods' processes on this machine.

It keeps what it is sent, and starts for each executor's pod what the entry point of Spark's image would start, with the
pod's own variables and nothing of this process's. It schedules, isolates and pulls nothing.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyspark

_LOOPBACK = "127.0.0.1"
_SPARK = Path(pyspark.__path__[0])
_BACKEND = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
_STOP_GRACE_S = 10.0
_JAVA_OPTION = "SPARK_JAVA_OPT_"


@dataclass
class KubernetesApi:
    """What the server holds, by kind and name, and the processes of the pods."""

    directory: Path
    java_home: Path
    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {"pods": {}, "configmaps": {}})
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def create(self, kind: str, sent: dict[str, Any]) -> dict[str, Any]:
        """Keep an object, and start a pod's process."""
        with self.lock:
            name = sent["metadata"]["name"]
            number = sum(map(len, self.objects.values())) + 1
            sent["metadata"] |= {"uid": f"uid-{number}", "resourceVersion": str(number), "namespace": "default"}
            self.objects.setdefault(kind, {})[name] = sent
            if kind == "pods":
                self.processes[name] = self._run(name, sent["spec"]["containers"][0])
            return sent

    def listed(self, kind: str) -> dict[str, Any]:
        """Return all objects of a kind, pods with the phase of their process."""
        with self.lock:
            found = list(self.objects.get(kind, {}).values())
            for pod in found if kind == "pods" else ():
                code = self.processes[pod["metadata"]["name"]].poll()
                pod["status"] = {"phase": "Running" if code is None else "Failed", "podIP": _LOOPBACK}
            return {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": found}

    def delete(self, kind: str) -> None:
        """Delete all objects of a kind, and end the pods' processes."""
        with self.lock:
            self.objects[kind] = {}
        if kind == "pods":
            self.stop()

    def stop(self) -> None:
        """End the processes of all pods."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(_STOP_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _run(self, name: str, container: dict[str, Any]) -> subprocess.Popen[bytes]:
        home = self.directory / name
        home.mkdir(parents=True)
        of_the_pod = {"status.podIP": _LOOPBACK, "metadata.name": name}
        given = {
            one["name"]: one["value"] if "value" in one else of_the_pod[one["valueFrom"]["fieldRef"]["fieldPath"]]
            for one in container["env"]
        }
        options = [value for option, value in given.items() if option.startswith(_JAVA_OPTION)]
        assert container["args"] == ["executor"]
        command = (
            str(self.java_home / "bin" / "java"),
            *(*options, f"-Xms{given['SPARK_EXECUTOR_MEMORY']}", f"-Xmx{given['SPARK_EXECUTOR_MEMORY']}"),
            *("-cp", f"{_SPARK / 'jars'}/*", _BACKEND, "--driver-url", given["SPARK_DRIVER_URL"]),
            *("--executor-id", given["SPARK_EXECUTOR_ID"], "--cores", given["SPARK_EXECUTOR_CORES"]),
            *("--app-id", given["SPARK_APPLICATION_ID"], "--hostname", given["SPARK_EXECUTOR_POD_IP"]),
            *("--resourceProfileId", given["SPARK_RESOURCE_PROFILE_ID"], "--podName", given["SPARK_EXECUTOR_POD_NAME"]),
        )
        # The image knows where Spark is; the path finds the tools that unpack archives.
        environment = given | {"SPARK_HOME": str(_SPARK), "PATH": "/usr/bin:/bin", "SPARK_LOCAL_DIRS": str(home)}
        with (home / "executor.log").open("wb") as log:
            return subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log)


def _handler(api: KubernetesApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._answer(201, api.create(self._kind(), self._body()))

        def do_GET(self) -> None:
            name = urlsplit(self.path).path.split("/")[6:]
            listed = api.listed(self._kind())
            if not name:
                self._answer(200, listed)
                return
            found = [one for one in listed["items"] if one["metadata"]["name"] == name[0]]
            self._answer(200 if found else 404, found[0] if found else _status(404))

        def do_PATCH(self) -> None:
            self._body()
            self._answer(200, _status(200))

        def do_DELETE(self) -> None:
            self._body()
            api.delete(self._kind())
            self._answer(200, _status(200))

        def _kind(self) -> str:
            return urlsplit(self.path).path.split("/")[5]

        def _body(self) -> dict[str, Any]:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return dict(json.loads(content)) if content.startswith(b"{") else {}

        def _answer(self, code: int, document: dict[str, Any]) -> None:
            content = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _status(code: int) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Status", "code": code, "status": "Success" if code == 200 else "Failure"}


@contextmanager
def kubernetes_api(directory: Path, java_home: Path) -> Iterator[KubernetesApi]:
    """Serve the API on loopback; server and pods end with the block."""
    api = KubernetesApi(directory, java_home)
    with ThreadingHTTPServer((_LOOPBACK, 0), _handler(api)) as server:
        api.url = f"http://{_LOOPBACK}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield api
        finally:
            api.stop()
            server.shutdown()
            thread.join()
