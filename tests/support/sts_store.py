"""The object store with an STS: roles that can be assumed, by credentials that expire."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from consumer.embedded.component import NotReadyError
from consumer.embedded.endpoints import StoreEndpoint
from consumer.embedded.object_store import ObjectStore, StorePorts
from consumer.embedded.ports import LOOPBACK, free_ports
from consumer.embedded.process import Launch, ServerProcess
from consumer.settings.connections import StoreSettings
from tests.support.waiting import wait_for

ROLE = "arn:aws:iam::role/icehaul-tasks"
_POLICY = Path(__file__).parents[2] / "ops" / "security" / "store" / "tasks.json"


@dataclass(frozen=True)
class StsStore:
    """A running store whose role's credentials last some seconds at most."""

    endpoint: StoreEndpoint

    def settings(self, role: str | None = ROLE) -> StoreSettings:
        """The settings of a consumer whose tasks take the role."""
        return StoreSettings.model_validate(
            {
                "endpoint": self.endpoint.endpoint,
                "bucket": self.endpoint.bucket,
                "access_key": self.endpoint.access_key,
                "secret_key": self.endpoint.secret_key,
                "region": self.endpoint.region,
                "task_role": role,
            }
        )


class _Store(ObjectStore):
    def __init__(self, home: Path, endpoint: StoreEndpoint, ports: StorePorts, seconds: int) -> None:
        super().__init__(home, home / "store.log", endpoint=endpoint, ports=ports, table_bucket="unused")
        self._seconds = seconds

    def prepare(self) -> None:
        super().prepare()
        (self.home / "iam.json").write_text(json.dumps(self._roles()), encoding="utf-8")

    def launch(self) -> Launch:
        launch = super().launch()
        return replace(launch, argv=(*launch.argv, "-s3.port.iceberg=0", "-s3.iam.config=iam.json"))

    def probe(self) -> None:
        try:
            self.client().create_dir(self._endpoint.bucket, recursive=False)
        except OSError as error:
            raise NotReadyError(str(error)) from error

    def _roles(self) -> dict[str, Any]:
        trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole"]}
        return {
            "sts": {
                "tokenDuration": "1h",
                "maxSessionLength": f"{self._seconds}s",
                "issuer": "icehaul-test",
                "signingKey": base64.b64encode(secrets.token_bytes(32)).decode(),
            },
            "policy": {"defaultEffect": "Deny", "storeType": "memory"},
            "roles": [
                {
                    "roleName": ROLE.rpartition("/")[2],
                    "roleArn": ROLE,
                    "trustPolicy": {"Version": "2012-10-17", "Statement": [trust]},
                    "attachedPolicies": ["tasks"],
                }
            ],
            "policies": [{"name": "tasks", "document": json.loads(_POLICY.read_text(encoding="utf-8"))}],
        }


@contextmanager
def sts_store(home: Path, *, seconds: int) -> Iterator[StsStore]:
    """Run a store in ``home``; credentials of its role expire after ``seconds``."""
    home.mkdir(parents=True, exist_ok=True)
    ports = StorePorts(*free_ports(9))
    endpoint = StoreEndpoint(
        endpoint=f"http://{LOOPBACK}:{ports.s3}",
        bucket="icehaul",
        access_key="ADMIN",
        secret_key=secrets.token_urlsafe(24),
        region="us-east-1",
    )
    store = _Store(home, endpoint, ports, seconds)
    store.prepare()
    process = ServerProcess(store.launch(), store.log_file)

    def ready() -> bool:
        try:
            store.probe()
        except NotReadyError:
            return False
        return True

    try:
        wait_for(ready, 60, "the store with an STS")
        yield StsStore(endpoint)
    finally:
        process.kill()
        store.clean_up()
