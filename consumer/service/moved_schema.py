"""A source whose columns were changed after a batch was planned: no failure, it is planned again."""

from __future__ import annotations

from consumer.domain.errors import IcehaulError, SchemaMovedError, SourceMissingError
from consumer.ports import Source
from consumer.service.batch_context import BatchContext


def moved_or(error: SourceMissingError, source: Source, context: BatchContext) -> IcehaulError:
    """Return what to raise for a column or table that was not found: it may have been there when it was planned."""
    now = source.describe(context.stream.source)
    if now.uuid != context.work.source.uuid or now.columns == context.work.source.columns:
        return error
    return SchemaMovedError(
        f"stream {context.stream.name}: the columns of {context.stream.source} were changed after the batch was"
        f" planned: {error.message}",
        remedy="nothing to do: the event is planned again with the columns of now",
    )
