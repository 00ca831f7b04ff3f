"""Fields of the catalog that do not go together: each type has fields of its own."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from consumer.settings.connections import CatalogSettings
from consumer.settings.explain import sentence
from consumer.settings.model import Configuration
from consumer.settings.origin import Origins

_OF_REST = (
    "uri",
    "warehouse",
    "credential",
    "token",
    "oauth2_server_uri",
    "scope",
    "properties",
    "secret_properties",
    "ca_file",
    "connect_timeout_seconds",
    "timeout_seconds",
)
_OWN_FIELDS = {
    "uri": "catalog.uri",
    "warehouse": "catalog.warehouse",
    "credential": "catalog.credential",
    "token": "catalog.token",
    "oauth2-server-uri": "catalog.oauth2_server_uri",
    "scope": "catalog.scope",
    "ssl": "catalog.ca_file",
    "type": "catalog.type",
}
"""Properties of PyIceberg that have a field of their own, some of them because they are secrets."""


def check_catalog(configuration: Configuration, origins: Origins) -> list[str]:
    """Return what is wrong with the section ``catalog``; the value of a secret is never quoted."""
    if configuration.catalog.type == "rest":
        return [*_rest(configuration, origins), *_properties(configuration, origins)]
    return list(_postgres(configuration, origins))


def _postgres(configuration: Configuration, origins: Origins) -> Iterator[str]:
    defaults = CatalogSettings()
    for name in _OF_REST:
        # What `icehaul config show` prints has every field, those too that say nothing.
        says = getattr(configuration.catalog, name) != getattr(defaults, name)
        if says and origins.given(("catalog", name)) is not None:
            yield _alone(
                origins,
                name,
                "it belongs to a REST catalog, and catalog.type is postgres; set catalog.type: rest, or remove it",
            )
    dsn = configuration.catalog.dsn
    if dsn is not None and dsn.get_secret_value() == configuration.postgres.dsn.get_secret_value():
        yield _alone(
            origins,
            "dsn",
            "it names the ledger's own database (postgres.dsn), in which a publish is one transaction; remove it",
        )


def _rest(configuration: Configuration, origins: Origins) -> Iterator[str]:
    catalog = configuration.catalog
    if catalog.dsn is not None:
        yield _alone(
            origins,
            "dsn",
            "it belongs to a catalog in Postgres, and catalog.type is rest; remove it, or set catalog.type: postgres",
        )
    if catalog.uri is None:
        place = ("catalog", "type")
        yield sentence(
            origins, place, catalog.type, "a REST catalog needs an address; set catalog.uri: https://HOST:PORT"
        )
    for name, address in (("uri", catalog.uri), ("oauth2_server_uri", catalog.oauth2_server_uri)):
        if address is not None and not _is_http(address):
            problem = "an address of HTTP is expected: https://HOST:PORT/PATH, without user and password"
            yield _alone(origins, name, problem)
    if catalog.credential is not None and catalog.token is not None:
        yield _alone(origins, "token", "catalog.credential is given too, and one of the two is used; remove one")
    if catalog.credential is not None and not catalog.credential.get_secret_value().partition(":")[2]:
        yield _alone(origins, "credential", "an ID and a secret are expected: ID:SECRET")


def _properties(configuration: Configuration, origins: Origins) -> Iterator[str]:
    catalog = configuration.catalog
    for field, names in (("properties", catalog.properties), ("secret_properties", catalog.secret_properties)):
        for name in names:
            if name in _OWN_FIELDS:
                yield _alone(origins, field, f"{name} has a field of its own; use {_OWN_FIELDS[name]}")


def _alone(origins: Origins, name: str, problem: str) -> str:
    """Return a sentence without the value, which may be a secret or hold one."""
    return f"{origins.where(('catalog', name))}: catalog.{name}: {problem}"


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
