"""docs/runbooks/upgrade-and-rollback.md: a ledger that is older than the program, and one that is newer."""

from __future__ import annotations

from contextlib import closing

import psycopg

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.migrations import migrate, shipped
from tests.integration.cli.runbooks.conftest import RunbookOf
from tests.support.consuming import consuming
from tests.support.disasters import lose_database
from tests.support.local_platform import LocalPlatform, judge


def test_the_runbook_is_followed(local: LocalPlatform, trades: str, runbook: RunbookOf) -> None:
    with local.consumer() as application:
        application.topics.ensure()
    lose_database(local.endpoints, local.dsn)
    with Database(local.configuration().postgres) as older:
        migrate(older, shipped()[:6])
    with runbook("upgrade-and-rollback.md") as page:
        page.follow("Diagnosis")
        page.follow("Upgrade")
        execute(
            local,
            "INSERT INTO schema_migrations (version, name, sha256, oldest_program)"
            " VALUES (9999, 'of_a_later_release', repeat('0', 64), 9999)",
        )
        page.follow("Roll back")
        execute(local, "DELETE FROM schema_migrations WHERE version = 9999")
        with local.consumer() as application:
            with consuming(application):
                page.follow("Verification")
            judge(application, trades, rows=100)


def execute(local: LocalPlatform, statement: str) -> None:
    with closing(psycopg.connect(local.dsn, autocommit=True)) as connection:
        connection.execute(statement.encode())
