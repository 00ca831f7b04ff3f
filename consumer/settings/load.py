"""Loading the configuration: YAML file, then secret files over it, then the environment over both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from consumer.domain.errors import ConfigurationError
from consumer.settings.model import Configuration
from consumer.settings.topology import check_topology
from consumer.settings.yaml_file import YamlFile, read_yaml

CONFIG_VARIABLE = "ICEHAUL_CONFIG"
SECRETS_VARIABLE = "ICEHAUL_SECRETS_DIR"
DEFAULT_FILE = Path("icehaul.yaml")


class _Settings(Configuration, BaseSettings):
    """The configuration with its sources; never seen outside this module."""

    model_config = SettingsConfigDict(
        env_prefix="ICEHAUL_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        nested_model_default_partial_update=True,
        extra="ignore",
        frozen=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, dotenv_settings
        return env_settings, NestedSecretsSettingsSource(file_secret_settings), init_settings


def find_file(path: Path | None, environment: Mapping[str, str]) -> Path:
    """Return the configuration file: as given, else ``ICEHAUL_CONFIG``, else ``icehaul.yaml`` here."""
    if path is not None:
        return path
    return Path(environment.get(CONFIG_VARIABLE, DEFAULT_FILE))


def load(path: Path | None = None) -> Configuration:
    """Load and check the configuration.

    Raises:
        ConfigurationError: naming file, line, field, value and what is allowed, for every error at once.
    """
    file = read_yaml(find_file(path, os.environ))
    secrets = os.environ.get(SECRETS_VARIABLE)
    _refuse_unknown_sections(file)
    try:
        configuration = _Settings(_secrets_dir=secrets, **file.data)
    except ValidationError as error:
        raise _explain(file, error) from None
    check_topology(configuration, file)
    return configuration


def _refuse_unknown_sections(file: YamlFile) -> None:
    unknown = [str(name) for name in file.data if name not in Configuration.model_fields]
    if unknown:
        raise ConfigurationError(
            f"{file.where((unknown[0],))}: there is no section {unknown[0]!r}",
            remedy=f"the sections are: {', '.join(Configuration.model_fields)}",
        )


def _explain(file: YamlFile, error: ValidationError) -> ConfigurationError:
    problems = [_sentence(file, detail) for detail in error.errors(include_url=False)]
    return ConfigurationError(
        "the configuration is wrong:\n  " + "\n  ".join(problems),
        remedy="correct the fields named above; docs/reference/configuration.md lists them all",
    )


def _sentence(file: YamlFile, detail: ErrorDetails) -> str:
    location = tuple(detail["loc"])
    field = ".".join(str(part) for part in location) or "configuration"
    message = detail["msg"].removeprefix("Value error, ")
    value = "" if not location or _secret(field) else f", value {_short(detail['input'])}"
    allowed = _allowed(detail)
    return f"{file.where(location)}: {field}{value}: {message}{allowed}"


def _allowed(detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        return "; there is no such field (is it misspelt?)"
    return ""


def _short(value: Any) -> str:  # noqa: ANN401 - whatever stood in the file
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _secret(field: str) -> bool:
    return any(word in field for word in ("password", "secret", "dsn"))
