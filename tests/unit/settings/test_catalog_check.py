"""Fields of the catalog that do not go together are refused, with field, value and remedy, and without secrets."""

from __future__ import annotations

import pytest

from tests.unit.settings.conftest import Load, Refused

REST = "catalog: {type: rest, uri: 'https://catalog.example:8181/api'"


def test_by_default_the_catalog_is_in_the_ledgers_database(load_text: Load) -> None:
    assert not load_text("{}").catalog.two_step


@pytest.mark.parametrize("text", [f"{REST}}}", "catalog: {dsn: 'postgresql://u:p@elsewhere/tables'}"])
def test_a_catalog_elsewhere_makes_a_publish_two_steps(load_text: Load, text: str) -> None:
    assert load_text(text).catalog.two_step


def test_everything_of_a_rest_catalog_may_be_given(load_text: Load) -> None:
    text = (
        f"{REST}, warehouse: lake, credential: 'id:secret', oauth2_server_uri: 'https://login.example/token',"
        " scope: catalog, properties: {header.X-Tenant: market}, secret_properties: {header.X-Key: k},"
        " ca_file: ca.pem, connect_timeout_seconds: 2, timeout_seconds: 9}"
    )
    catalog = load_text(text).catalog
    assert (catalog.warehouse, catalog.timeout_seconds) == ("lake", 9)
    assert "secret" not in repr(catalog.credential)


@pytest.mark.parametrize(
    ("text", "field", "remedy"),
    [
        ("catalog: {type: rest}", "catalog.type, value 'rest'", "set catalog.uri"),
        ("catalog: {uri: 'https://x'}", "catalog.uri", "set catalog.type: rest"),
        ("catalog: {timeout_seconds: 3}", "catalog.timeout_seconds", "set catalog.type: rest"),
        (f"{REST}, dsn: 'postgresql://x/y'}}", "catalog.dsn", "remove it"),
        (f"{REST}, credential: 'a:b', token: c}}", "catalog.token", "remove one"),
        (f"{REST}, credential: only-a-key}}", "catalog.credential", "ID:SECRET"),
        ("catalog: {type: rest, uri: 'ftp://x'}", "catalog.uri", "https://HOST:PORT/PATH"),
        ("catalog: {type: rest, uri: 'https://u:p@x'}", "catalog.uri", "without user and password"),
        (f"{REST}, properties: {{token: t}}}}", "catalog.properties", "use catalog.token"),
        (f"{REST}, secret_properties: {{uri: t}}}}", "catalog.secret_properties", "use catalog.uri"),
        (
            "{postgres: {dsn: 'postgresql://u:hunter2@h/d'}, catalog: {dsn: 'postgresql://u:hunter2@h/d'}}",
            "catalog.dsn",
            "the ledger's own database",
        ),
        ("catalog: {type: hive}", "catalog.type, value 'hive'", "'postgres' or 'rest'"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_to_do(
    refused: Refused, text: str, field: str, remedy: str
) -> None:
    message = refused(text)
    assert field in message
    assert remedy in message
    assert "hunter2" not in message
