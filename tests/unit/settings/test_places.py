"""Hosts, topics, bucket and prefix of a configuration lead to one place, and to no other."""

from __future__ import annotations

import json

import pytest

from tests.unit.settings.conftest import Load, Refused


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clickhouse.host", "http://db"),
        ("clickhouse.host", "db/x?y#"),
        ("clickhouse.host", "me@db"),
        ("clickhouse.host", "d\u0430b"),
        ("kafka.topic", "a b"),
        ("kafka.topic", ".."),
        ("kafka.dead_letter_topic", "a/b"),
        ("store.bucket", "a/b"),
        ("store.bucket", "../other"),
        ("store.bucket", "l\u0430ke"),
        ("store.prefix", "../other"),
        ("store.prefix", "lake/../../other"),
        ("store.prefix", "lake/./x"),
        ("store.prefix", "/lake"),
        ("store.prefix", "lake//x"),
        ("store.prefix", "lake\x00"),
        ("store.prefix", "lake?x"),
        ("store.prefix", "lake', 'key', 'secret'); DROP TABLE y"),
    ],
)
def test_a_place_that_could_lead_elsewhere_is_refused(refused: Refused, field: str, value: str) -> None:
    section, _, name = field.partition(".")
    message = refused(f"{section}: {{{name}: {json.dumps(value)}}}\n")
    assert f"line 1: {field}" in message
    assert " expected" in message or " has letters" in message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clickhouse.host", "db-1.example.org"),
        ("clickhouse.host", "[::1]"),
        ("clickhouse.host", "fe80::1%eth0"),
        ("kafka.topic", "a.b-c_9"),
        ("store.bucket", "Lake.of_1-x"),
        ("store.prefix", ""),
        ("store.prefix", "lake/team=a/v1.2/"),
    ],
)
def test_a_place_as_people_name_them_is_taken(load_text: Load, field: str, value: str) -> None:
    section, _, name = field.partition(".")
    assert getattr(getattr(load_text(f"{section}: {{{name}: {json.dumps(value)}}}\n"), section), name) == value
