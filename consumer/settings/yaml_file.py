"""Reading the YAML file so that errors can point to a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from consumer.domain.errors import ConfigurationError

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlFile:
    """A parsed file, and the line of every value in it."""

    path: Path
    data: dict[str, Any]
    lines: dict[Location, int]

    def line(self, location: Location) -> int | None:
        """Return the line of a value, or of the nearest thing around it that stands in the file."""
        for length in range(len(location), 0, -1):
            if location[:length] in self.lines:
                return self.lines[location[:length]]
        return None

    def where(self, location: Location) -> str:
        """Return ``file, line N`` as far as it is known."""
        line = self.line(location)
        return f"{self.path}, line {line}" if line is not None else str(self.path)


def read_yaml(path: Path) -> YamlFile:
    """Read a configuration file.

    Raises:
        ConfigurationError: if it can't be read, is no YAML, has duplicate keys, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the configuration file {path} can't be read: {error}",
            remedy="name an existing UTF-8 file with --config or ICEHAUL_CONFIG",
        ) from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is no valid YAML: {error}", remedy="correct the file there") from error
    if not isinstance(data, dict):
        raise ConfigurationError(
            f"{path} holds a {type(data).__name__} at the top",
            remedy="write sections such as `clickhouse:` and `streams:`",
        )
    lines: dict[Location, int] = {}
    if root is not None:
        _collect(path, root, (), lines)
    return YamlFile(path=path, data=data, lines=lines)


def _collect(path: Path, node: yaml.Node, location: Location, lines: dict[Location, int]) -> None:
    lines[location] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise ConfigurationError(
                    f"{path}, line {key.start_mark.line + 1}: {key.value!r} stands there a second time",
                    remedy="keep one of the two",
                )
            seen.add(key.value)
            _collect(path, value, (*location, key.value), lines)
            lines[(*location, key.value)] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _collect(path, item, (*location, position), lines)
