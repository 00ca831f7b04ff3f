"""The log events of the code, read from its syntax trees: name, levels, and the fields that each line has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
_NOT_FIELDS = {"exc_info"}
_LOGGER = "_log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One place in the code that logs an event, at one of ``levels``, with ``fields``."""

    event: str
    levels: frozenset[str]
    fields: frozenset[str]
    place: str


class UnreadableCallError(Exception):
    """A logger is used in a way that can't be read here; write it as the other places do."""


def said_in(source: str, place: str) -> list[Said]:
    """Return what a module's structlog logger says.

    Raises:
        UnreadableCallError: if it is used in any other way than ``_log.<level>("event", field=…)``, through a variable
            that is ``_log.bind(field=…)`` or ``_log.<level> if … else _log.<level>``, or a function that returns such.
    """
    if _LOGGER not in source:
        return []  # most have none, and to parse all takes seconds
    tree = ast.parse(source)
    if not _has_logger(tree):
        return []
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    returned = {one.name: bound for one in functions if (bound := _returned(one)) is not None}
    found = []
    for function in functions:
        variables = _variables(function, returned)
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            speech = _speech(call, variables)
            if speech is not None:
                found.append(_said(call, *speech, f"{place}:{call.lineno}"))
    _refuse_others(tree, found, place)
    return found


def said_by(packages: Sequence[Path]) -> list[Said]:
    """Return what all modules of the packages say."""
    return [
        said
        for package in packages
        for path in sorted(package.rglob("*.py"))
        for said in said_in(path.read_text(encoding="utf-8"), str(path.relative_to(package.parent)))
    ]


def loggers_of_the_library(packages: Sequence[Path]) -> set[str]:
    """Return the modules that log by the standard library, where neither names nor fields are kept apart."""
    return {
        str(path.relative_to(package.parent))
        for package in packages
        for path in package.rglob("*.py")
        if re.search(r"^_?log = logging\.getLogger\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


@dataclass(frozen=True, slots=True)
class _Voice:
    """What a variable or an expression is: a logger with fields, or its methods of some levels."""

    levels: frozenset[str]
    fields: frozenset[str]


_PLAIN = _Voice(frozenset(), frozenset())


def _has_logger(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == _LOGGER
        and ast.unparse(node.value).startswith("structlog.")
        for node in tree.body
    )


def _voice(node: ast.expr, variables: Mapping[str, _Voice]) -> _Voice | None:
    match node:
        case ast.Name(id=name):
            return _PLAIN if name == _LOGGER else variables.get(name)
        case ast.Attribute(value=value, attr=attr) if attr in _LEVELS and (voice := _voice(value, variables)):
            return _Voice(frozenset({_LEVELS[attr]}), voice.fields)
        case ast.Call(func=ast.Attribute(value=value, attr="bind"), keywords=keywords) if voice := _voice(
            value, variables
        ):
            return _Voice(voice.levels, voice.fields | {keyword.arg or "**" for keyword in keywords})
        case ast.IfExp(body=body, orelse=orelse):
            one, other = _voice(body, variables), _voice(orelse, variables)
            return _Voice(one.levels | other.levels, one.fields | other.fields) if one and other else None
        case ast.Call(func=ast.Name(id=name)):
            return variables.get(f"{name}()")
    return None


def _assigned(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _variables(function: ast.FunctionDef, returned: Mapping[str, _Voice]) -> Mapping[str, _Voice]:
    variables = {f"{name}()": voice for name, voice in returned.items()}
    for name, value in _assigned(function):
        voice = _voice(value, variables)
        if voice is not None:
            variables[name] = voice
    return variables


def _returned(function: ast.FunctionDef) -> _Voice | None:
    variables = _variables(function, {})
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None and (voice := _voice(node.value, variables)):
            return voice
    return None


def _speech(call: ast.Call, variables: Mapping[str, _Voice]) -> tuple[frozenset[str], frozenset[str]] | None:
    voice = _voice(call.func, variables)
    return None if voice is None or not voice.levels else (voice.levels, voice.fields)


def _said(call: ast.Call, levels: frozenset[str], bound: frozenset[str], place: str) -> Said:
    match call.args:
        case [ast.Constant(value=str(event))]:
            own = {keyword.arg or "**" for keyword in call.keywords}
        case _:
            raise UnreadableCallError(f"{place}: the event's name is not one literal")
    fields = (bound | own) - _NOT_FIELDS
    if "**" in fields:
        raise UnreadableCallError(f"{place}: the fields are not written out")
    return Said(event=event, levels=levels, fields=frozenset(fields), place=place)


def _refuse_others(tree: ast.Module, found: Sequence[Said], place: str) -> None:
    """Refuse a module whose logger is named more often than was understood."""
    spoken = {int(said.place.rpartition(":")[2]) for said in found}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and any(
            isinstance(part, ast.Name) and part.id == _LOGGER for part in ast.walk(node.func)
        ):
            bind = isinstance(node.func, ast.Attribute) and node.func.attr == "bind"
            if not bind and node.lineno not in spoken:
                raise UnreadableCallError(f"{place}:{node.lineno}: {ast.unparse(node.func)} is not understood")
