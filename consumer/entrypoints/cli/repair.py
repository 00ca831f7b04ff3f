"""Commands that change a stream's state on an operator's word."""

from __future__ import annotations

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.domain.phrasing import counted
from consumer.domain.stream import Stream
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, StreamArgument
from consumer.entrypoints.cli.output import Format, emit
from consumer.settings.load import load


def resume(stream: StreamArgument, config: ConfigOption = None, output: OutputOption = Format.TEXT) -> None:
    """Make a halted stream active again; its parked events are sent to the topic once more."""
    with Application(load(config)) as application:
        find_stream(application, stream)
        parked = len(application.ledger.parked(stream))
        application.ledger.resume(stream)
    emit(
        output,
        text=f"{stream} is active again; {counted(parked, 'parked event')} will be relayed to the topic by a running"
        " consumer",
        data={"stream": stream, "state": "active", "parked_events_taken_up": parked},
    )


def find_stream(application: Application, name: str) -> Stream:
    """Return a configured stream.

    Raises:
        ConfigurationError: if there is none of this name.
    """
    found = application.streams.get(name)
    if found is None:
        raise ConfigurationError(
            f"STREAM: there is no stream {name!r} in the configuration",
            remedy=f"name one of: {', '.join(application.streams) or '(none is configured)'}",
        )
    return found
