"""What strangers write: values that mean harm somewhere, and bytes that mean nothing."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**30,
    1e308,
    float("inf"),
    float("nan"),
    "",
    " ",
    "x" * 300,
    "x`; DROP TABLE y; --",
    "trades' OR '1'='1",
    'a"b',
    "../../etc/passwd",
    "trades/../../x",
    "a\x00b",
    "tra\u0434es",
    "trades\u200b",
    "\ud800",
    "\x1b[2J",
    "${jndi:ldap://127.0.0.1/x}",
    "http://127.0.0.1:1/x",
    "s3://elsewhere/bucket",
    "url('http://127.0.0.1:1/x')",
    "remote('127.0.0.1:1', system.one)",
    "file('/etc/passwd')",
    "$(reboot)",
    "%s%s%n",
    "{0.__class__}",
    "9999-12-31T23:59:59.999999999Z",
    "0000-00-00T00:00:00Z",
    "2024-02-30T00:00:00Z",
    "2024-01-01T00:00:00",
    "2024-01-01T00:00:60+99:99",
    "1e9",
    [],
    {},
    [[[[[[]]]]]],
    {"": {"": {"": None}}},
    ["trades"] * 40,
)
"""Numbers no field takes, text of shells, databases, terminals and file systems, times that never were."""


def deep(levels: int) -> str:
    """Return JSON, and YAML, of so many levels."""
    return "[" * levels + "]" * levels


def scratched(chance: random.Random, text: bytes) -> bytes:
    """Return bytes with some damage."""
    damaged = bytearray(text)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(damaged) + 1)
        match chance.randrange(5):
            case 0:
                damaged[at:at] = chance.randbytes(chance.choice((1, 4)))
            case 1:
                del damaged[at : at + chance.choice((1, 9, 99))]
            case 2:
                damaged[at : at + 1] = chance.choice(
                    (b"\x00", b"\xff", b"{", b'"', b"\\", b"\n", b"]", b",", b"\xed\xa0\x80")
                )
            case 3:
                damaged[at:at] = damaged[: chance.randrange(len(damaged) + 1)]
            case _:
                del damaged[at:]
    return bytes(damaged)


def changed(chance: random.Random, document: Mapping[str, Any], values: Sequence[Any] = VALUES) -> dict[str, Any]:
    """Return a document one or two fields of which have another value, are gone, or were never there."""
    made = {name: changed_within(chance, value, values) for name, value in document.items()}
    for _ in range(chance.choice((1, 1, 2))):
        name = chance.choice([*made, "url", "host", "table_function", "__proto__"])
        match chance.randrange(4):
            case 0:
                made.pop(name, None)
            case 1 if isinstance(made.get(name), dict):
                made[name] = changed(chance, made[name], values)
            case 1 if isinstance(made.get(name), list) and made[name] and isinstance(made[name][0], dict):
                made[name] = [changed(chance, item, values) for item in made[name]]
            case _:
                made[name] = chance.choice(values)
    return made


def changed_within(chance: random.Random, value: Any, values: Sequence[Any]) -> Any:
    """Return a value as it is, or now and then with a change inside."""
    if isinstance(value, dict) and chance.random() < 0.3:
        return changed(chance, value, values)
    return value
