"""All four servers with TLS, credentials and least rights: what a user's own platform should look like."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from consumer.embedded.component import Component, NotReadyError
from consumer.embedded.ports import LOOPBACK
from consumer.embedded.process import ServerProcess
from consumer.settings.connections import ClickHouseSettings, StoreSettings
from tests.integration.embedded_clickhouse.support import PASSWORD, USER
from tests.support.certificates import Authority
from tests.support.secured_clickhouse import SecuredClickHouse, grants_of, is_read_only
from tests.support.secured_kafka import ADMIN, SecuredKafka
from tests.support.secured_postgres import SecuredPostgres
from tests.support.secured_store import BUCKET, SecuredStore
from tests.support.tls_proxy import tls_proxy
from tests.support.waiting import wait_until

OPS = Path(__file__).resolve().parents[2] / "ops" / "security"
DATABASE = "market"
KAFKA_USERS = ("icehaul-producer", "icehaul-consumer", "icehaul-operator")
READER, DROPPER, EXPORTER, NOBODY = "icehaul_reader", "icehaul_drop", "icehaul_exporter", "icehaul_nobody"
VIEWER, RESTORER = "icehaul_view", "icehaul_restore"
READS_FILES = "icehaul_reads_files"
"""A reader on a server that tells reading from writing, and without ``readonly = 2``."""
_READY_S = 120.0
_HOST = f"IP:{LOOPBACK}"
"""Certificates are for the address alone: `localhost` reaches the same server, under a name that it can't prove."""


@dataclass(frozen=True, kw_only=True)
class SecuredStack:
    """The servers, their administrator's tools, and what a process of icehaul has to know of them."""

    authority: Authority
    stranger: Authority
    kafka: SecuredKafka
    postgres: SecuredPostgres
    postgres_port: int
    store: SecuredStore
    clickhouse: SecuredClickHouse
    clickhouse_port: int
    admin: Client

    def client_of(self, user: str) -> Client:
        """A client of ClickHouse as this user, over TLS."""
        return clickhouse_connect.get_client(
            host=LOOPBACK,
            port=self.clickhouse_port,
            username=user,
            password=self.clickhouse.passwords[user],
            secure=True,
            ca_cert=str(self.authority.certificate),
        )

    def s3(self, identity: str, key: str) -> str:
        """The table function by which ClickHouse reads or writes a Parquet file with an identity's keys."""
        url = f"{self.store.endpoint.endpoint}/{BUCKET}/{key}"
        return f"s3('{url}', '{identity.upper()}', '{self.store.secret_keys[identity]}', 'Parquet')"

    def document(self, *, clickhouse: str = READER, kafka: str, store: str = "consumer") -> dict[str, dict[str, Any]]:
        """A configuration's sections for these users; no secret is in it."""
        return {
            "clickhouse": {
                "host": LOOPBACK,
                "port": self.clickhouse_port,
                "user": clickhouse,
                "secure": True,
                "ca_file": str(self.authority.certificate),
                "store_access_key": "CLICKHOUSE-READER",
            },
            "kafka": {"bootstrap_servers": self.kafka.servers, "options": self.kafka.options(kafka)},
            "store": {
                "endpoint": self.store.endpoint.endpoint,
                "bucket": BUCKET,
                "region": self.store.endpoint.region,
                "access_key": store.upper(),
                "ca_file": str(self.authority.certificate),
            },
        }

    def secrets(
        self, *, clickhouse: str = READER, kafka: str, store: str = "consumer", postgres: str
    ) -> Mapping[str, str]:
        """The environment that goes with it."""
        return {
            "ICEHAUL_CLICKHOUSE__PASSWORD": self.clickhouse.passwords[clickhouse],
            "ICEHAUL_CLICKHOUSE__STORE_SECRET_KEY": self.store.secret_keys["clickhouse-reader"],
            "ICEHAUL_KAFKA__SECRET_OPTIONS": f'{{"sasl.password": "{self.kafka.passwords[kafka]}"}}',
            "ICEHAUL_POSTGRES__DSN": self.postgres.dsn(postgres, self.postgres_port),
            "ICEHAUL_STORE__SECRET_KEY": self.store.secret_keys[store],
        }

    def exporting(self, user: str, keys: str) -> tuple[ClickHouseSettings, StoreSettings]:
        """The settings of a consumer whose ClickHouse has these rights, with these keys for the store."""
        document = self.document(clickhouse=user, kafka=KAFKA_USERS[1])
        clickhouse = document["clickhouse"] | {
            "password": self.clickhouse.passwords[user],
            "store_access_key": keys.upper(),
            "store_secret_key": self.store.secret_keys[keys],
        }
        store = document["store"] | {"secret_key": self.store.secret_keys["consumer"]}
        return ClickHouseSettings.model_validate(clickhouse), StoreSettings.model_validate(store)


@contextmanager
def secured_stack() -> Iterator[SecuredStack]:
    """Start everything side by side; it is gone when the block ends."""
    with ExitStack() as running:
        home = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="icehaul-secured-")))
        authority, stranger = Authority(home, "trusted"), Authority(home, "stranger")
        certificate = authority.issue("server", _HOST)
        passwords = {user: secrets.token_urlsafe(18) for user in (ADMIN, *KAFKA_USERS)}
        (home / "kafka").mkdir()
        kafka = SecuredKafka(home / "kafka", authority, certificate, passwords)
        store = SecuredStore(home / "store", authority, certificate, _policies())
        postgres = SecuredPostgres(home / "postgres", authority, certificate)
        for component in (store, postgres, kafka):
            component.prepare()
            running.callback(component.clean_up)
            running.callback(ServerProcess(component.launch(), component.log_file).kill)
        read_only = [READER] if is_read_only("reader.sql") else []
        clickhouse = SecuredClickHouse(home / "clickhouse", authority, _clickhouse_users(), read_only=read_only)
        running.callback(clickhouse.kill)
        clickhouse_port = running.enter_context(tls_proxy(clickhouse.port, certificate.server_context()))
        admin = clickhouse_connect.get_client(host=LOOPBACK, port=clickhouse.port, username=USER, password=PASSWORD)
        running.callback(admin.close)
        admin.command(f"CREATE DATABASE {DATABASE}")
        secret = store.secret_keys["clickhouse-reader"]
        admin.command(
            "CREATE NAMED COLLECTION icehaul_store AS access_key_id = 'CLICKHOUSE-READER',"
            f" secret_access_key = '{secret}'"
        )
        for component in (postgres, store, kafka):
            _wait(component)
        postgres.make_roles()
        yield SecuredStack(
            authority=authority,
            stranger=stranger,
            kafka=kafka,
            postgres=postgres,
            postgres_port=running.enter_context(postgres.encrypted()),
            store=store,
            clickhouse=clickhouse,
            clickhouse_port=clickhouse_port,
            admin=admin,
        )


def without(grant: str) -> str:
    """The user of ClickHouse that has all grants of a reader but this one."""
    return f"without_{grants_of('reader.sql').index(grant)}"


def _clickhouse_users() -> Mapping[str, Sequence[str]]:
    reads = grants_of("reader.sql")
    return {
        READER: reads,
        DROPPER: grants_of("reader.sql", "dropper.sql"),
        EXPORTER: grants_of("exporter.sql"),
        NOBODY: [],
        VIEWER: grants_of("reader.sql", "viewer.sql"),
        RESTORER: grants_of("reader.sql", "restorer.sql"),
        READS_FILES: [one.replace("GRANT S3 ON *.*", "GRANT READ ON S3") for one in reads],
        **{without(one): [other for other in reads if other != one] for one in reads},
    }


def _policies() -> Mapping[str, str]:
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted((OPS / "store").glob("*.json"))}


def _wait(component: Component) -> None:
    def ready() -> bool:
        try:
            component.probe()
        except NotReadyError:
            return False
        return True

    wait_until(ready, seconds=_READY_S, what=f"{component.name} is ready; see {component.log_file}")
