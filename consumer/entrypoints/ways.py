"""From the configuration to what the doctor wants to know of the ways to the servers."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from consumer.bootstrap import Application
from consumer.service.doctor.encryption import Way
from consumer.settings.connections import KafkaSettings, StoreSettings

_ENCRYPTED_PROTOCOLS = frozenset({"SSL", "SASL_SSL"})
_ENCRYPTED_MODES = frozenset({"require", "verify-ca", "verify-full"})


def ways(application: Application) -> Sequence[Way]:
    """Return how this process speaks to each server."""
    settings = application.configuration
    mode = application.database.sslmode
    return [
        Way(
            server="ClickHouse",
            host=settings.clickhouse.host,
            encrypted=settings.clickhouse.secure,
            proven=settings.clickhouse.verify,
            remedy="set clickhouse.secure: true and clickhouse.verify: true, and clickhouse.ca_file for an authority of"
            " your own",
        ),
        _kafka(settings.kafka),
        Way(
            server="Postgres",
            host=application.database.host,
            encrypted=mode in _ENCRYPTED_MODES,
            proven=mode == "verify-full",
            remedy="add sslmode=verify-full and sslrootcert=FILE to postgres.dsn",
        ),
        _store(settings.store),
    ]


def _kafka(kafka: KafkaSettings) -> Way:
    options = {**{name: value.get_secret_value() for name, value in kafka.secret_options.items()}, **kafka.options}
    checked = options.get("enable.ssl.certificate.verification", "true").lower() == "true"
    named = options.get("ssl.endpoint.identification.algorithm", "https").lower() == "https"
    return Way(
        server="Kafka",
        host=kafka.bootstrap_servers.split(",", 1)[0].rpartition(":")[0],
        encrypted=options.get("security.protocol", "plaintext").upper() in _ENCRYPTED_PROTOCOLS,
        proven=checked and named,
        remedy="set security.protocol: SASL_SSL in kafka.options, with ssl.ca.location, and without"
        " enable.ssl.certificate.verification and ssl.endpoint.identification.algorithm",
    )


def _store(store: StoreSettings) -> Way:
    endpoint = urlsplit(store.endpoint) if store.endpoint is not None else None
    return Way(
        server="object store",
        host=(endpoint.hostname or "") if endpoint is not None else f"s3.{store.region}.amazonaws.com",
        encrypted=endpoint is None or endpoint.scheme == "https",
        proven=True,
        remedy="write https:// in store.endpoint, and set store.ca_file for an authority of your own",
    )
