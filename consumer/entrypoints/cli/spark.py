"""`icehaul spark`: what a Spark cluster of one's own needs of icehaul."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consumer.adapters.spark.access import packed
from consumer.entrypoints.cli.options import OutputOption
from consumer.entrypoints.cli.output import Format, emit
from consumer.settings.cache import cache_directory
from spark.environment import FOLDER, describe_platform, libraries

app = typer.Typer(help="Prepare Spark clusters and servers.", no_args_is_help=True)


@app.command("package")
def package(
    into: Annotated[
        Path | None,
        typer.Option(
            "--into", help="Folder of the archive.", show_default="~/.cache/icehaul", metavar="FOLDER", file_okay=False
        ),
    ] = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Make the archive of the libraries that Spark tasks need, unless it is there already, and print how it is used.

    Consumers with a driver of their own make and send it by themselves; a Spark Connect server is started with it. It
    runs on machines of this one's kind, under the same minor version of Python.
    """
    archive = packed(into or cache_directory()).absolute()
    properties = {"spark.archives": f"{archive}#{FOLDER}", "spark.executorEnv.PYTHONPATH": FOLDER}
    size = archive.stat().st_size
    about = f"{archive}: {size / 1e6:.0f} MB, {len(libraries())} libraries, for {describe_platform()}"
    emit(
        output,
        text="\n".join([about, *(f"--conf {name}={value}" for name, value in properties.items())]),
        data={
            "archive": str(archive),
            "bytes": size,
            "platform": describe_platform(),
            "libraries": {library.name: library.version for library in libraries()},
            "properties": properties,
        },
    )
