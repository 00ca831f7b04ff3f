"""ClickHouse's exceptions, by their codes, as errors of this project."""

from __future__ import annotations

import re

from consumer.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    IcehaulError,
    SchemaMovedError,
    SourceChangedError,
    SourceMissingError,
    SourceUnavailableError,
    UnsupportedTypeError,
)
from consumer.domain.unit_query import TABLE_CHANGED, TYPES_CHANGED
from consumer.domain.wire_form import INVALID_TEXT

_CODE = re.compile(r"\b[Cc]ode:\s*(\d+)")
# Such as: reader: Not enough privileges. To execute this query, it's necessary to have the grant SELECT(a) ON db.t
_LACKING = re.compile(
    r"(?:Exception: |^)(?P<user>[^\s:]+): Not enough privileges.*?necessary to have (?:the |at least one )?"
    r"(?:grants? |of these grants: )?(?P<grant>.+?)(?=\. \(|\.$|\. |\n|$)",
    re.DOTALL,
)
_OPTION = re.compile(r" WITH GRANT OPTION$")
_VERSION = re.compile(r"\s*\(version [^()]*(?:\([^()]*\))?[^()]*\)")
_TEXT_LIMIT = 1000

_ACCESS_DENIED = 497
_READONLY = 164
_WRITES = "Cannot execute query in readonly mode"
"""What READONLY says of a statement that writes; of settings it says something else."""
_THROW_IF = 395
# What icehaul's own queries throw.
_GUARDS: dict[str, tuple[type[IcehaulError], str]] = {
    INVALID_TEXT: (
        UnsupportedTypeError,
        (
            "Iceberg's strings are UTF-8: repair the values, or offload another source table with"
            " hex(column) or toValidUTF8(column), fed by a materialized view"
        ),
    ),
    TABLE_CHANGED: (SourceChangedError, "put the recorded table back, or give the new one a stream of its own"),
    TYPES_CHANGED: (
        SchemaMovedError,
        "nothing to do for events, which are planned again; run a command once more, it describes the table anew",
    ),
}
_CHECK_SETTINGS = "remove the setting from clickhouse.limits or clickhouse.query_settings, or correct it"

_MEANINGS: dict[int, tuple[type[IcehaulError], str]] = {
    code: (error, remedy)
    for codes, error, remedy in (
        (
            # NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_IDENTIFIER, UNKNOWN_TABLE, UNKNOWN_DATABASE
            (16, 47, 60, 81),
            SourceMissingError,
            "correct the stream's source, timestamp_column or sequence_columns, or restore the table",
        ),
        (
            # UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, IP_ADDRESS_NOT_ALLOWED, AUTHENTICATION_FAILED
            (192, 193, 194, 195, 516),
            AccessDeniedError,
            "check clickhouse.user and clickhouse.password",
        ),
        (
            # DATABASE_ACCESS_DENIED, ACCESS_DENIED
            (291, 497),
            AccessDeniedError,
            "give the user of clickhouse.user the grant that the message names",
        ),
        (
            # READONLY
            (164,),
            AccessDeniedError,
            "give the user readonly = 2, for settings are sent along with the queries",
        ),
        (
            # NAMED_COLLECTION_DOESNT_EXIST
            (669,),
            ConfigurationError,
            (
                "make it on the server: CREATE NAMED COLLECTION NAME AS access_key_id = '…', secret_access_key = '…',"
                " or correct clickhouse.store_collection"
            ),
        ),
        (
            # CLUSTER_DOESNT_EXIST
            (701,),
            ConfigurationError,
            "name one of system.clusters in clickhouse.cluster, or define it in the server's remote_servers",
        ),
        (
            # ALL_CONNECTION_TRIES_FAILED, ALL_REPLICAS_ARE_STALE, NO_REMOTE_SHARD_AVAILABLE
            (279, 369, 519),
            SourceUnavailableError,
            (
                "let a replica of every shard answer and catch up (system.clusters, system.replicas); the step is"
                " tried again, and no shard is left out"
            ),
        ),
        (
            # MEMORY_LIMIT_EXCEEDED
            (241,),
            SourceUnavailableError,
            (
                "give the server more memory, or lower batch.unit_rows, by which a query has less to sort, or raise"
                " clickhouse.limits.memory where that is set; the step is tried again"
            ),
        ),
        (
            # NOT_ENOUGH_SPACE
            (243,),
            SourceUnavailableError,
            "free space on ClickHouse's disks: large sorts spill there; the step is tried again",
        ),
        # UNKNOWN_SETTING, SETTING_CONSTRAINT_VIOLATION
        ((115, 452), ConfigurationError, _CHECK_SETTINGS),
        (
            # ARGUMENT_OUT_OF_BOUND, DECIMAL_OVERFLOW
            (69, 407),
            UnsupportedTypeError,
            (
                "find the value outside its type's range (a time past the years 1900 to 2299, or past 2262 as nanos; a"
                " number of more than 38 digits as decimal), and repair it or choose another form by columns"
            ),
        ),
    )
    for code in codes
}


def exception_code(text: str) -> int | None:
    """Return the code that an exception's text carries (``Code: 60. DB::Exception: …``)."""
    match = _CODE.search(text)
    return int(match.group(1)) if match else None


def missing_grant(text: str) -> str | None:
    """Return the statement that gives what the server says is missing (ACCESS_DENIED); ``None`` if it names nothing."""
    found = _LACKING.search(_VERSION.sub("", text.strip()))
    return f"GRANT {_OPTION.sub('', found['grant'].rstrip('.'))} TO {found['user']}" if found is not None else None


def source_error(address: str, code: int | None, text: str) -> IcehaulError:
    """Return the error for an exception of the ClickHouse server at ``address``.

    A code without a meaning of its own is a passing error: it is retried, and halts the stream if it persists.
    """
    # What follows is the expression, compiled: names and numbers that no reader knows.
    detail = _VERSION.sub("", text.strip()).partition(": while executing 'FUNCTION")[0][:_TEXT_LIMIT] or "nothing"
    message = f"ClickHouse at {address} answered: {detail}"
    meaning = _MEANINGS.get(code or 0, (SourceUnavailableError, "see the server's log; the step is tried again"))
    if code == _THROW_IF:
        meaning = next((guard for said, guard in _GUARDS.items() if said in text), meaning)
    error, remedy = meaning
    if code == _READONLY and _WRITES in text:
        remedy = (
            "give a command that writes into ClickHouse a user without readonly: ops/security/clickhouse has its rights"
        )
    if code == _ACCESS_DENIED and (statement := missing_grant(detail)):
        remedy = f"run as an administrator of ClickHouse: {statement}"
    return error(message, remedy=remedy)
