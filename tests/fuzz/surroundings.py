"""Environment variables and secret files that nobody should have given: each is read, or explained without a secret."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumer.domain.errors import ConfigurationError
from consumer.domain.secrets import HIDDEN, Secrets, hide
from consumer.domain.secrets import _known as known
from consumer.settings.effective import effective
from consumer.settings.load import load_with_origins
from consumer.settings.model import Configuration
from tests.fuzz.configurations import check_names
from tests.fuzz.hostile import VALUES, changed

PLANTED = "planted-5ecr3t-"
"""Every secret of these inputs begins so."""

_LONGEST_ERROR = 20_000
_FIELDS = tuple(
    f"{section}__{name}"
    for section, field in Configuration.model_fields.items()
    for name in getattr(field.annotation, "model_fields", {})
)
_SECRETS = ("clickhouse__password", "postgres__dsn", "store__secret_key", "kafka__secret_options", "spark__remote")
_NO_FIELDS = (
    "clickhouse",
    "kafka",
    "streams",
    "nowhere__x",
    "clickhouse__",
    "__x",
    "clickhouse__password__x",
    "x\u0434",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What stands around a configuration file: variables, and files of the secrets directory."""

    text: bytes
    variables: dict[str, str]
    files: dict[str, bytes]


def surroundings(chance: random.Random, example: dict[str, Any]) -> Surroundings:
    """Return surroundings; some are right."""
    variables = {f"ICEHAUL_{_name(chance).upper()}": _said(chance) for _ in range(chance.choice((0, 0, 1, 4)))}
    files = {f"icehaul_{_name(chance)}": _said(chance).encode() for _ in range(chance.choice((0, 0, 1, 3)))}
    for _ in range(chance.choice((1, 2))):
        name, value = _secret(chance)
        if chance.random() < 0.5:
            variables[f"ICEHAUL_{name.upper()}"] = value
        else:
            files[f"icehaul_{name}"] = value.encode() + chance.choice((b"", b"", b"\n", b"\xff", b"\x00", b" " * 9_000))
    if variables and chance.random() < 0.1:
        variables[chance.choice(list(variables)).lower()] = _said(chance)
    document = changed(chance, example) if chance.random() < 0.2 else example
    text = json.dumps(document).encode("utf-8", "surrogatepass")
    named = {name: value.replace("\0", "") for name, value in variables.items() if "\0" not in name}
    return Surroundings(text=text, variables=named, files=files)


def judge(directory: Path, given: Surroundings) -> str:
    """Load a configuration amid its surroundings, as every command does, and return ``read`` or ``refused``.

    Raises:
        AssertionError: if it is neither, or a secret stands in what is said about it.
    """
    file, secrets = directory / "icehaul.yaml", directory / "secrets"
    file.write_bytes(given.text)
    secrets.mkdir(exist_ok=True)
    for old in secrets.iterdir():
        old.unlink()
    for name, content in given.files.items():
        (secrets / name).write_bytes(content)
    with _environment({**given.variables, "ICEHAUL_SECRETS_DIR": str(secrets)}), _nothing_known():
        try:
            configuration, origins = load_with_origins(file)
        except ConfigurationError as error:
            return _refused(error)
        for secret in _held(configuration):
            assert HIDDEN in hide(f"the server quotes {secret}"), "a secret that was read is not known"
    check_names(configuration)
    shown = json.dumps([[str(field.location), str(field.value)] for field in effective(configuration, origins)])
    assert PLANTED not in shown, f"`config show` shows a secret: {shown}"
    return "read"


def _refused(error: ConfigurationError) -> str:
    said = str(error)
    assert error.remedy
    assert len(said) < _LONGEST_ERROR, f"an error of {len(said)} characters"
    assert PLANTED not in said, f"an error quotes a secret: {said}"
    return "refused"


def _held(configuration: Configuration) -> Iterator[str]:
    fields = (configuration.clickhouse.password, configuration.postgres.dsn, configuration.store.secret_key)
    for held in (*fields, *configuration.kafka.secret_options.values()):
        if held is not None and PLANTED in held.get_secret_value():
            yield held.get_secret_value()


def _name(chance: random.Random) -> str:
    return chance.choice(_FIELDS) if chance.random() < 0.8 else chance.choice(_NO_FIELDS)


def _said(chance: random.Random) -> str:
    value = chance.choice(VALUES)
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()


def _secret(chance: random.Random) -> tuple[str, str]:
    """Return a field and a secret for it, now and then in a form that can't be read."""
    name = chance.choice(_SECRETS)
    value = PLANTED + f"{chance.randrange(10**6)}" + chance.choice(("", "/x", "@x", "%2", "'", '"', "\\", "\n"))
    match name:
        case "postgres__dsn":
            value = chance.choice((f"postgresql://me:{value}@db/x", f"host=db password='{value}'", value))
        case "kafka__secret_options":
            value = chance.choice((json.dumps({"sasl.password": value}), f'{{"sasl.password": "{value}"', value))
        case "spark__remote":
            value = chance.choice((f"sc://spark/;token={value}", f"sc://me:{value}@spark", value))
    if chance.random() < 0.2:
        section, _, field = name.partition("__")
        return section, json.dumps({chance.choice((field, field + "x")): value})[: chance.choice((None, -1))]
    return name, value


@contextmanager
def _nothing_known() -> Iterator[None]:
    """Forget afterwards what was read: no process has the secrets of ten thousand configurations."""
    known.secrets = Secrets()
    try:
        yield
    finally:
        known.secrets = Secrets()


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
