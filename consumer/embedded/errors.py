"""What can go wrong while the embedded stack starts, runs or stops."""

from __future__ import annotations

from consumer.domain.errors import EmbeddedStackError


class ComponentNotReadyError(EmbeddedStackError):
    """A component ended or stayed silent instead of becoming ready; the message holds its last log lines."""


class PortTakenError(ComponentNotReadyError):
    """Another process took a port between its choice and the component's bind."""


class StackNotRunningError(EmbeddedStackError):
    """No supervisor runs in this directory."""


class StackAlreadyRunningError(EmbeddedStackError):
    """A supervisor already runs in this directory."""


class JavaNotFoundError(EmbeddedStackError):
    """No Java that both Spark and Kafka can run on."""


class JarsError(EmbeddedStackError):
    """Jars could not be resolved, or differ from their committed checksums."""
