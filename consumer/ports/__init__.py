"""The ports: what the service needs from the world, as protocols.

Every method may raise the errors of :mod:`consumer.domain.errors` and no others on purpose.
"""

from consumer.domain.step import Step
from consumer.ports.batches import BatchRecord, Trigger
from consumer.ports.cold_tier import Catalog, Landing, Publication, TargetTable
from consumer.ports.engine import BatchEngine, UnitReport
from consumer.ports.hot_tier import Bucket, Extent, SequenceReport, Source, SourceTable, Survey
from consumer.ports.ledger import Claim, Comparison, Ledger, OutboxMessage
from consumer.ports.stream_record import StreamRecord, StreamState
from consumer.ports.telemetry import Metrics

__all__ = [
    "BatchEngine",
    "BatchRecord",
    "Bucket",
    "Catalog",
    "Claim",
    "Comparison",
    "Extent",
    "Landing",
    "Ledger",
    "Metrics",
    "OutboxMessage",
    "Publication",
    "SequenceReport",
    "Source",
    "SourceTable",
    "Step",
    "StreamRecord",
    "StreamState",
    "Survey",
    "TargetTable",
    "Trigger",
    "UnitReport",
]
