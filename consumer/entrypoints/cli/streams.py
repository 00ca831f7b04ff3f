"""Streams that are named on the command line."""

from __future__ import annotations

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.domain.stream import Stream


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
