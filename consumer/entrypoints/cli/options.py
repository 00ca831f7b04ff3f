"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consumer.domain.errors import IcehaulError
from consumer.entrypoints.cli.output import Format
from consumer.settings.load import load


def complete_stream(context: typer.Context, incomplete: str) -> list[str]:
    """Return the configured streams whose names begin so, for a shell's completion; none where nothing can be read."""
    try:
        streams = load(context.params.get("config")).streams
    except IcehaulError:
        return []
    return [stream.name for stream in streams if stream.name.startswith(incomplete)]


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="ICEHAUL_CONFIG",
        help="Configuration file.",
        show_default="icehaul.yaml",
        metavar="FILE",
    ),
]

OutputOption = Annotated[
    Format, typer.Option("--output", "-o", help="What is written to standard output.", case_sensitive=False)
]

StreamArgument = Annotated[
    str, typer.Argument(help="Name of a configured stream.", metavar="STREAM", autocompletion=complete_stream)
]
