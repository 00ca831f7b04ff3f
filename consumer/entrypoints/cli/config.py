"""`icehaul config` and `icehaul streams`: what is configured, without talking to any server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import typer
import yaml
from rich.text import Text

from consumer.domain.duration import format_duration
from consumer.domain.phrasing import counted
from consumer.domain.stream import Stream
from consumer.entrypoints.cli.options import ConfigOption, OutputOption
from consumer.entrypoints.cli.output import Format, emit
from consumer.entrypoints.cli.records import Column, Records
from consumer.settings.effective import EffectiveField, effective
from consumer.settings.load import load, load_with_origins

_DEFAULT = "default"
_UNBROKEN = 1 << 20

app = typer.Typer(help="Look at the configuration.", no_args_is_help=True)


@app.command()
def show(config: ConfigOption = None, output: OutputOption = Format.TEXT) -> None:
    """Print the effective configuration as YAML, with the origin of every value; secrets are redacted."""
    fields = list(effective(*load_with_origins(config)))
    nested = _nested(fields)
    origins = {".".join(map(str, field.location)): field.origin or _DEFAULT for field in fields}
    if output is Format.JSON:
        emit(output, text="", data={"configuration": nested, "origins": origins})
        return
    # Not through the console: a long line must not be broken, or it would be no YAML any more.
    typer.echo("\n".join(_yaml(nested, origins)))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file.

    An editor with a YAML language server completes and checks a file that begins with
    `# yaml-language-server: $schema=icehaul.schema.json`, where that file holds what this command prints.
    `icehaul init` writes both.
    """
    typer.echo(schema_text(), nl=False)


def schema_text() -> str:
    """Return the JSON Schema of the configuration file, as it is shipped."""
    return (resources.files("schemas") / "config" / "icehaul.json").read_text(encoding="utf-8")


def streams(config: ConfigOption = None, output: OutputOption = Format.TEXT) -> None:
    """List the configured streams; no server is asked."""
    found = list(load(config).by_name().values())
    emit(output, text=_listed(found) if found else Text("no stream is configured"), data=[_data(one) for one in found])


def _listed(found: Sequence[Stream]) -> Records:
    records = Records(
        counted(len(found), "stream"),
        [Column(one) for one in ("stream", "source", "target", "layer", "partition", "settle lag", "upstreams")],
    )
    for one in found:
        records.add(
            one.name,
            str(one.source),
            str(one.target),
            one.layer,
            one.partition_by,
            format_duration(one.settle_lag),
            ", ".join(one.upstreams) or "-",
        )
    return records


def _data(one: Stream) -> dict[str, Any]:
    return {
        "name": one.name,
        "source": str(one.source),
        "target": str(one.target),
        "layer": one.layer,
        "timestamp_column": one.timestamp_column,
        "sequence_columns": list(one.sequence_columns),
        "partition_by": one.partition_by,
        "settle_lag_seconds": one.settle_lag.total_seconds(),
        "row_span_seconds": one.row_span.total_seconds(),
        "upstreams": list(one.upstreams),
    }


def _nested(fields: Sequence[EffectiveField]) -> dict[str, Any]:
    """Put the fields back into sections and streams."""
    root: dict[str, Any] = {}
    for field in fields:
        place: Any = root
        for part, following in zip(field.location, field.location[1:], strict=False):
            if isinstance(part, int):
                if part == len(place):
                    place.append({})
                place = place[part]
            else:
                place = place.setdefault(part, [] if isinstance(following, int) else {})
        place[field.location[-1]] = field.value
    return root


def _yaml(value: Mapping[str, Any], origins: Mapping[str, str], path: str = "", indent: str = "") -> list[str]:
    """Return the lines of a YAML document that says the same, each field with its origin behind it."""
    lines: list[str] = []
    for name, member in value.items():
        place = f"{path}{name}"
        if place in origins:
            lines.append(f"{indent}{name}: {_scalar(member)}  # {origins[place]}")
        elif isinstance(member, list):
            lines.append(f"{indent}{name}:")
            for position, item in enumerate(member):
                first, *rest = _yaml(item, origins, f"{place}.{position}.", f"{indent}    ")
                lines += [f"{indent}  - {first.lstrip()}", *rest]
        else:
            lines += [f"{indent}{name}:", *_yaml(member, origins, f"{place}.", f"{indent}  ")]
    return lines


def _scalar(value: Any) -> str:  # noqa: ANN401 - plain data
    text = yaml.safe_dump(value, default_flow_style=True, width=_UNBROKEN, allow_unicode=True)
    return text.removesuffix("...\n").strip()
