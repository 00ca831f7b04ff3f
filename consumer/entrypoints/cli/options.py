"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consumer.entrypoints.cli.output import Format

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

StreamArgument = Annotated[str, typer.Argument(help="Name of a configured stream.", metavar="STREAM")]
