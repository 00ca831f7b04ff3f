"""Reading the YAML file so that errors can point to a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from consumer.domain.errors import ConfigurationError

Location = tuple[str | int, ...]

_MOST_VALUES = 100_000
"""A file of thousands of streams is far below it; aliases of aliases are soon above."""


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
        lines: dict[Location, int] = {}
        if root is not None:
            _Lines(path, lines).collect(root, ())
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _no_yaml(path, error) from None
    except RecursionError:
        raise ConfigurationError(f"{path} is nested too deeply", remedy="write sections and fields only") from None
    except ValueError as error:  # an impossible date, a number beyond the interpreter's limit
        raise ConfigurationError(f"{path} holds an impossible value: {error}", remedy="put it in quotes") from None
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigurationError(
            f"{path} holds a {type(data).__name__} at the top, not sections",
            remedy="write sections such as `clickhouse:` and `streams:`",
        )
    # A section of which everything is commented out is an empty one.
    return YamlFile(path=path, data={key: value for key, value in data.items() if value is not None}, lines=lines)


def _no_yaml(path: Path, error: yaml.YAMLError) -> ConfigurationError:
    """Say where and why; never quote the line, for it may hold a password."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
    where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark is not None else str(path)
    return ConfigurationError(f"{where}: this is no valid YAML: {problem}", remedy="correct the file there")


class _Lines:
    """Finds the line of every value, and refuses what YAML allows and a reader would overlook."""

    def __init__(self, path: Path, lines: dict[Location, int]) -> None:
        self._path = path
        self._lines = lines
        self._around: list[yaml.Node] = []

    def collect(self, node: yaml.Node, location: Location) -> None:
        if any(node is outer for outer in self._around):
            raise self._refused(node, "an alias that holds itself", remedy="write the values out")
        if len(self._lines) >= _MOST_VALUES:
            raise self._refused(node, f"more than {_MOST_VALUES} values", remedy="write fewer aliases")
        self._lines.setdefault(location, node.start_mark.line + 1)
        self._around.append(node)
        if isinstance(node, yaml.MappingNode):
            self._mapping(node, location)
        elif isinstance(node, yaml.SequenceNode):
            for position, item in enumerate(node.value):
                self.collect(item, (*location, position))
        self._around.pop()

    def _mapping(self, node: yaml.MappingNode, location: Location) -> None:
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._refused(key, "a field whose name is no word", remedy="write field: value")
            if key.value in seen:
                raise self._refused(key, f"{key.value!r} for a second time", remedy="keep one of the two")
            seen.add(key.value)
            self._lines[(*location, key.value)] = key.start_mark.line + 1
            self.collect(value, (*location, key.value))

    def _refused(self, node: yaml.Node, what: str, *, remedy: str) -> ConfigurationError:
        return ConfigurationError(f"{self._path}, line {node.start_mark.line + 1}: here stands {what}", remedy=remedy)
