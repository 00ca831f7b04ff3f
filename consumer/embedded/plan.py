"""What a stack decides once and keeps: ports and secrets, in ``plan.json`` of its directory."""

from __future__ import annotations

import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from consumer.domain.errors import EmbeddedStackError
from consumer.embedded.component import ComponentName
from consumer.embedded.endpoints import (
    ClickHouseEndpoint,
    KafkaEndpoint,
    PostgresEndpoint,
    RestCatalogEndpoint,
    StoreEndpoint,
)
from consumer.embedded.object_store import StorePorts
from consumer.embedded.ports import LOOPBACK, free_ports, is_free
from consumer.embedded.private_files import write_model

_PORT_COUNT = {
    ComponentName.CLICKHOUSE: 1,
    ComponentName.KAFKA: 2,
    ComponentName.POSTGRES: 1,
    ComponentName.STORE: 9,
}
_ACCOUNT = "icehaul"
_BUCKET = "icehaul"
_TABLE_BUCKET = "icehaul-tables"
_REGION = "us-east-1"


class Plan(BaseModel):
    """Ports by component, and the secrets of one stack; both survive ``down`` and the next ``up``."""

    model_config = ConfigDict(extra="forbid")

    ports: dict[ComponentName, list[int]]
    clickhouse_password: str
    postgres_password: str
    access_key: str
    secret_key: str

    @classmethod
    def new(cls) -> Plan:
        """Fresh ports and secrets."""
        ports = free_ports(sum(_PORT_COUNT.values()))
        return cls(
            ports={name: [ports.pop() for _ in range(count)] for name, count in _PORT_COUNT.items()},
            clickhouse_password=secrets.token_urlsafe(18),
            postgres_password=secrets.token_urlsafe(18),
            access_key=secrets.token_hex(10).upper(),
            secret_key=secrets.token_urlsafe(30),
        )

    def with_new_ports(self, name: ComponentName) -> Plan:
        """The same plan with other ports for one component."""
        taken = {port for ports in self.ports.values() for port in ports}
        return self.model_copy(update={"ports": {**self.ports, name: free_ports(_PORT_COUNT[name], avoiding=taken)}})

    def with_free_ports(self) -> Plan:
        """The same plan, with other ports for components one of whose ports is in use."""
        plan = self
        for name, ports in self.ports.items():
            if not all(is_free(port) for port in ports):
                plan = plan.with_new_ports(name)
        return plan

    @property
    def clickhouse(self) -> ClickHouseEndpoint:
        """Where the hot tier listens."""
        port = self.ports[ComponentName.CLICKHOUSE][0]
        return ClickHouseEndpoint(host=LOOPBACK, port=port, user=_ACCOUNT, password=self.clickhouse_password)

    @property
    def kafka(self) -> KafkaEndpoint:
        """Where the broker listens."""
        return KafkaEndpoint(bootstrap_servers=f"{LOOPBACK}:{self.ports[ComponentName.KAFKA][0]}")

    @property
    def postgres(self) -> PostgresEndpoint:
        """Where the ledger's database listens."""
        return PostgresEndpoint(
            host=LOOPBACK,
            port=self.ports[ComponentName.POSTGRES][0],
            database=_ACCOUNT,
            user=_ACCOUNT,
            password=self.postgres_password,
        )

    @property
    def store_ports(self) -> StorePorts:
        """The object store's many ports, by name."""
        return StorePorts(*self.ports[ComponentName.STORE])

    @property
    def store(self) -> StoreEndpoint:
        """Where the object store speaks S3."""
        return StoreEndpoint(
            endpoint=f"http://{LOOPBACK}:{self.store_ports.s3}",
            bucket=_BUCKET,
            access_key=self.access_key,
            secret_key=self.secret_key,
            region=_REGION,
        )

    @property
    def rest_catalog(self) -> RestCatalogEndpoint:
        """Where the object store serves its Iceberg REST catalog."""
        return RestCatalogEndpoint(
            uri=f"http://{LOOPBACK}:{self.store_ports.iceberg}", warehouse=f"s3://{_TABLE_BUCKET}"
        )


def load_or_create(path: Path) -> Plan:
    """The directory's plan, made on the first start; ports that others took in the meantime are replaced.

    Raises:
        EmbeddedStackError: if the file is not a plan.
    """
    try:
        plan = Plan.model_validate_json(path.read_text(encoding="utf-8")).with_free_ports()
    except FileNotFoundError:
        plan = Plan.new()
    except ValidationError as error:
        raise EmbeddedStackError(
            f"{path} is no plan of a stack: {error}", remedy="give another directory, or remove this one"
        ) from error
    write_model(path, plan)
    return plan
