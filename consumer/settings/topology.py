"""Checks that span several fields: names, targets, the graph of upstreams, grace against lag, Spark, the catalog."""

from __future__ import annotations

from datetime import timedelta
from graphlib import CycleError, TopologicalSorter

from consumer.domain.duration import format_duration
from consumer.settings.catalog_check import check_catalog
from consumer.settings.explain import sentence
from consumer.settings.model import Configuration
from consumer.settings.origin import Origins


def check_topology(configuration: Configuration, origins: Origins) -> list[str]:
    """Return what is wrong.

    That is names and targets used twice, missing upstreams, cycles, a grace that is too short, a driver of one's own
    beside a Spark Connect server, and fields of one type of catalog with the other type.
    """
    names: dict[str, int] = {}
    for position, stream in enumerate(configuration.streams):
        names.setdefault(stream.name, position)
    problems = [*_shared(configuration, origins), *_missing_upstreams(configuration, origins, names)]
    problems += [*_cycle(configuration, origins, names), *_grace(configuration, origins)]
    return [*problems, *_two_drivers(configuration, origins), *check_catalog(configuration, origins)]


def _shared(configuration: Configuration, origins: Origins) -> list[str]:
    problems: list[str] = []
    names: dict[str, int] = {}
    targets: dict[str, str] = {}
    for position, stream in enumerate(configuration.streams):
        place = ("streams", position)
        if stream.name in names:
            first = origins.where(("streams", names[stream.name], "name"))
            problem = f"another stream has this name already ({first}); give each a name of its own"
            problems.append(sentence(origins, (*place, "name"), stream.name, problem))
        elif stream.target in targets:
            problem = (
                f"stream {targets[stream.target]} writes to it already; give each stream a target of its own:"
                " one table is written by one stream"
            )
            problems.append(sentence(origins, (*place, "target"), stream.target, problem))
        names.setdefault(stream.name, position)
        targets.setdefault(stream.target, stream.name)
    return problems


def _missing_upstreams(configuration: Configuration, origins: Origins, names: dict[str, int]) -> list[str]:
    return [
        sentence(
            origins,
            ("streams", position, "upstreams"),
            upstream,
            f"there is no stream of this name; the streams are: {', '.join(names)}",
        )
        for position, stream in enumerate(configuration.streams)
        for upstream in stream.upstreams
        if upstream not in names
    ]


def _cycle(configuration: Configuration, origins: Origins, names: dict[str, int]) -> list[str]:
    graph = {stream.name: [one for one in stream.upstreams if one in names] for stream in configuration.streams}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        # A cycle has no first member: name it from the one that stands first in the file.
        first = min(range(len(cycle) - 1), key=lambda at: names[cycle[at]])
        cycle = [*cycle[first:-1], *cycle[:first], cycle[first]]
        place = ("streams", names[cycle[0]], "upstreams")
        problem = f"the upstreams form a cycle: {' → '.join(cycle)}; remove one of them"
        return [sentence(origins, place, graph[cycle[0]], problem)]
    return []


def _grace(configuration: Configuration, origins: Origins) -> list[str]:
    longest = max(configuration.streams, key=lambda stream: stream.settle_lag, default=None)
    lag = longest.settle_lag if longest is not None else timedelta(0)
    grace = configuration.emitter.grace
    if longest is None or grace >= lag:
        return []
    problem = (
        f"shorter than the settle_lag of stream {longest.name} ({format_duration(lag)}): a partition would be reported"
        f" closed while its rows may still arrive; {format_duration(lag)} or more is allowed"
    )
    return [sentence(origins, ("emitter", "grace"), format_duration(grace), problem)]


def _two_drivers(configuration: Configuration, origins: Origins) -> list[str]:
    spark = configuration.spark
    if spark.remote is None:
        return []
    other = f"spark.remote is given too ({origins.where(('spark', 'remote'))})"
    problems = []
    if origins.given(("spark", "master")) is not None:
        problem = f"{other}, and the tasks run at one place; remove one of the two"
        problems.append(sentence(origins, ("spark", "master"), spark.master, problem))
    for name in ("driver_memory", "jars", "conf", "environment"):
        if origins.given(("spark", name)) is not None:
            problem = f"{other}, and a Spark Connect server has a driver of its own; set it where that is started"
            problems.append(f"{origins.where(('spark', name))}: spark.{name}: {problem}")
    return problems
