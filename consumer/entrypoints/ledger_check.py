"""Whether a process may begin to work with the ledger as it is."""

from __future__ import annotations

import structlog

from consumer.bootstrap import Application
from consumer.domain.errors import TransientError

_log = structlog.get_logger(__name__)


def check_ledger(application: Application) -> None:
    """Refuse to begin where this program does not work with the ledger's tables.

    Where Postgres can't be asked now, the process begins: on tables that are too old its statements fail, and change
    nothing.

    Raises:
        ConfigurationError: if `icehaul migrate` has to be run first, or the ledger is too new for this program.
        AccessDeniedError: if the ledger may not be read.
    """
    try:
        application.require_schema()
    except TransientError as error:
        _log.warning("ledger.unchecked", error=str(error))
