"""Where a value came from: the environment, a file in the secrets directory, or the YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from consumer.domain.errors import ConfigurationError
from consumer.settings.model import Configuration
from consumer.settings.yaml_file import Location, YamlFile

PREFIX = "icehaul_"
DELIMITER = "__"
SECRETS_VARIABLE = "ICEHAUL_SECRETS_DIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """The three places of a configuration, by the lower-case names that stand for fields."""

    file: YamlFile
    variables: Mapping[str, str]
    """Environment variables as they are spelt, by their lower-case names."""
    secrets: Mapping[str, Path]
    """Files of the secrets directory, by their lower-case names."""

    @classmethod
    def of(cls, file: YamlFile, environment: Mapping[str, str], secrets_dir: Path | None) -> Origins:
        """Look at the names that are there.

        Raises:
            ConfigurationError: if the secrets directory can't be listed, or a name belongs to no section.
        """
        variables = {name.lower(): name for name, value in environment.items() if value}
        origins = cls(
            file=file,
            variables={name: spelt for name, spelt in variables.items() if name.startswith(PREFIX)},
            secrets=_list(secrets_dir) if secrets_dir is not None else {},
        )
        origins._refuse_unknown_sections()
        return origins

    def where(self, location: Location) -> str:
        """Tell where the value at ``location`` (or what stands for it) came from."""
        for length in range(len(location), 0, -1):
            name = PREFIX + DELIMITER.join(str(part) for part in location[:length]).lower()
            if name in self.variables:
                return f"environment variable {self.variables[name]}"
            if name in self.secrets:
                return f"secret file {self.secrets[name]}"
            if location[:length] in self.file.lines:
                break
        return self.file.where(location)

    def given(self, location: Location) -> str | None:
        """Tell where the value at ``location`` was given; ``None`` if nowhere: it is the default."""
        place = self.where(location)
        in_file = place == self.file.where(location)
        return None if in_file and location not in self.file.lines else place

    def _refuse_unknown_sections(self) -> None:
        sections = ", ".join(Configuration.model_fields)
        for name in self.file.data:
            if name not in Configuration.model_fields:
                raise ConfigurationError(
                    f"{self.file.where((str(name),))}: there is no section {name!r}",
                    remedy=f"the sections are: {sections}",
                )
        places = {name: f"environment variable {spelt}" for name, spelt in self.variables.items()}
        places |= {name: f"secret file {path}" for name, path in self.secrets.items()}
        for name, place in places.items():
            section, delimiter, _ = name.removeprefix(PREFIX).partition(DELIMITER)
            if delimiter and section not in Configuration.model_fields:
                raise ConfigurationError(
                    f"{place}: there is no section {section!r}",
                    remedy=f"write {PREFIX.upper()}SECTION{DELIMITER}FIELD; the sections are: {sections}",
                )


def _list(directory: Path) -> dict[str, Path]:
    try:
        found = sorted(directory.iterdir())
    except OSError as error:
        raise ConfigurationError(
            f"{SECRETS_VARIABLE}: the secrets directory {directory} can't be read: {error.strerror or error}",
            remedy="name an existing directory that this user may read, or unset the variable",
        ) from None
    return {path.name.lower(): path for path in found if path.name.lower().startswith(PREFIX)}
