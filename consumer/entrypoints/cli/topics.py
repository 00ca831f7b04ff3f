"""`icehaul topics`: create the Kafka topics, or check them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.entrypoints.cli.options import ConfigOption, OutputOption
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.settings.load import load


def topics(
    check: Annotated[bool, typer.Option("--check", help="Create nothing; report what is missing or differs.")] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Create the event topic and the dead-letter topic where they are missing; existing ones are compared only.

    Exit code 1 if a topic differs from the configuration, or (with --check) is missing.
    """
    with Application(load(config)) as application:
        kafka = application.configuration.kafka
        created: tuple[str, ...] = ()
        if check:
            findings = application.topics.verify()
        else:
            report = application.topics.ensure()
            created, findings = report.created, report.findings
    lines = [f"created topic {name}" for name in created]
    lines += [f"{finding}\n  remedy: {finding.remedy}" for finding in findings]
    emit(
        output,
        text="\n".join(lines) or f"topics {kafka.topic} and {kafka.dead_letter_topic} are as configured",
        data={"created": list(created), "findings": [asdict(finding) for finding in findings]},
    )
    if findings:
        raise typer.Exit(ExitCode.FINDING)
