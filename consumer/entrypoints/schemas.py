"""JSON Schemas, reference pages and manual page, made from models and commands: written, or (``--check``) compared.

The schemas are contracts for people and programs outside; icehaul itself validates by the models.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from consumer.adapters.kafka.event_models import json_schema
from consumer.domain.event import EventType
from consumer.entrypoints import reference
from consumer.settings.model import Configuration

_ROOT = Path(__file__).resolve().parents[2] / "schemas"


def render() -> dict[str, str]:
    """Return the content of every schema file by its path under ``schemas/``."""
    documents = {f"events/{type_.value}.json": json_schema(type_) for type_ in EventType}
    documents["config/icehaul.json"] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Configuration.model_json_schema(),
        "title": "icehaul configuration",
    }
    return {path: json.dumps(document, indent=2) + "\n" for path, document in documents.items()}


def differing(root: Path = _ROOT) -> list[str]:
    """Return the schema files that are missing, differ from the models, or belong to none."""
    rendered = render()
    there = {str(path.relative_to(root)) for path in root.glob("*/*.json")}
    wrong = {path for path, text in rendered.items() if path not in there or (root / path).read_text("utf-8") != text}
    return sorted(wrong | (there - rendered.keys()))


def main(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 if a file differs.")] = False,
) -> None:
    """Write the JSON Schemas of events and configuration, the generated reference pages and the manual page."""
    if check:
        for path in (wrong := differing()):
            typer.echo(f"schemas/{path} differs from the models: run make schemas", err=True)
        for path in (pages := reference.differing()):
            typer.echo(f"docs/{path} differs from models and commands: run make schemas", err=True)
        sys.exit(1 if wrong or pages else 0)
    for path, text in render().items():
        target = _ROOT / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        typer.echo(f"wrote schemas/{path}")
    for path, text in reference.render().items():
        target = reference.ROOT / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        typer.echo(f"wrote docs/{path}")


if __name__ == "__main__":
    typer.run(main)
