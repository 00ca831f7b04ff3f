"""All planted bugs."""

from __future__ import annotations

from tests.mutants import (
    arrival_bugs,
    event_bugs,
    export_bugs,
    fault_bugs,
    history_bugs,
    hostile_bugs,
    late_bugs,
    ledger_bugs,
    offset_bugs,
    proof_bugs,
    publish_bugs,
    read_bugs,
    repair_bugs,
    replace_bugs,
    restore_bugs,
    retention_bugs,
    rewind_bugs,
    security_bugs,
    table_bugs,
    tier_bugs,
    trace_bugs,
    two_step_bugs,
)
from tests.mutants.bug import Bug

BUGS: tuple[Bug, ...] = (
    *publish_bugs.BUGS,
    *ledger_bugs.BUGS,
    *read_bugs.BUGS,
    *export_bugs.BUGS,
    *event_bugs.BUGS,
    *late_bugs.BUGS,
    *replace_bugs.BUGS,
    *repair_bugs.BUGS,
    *rewind_bugs.BUGS,
    *restore_bugs.BUGS,
    *retention_bugs.BUGS,
    *tier_bugs.BUGS,
    *history_bugs.BUGS,
    *table_bugs.BUGS,
    *arrival_bugs.BUGS,
    *hostile_bugs.BUGS,
    *trace_bugs.BUGS,
    *fault_bugs.BUGS,
    *offset_bugs.BUGS,
    *security_bugs.BUGS,
    *two_step_bugs.BUGS,
    *proof_bugs.BUGS,
)
