"""Checks that span several streams: names, targets and the graph of upstreams."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from consumer.domain.errors import ConfigurationError
from consumer.settings.model import Configuration
from consumer.settings.yaml_file import YamlFile


def check_topology(configuration: Configuration, file: YamlFile) -> None:
    """Refuse duplicate stream names, shared targets, missing upstreams and cycles.

    Raises:
        ConfigurationError: naming file, line, field and value.
    """
    names: dict[str, int] = {}
    targets: dict[str, str] = {}
    for position, stream in enumerate(configuration.streams):
        if stream.name in names:
            raise ConfigurationError(
                f"{file.where(('streams', position, 'name'))}: streams.{position}.name, value {stream.name!r}:"
                f" stream number {names[stream.name]} has this name already",
                remedy="give each stream a name of its own",
            )
        if stream.target in targets:
            raise ConfigurationError(
                f"{file.where(('streams', position, 'target'))}: streams.{position}.target, value {stream.target!r}:"
                f" stream {targets[stream.target]} writes to it already",
                remedy="give each stream a target of its own: one table is written by one stream",
            )
        names[stream.name] = position
        targets[stream.target] = stream.name
    _check_upstreams(configuration, file, names)


def _check_upstreams(configuration: Configuration, file: YamlFile, names: dict[str, int]) -> None:
    for position, stream in enumerate(configuration.streams):
        for upstream in stream.upstreams:
            if upstream not in names:
                raise ConfigurationError(
                    f"{file.where(('streams', position, 'upstreams'))}: streams.{position}.upstreams, value"
                    f" {upstream!r}: there is no stream of this name",
                    remedy=f"name configured streams: {', '.join(names)}",
                )
    try:
        TopologicalSorter({stream.name: stream.upstreams for stream in configuration.streams}).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        raise ConfigurationError(
            f"{file.where(('streams', names[cycle[0]], 'upstreams'))}: the upstreams form a cycle: {' → '.join(cycle)}",
            remedy="remove one of these upstreams",
        ) from error
