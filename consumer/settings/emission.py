"""Settings of the emitter."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from consumer.settings.scalars import Duration, PositiveDuration
from consumer.settings.section import Seconds, Section


class EmitterSettings(Section):
    """The emitter of ticks and partition closes; its boundaries are counted from midnight UTC of 1970-01-01."""

    tick: Duration = timedelta(minutes=15)
    """Distance of the wall-clock boundaries at which ticks are sent; 0 sends none."""
    poll: PositiveDuration = timedelta(seconds=15)
    """Pause between two looks at the source tables' parts."""
    grace: Duration = timedelta(minutes=5)
    """How long a partition must have been quiet before it counts as closed; not below any settle_lag."""
    lease_seconds: Seconds = 30
    """Seconds after which a dead emitter is replaced by one that stands by."""
    http_host: str = "127.0.0.1"
    """Address on which /metrics, /livez, /readyz and /startupz are served."""
    http_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port of these; 0 takes a free one, none serves nothing."""
