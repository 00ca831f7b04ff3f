"""Bugs by which rights grow, or servers are trusted that nobody has proved."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_TASKS = ("tests/unit/spark/test_task_encryption.py",)
_RIGHTS = ("tests/unit/postgres/test_rights.py",)

BUGS = (
    Bug(
        name="tasks_trust_any_server",
        breaks="A task sends its password to whoever answers at ClickHouse's address, and offloads what comes back.",
        edits=(
            Edit(
                file="spark/source_query.py",
                before='        cert_reqs="CERT_REQUIRED" if access.verify else "CERT_NONE",\n',
                after='        cert_reqs="CERT_NONE",\n',
            ),
        ),
        tests=_TASKS,
    ),
    Bug(
        name="a_refused_certificate_is_a_passing_error",
        breaks="A server that is not the right one is asked again and again, and the remedy names host and port only.",
        edits=(
            Edit(
                file="spark/source_query.py",
                before="        raise distrust or SourceUnavailableError(\n",
                after="        raise SourceUnavailableError(\n",
            ),
        ),
        tests=_TASKS,
    ),
    Bug(
        name="tasks_do_not_know_the_stores_authority",
        breaks="With an authority of one's own for the store, the consumer starts and every batch fails in its tasks.",
        edits=(
            Edit(
                file="consumer/adapters/spark/access.py",
                before="        ca_file=store.ca_file,\n",
                after="",
            ),
        ),
        tests=_TASKS,
    ),
    Bug(
        name="consumers_may_delete_records",
        breaks="Whoever gets hold of a consumer's password can take batches out of the ledger.",
        edits=(
            Edit(
                file="ops/security/postgres/committer.sql",
                before="GRANT SELECT, INSERT, UPDATE ON offload_batches TO icehaul_committer;\n",
                after="GRANT SELECT, INSERT, UPDATE, DELETE ON offload_batches TO icehaul_committer;\n",
            ),
        ),
        tests=_RIGHTS,
    ),
    Bug(
        name="upserts_taken_for_inserts",
        breaks="Grants and doctor leave out what an upsert takes, and the first repeated batch halts its stream.",
        edits=(
            Edit(
                file="consumer/adapters/postgres/rights.py",
                before="    for sign in (_UPSERT, _LOCKED):\n",
                after="    for sign in (_LOCKED,):\n",
            ),
        ),
        tests=_RIGHTS,
    ),
    Bug(
        name="clickhouse_reads_with_the_consumers_keys",
        breaks="ClickHouse holds keys that may delete the cold tier, though it was given keys that only read.",
        edits=(
            Edit(
                file="consumer/adapters/clickhouse/files.py",
                before="            (own.store_access_key, own.store_secret_key),\n",
                after="",
            ),
        ),
        tests=("tests/unit/clickhouse/test_file_reader.py",),
    ),
    Bug(
        name="unproved_servers_pass_the_doctor",
        breaks="The doctor calls a connection good whose server anybody can stand in for.",
        edits=(
            Edit(
                file="consumer/service/doctor/encryption.py",
                before="            if way.encrypted and way.proven:\n",
                after="            if way.encrypted:\n",
            ),
        ),
        tests=("tests/unit/doctor/test_encryption.py",),
    ),
)
