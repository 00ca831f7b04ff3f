"""`icehaul migrate`: bring the ledger's database to this version."""

from __future__ import annotations

from consumer.bootstrap import Application
from consumer.domain.phrasing import counted
from consumer.entrypoints.cli.options import ConfigOption, OutputOption
from consumer.entrypoints.cli.output import Format, emit
from consumer.settings.load import load


def migrate(config: ConfigOption = None, output: OutputOption = Format.TEXT) -> None:
    """Apply the migrations that the ledger's database lacks; safe to run by several processes at once.

    Consumers may go on meanwhile. Where a newer program has migrated the ledger, and this one works with it, nothing is
    done.
    """
    with Application(load(config)) as application:
        applied = [migration.name for migration in application.migrate()]
        newer = application.newer_migrations()
    text = f"applied {counted(len(applied), 'migration')}: {', '.join(applied)}" if applied else "nothing to migrate"
    if newer:
        text += f"; the ledger is newer than this program, which works with it: {', '.join(newer)}"
    emit(output, text=text, data={"applied": applied, "newer": newer})
