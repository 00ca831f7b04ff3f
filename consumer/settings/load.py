"""Loading the configuration: YAML file, then secret files over it, then the environment over both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from consumer.domain.errors import ConfigurationError
from consumer.domain.secrets import remember
from consumer.settings.explain import describe, wrong_configuration
from consumer.settings.model import Configuration
from consumer.settings.origin import DELIMITER, PREFIX, SECRETS_VARIABLE, Origins
from consumer.settings.secrets import secrets_of
from consumer.settings.topology import check_topology
from consumer.settings.yaml_file import YamlFile, read_yaml

CONFIG_VARIABLE = "ICEHAUL_CONFIG"
DEFAULT_FILE = Path("icehaul.yaml")


class _Settings(Configuration, BaseSettings):
    """The configuration with its sources; never seen outside this module."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
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
    return Path(environment.get(CONFIG_VARIABLE) or DEFAULT_FILE)


def load(path: Path | None = None) -> Configuration:
    """Load and check the configuration.

    Raises:
        ConfigurationError: naming place, field, value and what is allowed, for every wrong field at once.
    """
    return load_with_origins(path)[0]


def load_or_environment(path: Path | None = None) -> Configuration:
    """Load the configuration as :func:`load` does; without a file of the default name, environment and secrets alone.

    Raises:
        ConfigurationError: as :func:`load` does, also if a file was named and does not exist.
    """
    file = find_file(path, os.environ)
    if file == DEFAULT_FILE and not file.exists():
        return _load(YamlFile(path=file, data={}, lines={}))[0]
    return load(file)


def load_with_origins(path: Path | None = None) -> tuple[Configuration, Origins]:
    """Load and check the configuration, and tell where its values come from.

    Raises:
        ConfigurationError: as :func:`load` does.
    """
    return _load(read_yaml(find_file(path, os.environ)))


def _load(file: YamlFile) -> tuple[Configuration, Origins]:
    secrets = os.environ.get(SECRETS_VARIABLE)
    origins = Origins.of(file, os.environ, Path(secrets) if secrets else None)
    try:
        configuration = _Settings(_secrets_dir=secrets or None, **file.data)
    except ValidationError as error:
        raise wrong_configuration(describe(origins, error.errors(include_url=False))) from None
    except SettingsError as error:
        # Not chained: the cause quotes the value, which may be a secret.
        raise ConfigurationError(
            f"the environment or a secret file can't be read: {error}",
            remedy=f"give a whole section or a list as JSON, or one field as {PREFIX.upper()}SECTION{DELIMITER}FIELD",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{SECRETS_VARIABLE}: a file in {secrets} can't be read: {getattr(error, 'strerror', None) or 'no UTF-8'}",
            remedy="make it a UTF-8 file that this user may read",
        ) from None
    remember(secrets_of(configuration))
    if problems := check_topology(configuration, origins):
        raise wrong_configuration(problems)
    return configuration, origins
