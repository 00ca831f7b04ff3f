"""Bugs that hostile input or a curious reader would use: what an event can cause, and where secrets may be seen."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_WATCHED = "tests/e2e/test_hostile_events.py"
_PLACES = "tests/e2e/test_secrets.py"
_ALL = (ComponentName.CLICKHOUSE, ComponentName.KAFKA, ComponentName.POSTGRES, ComponentName.STORE)
_CODEC = "consumer/adapters/kafka/codec.py"
_ERRORS = "consumer/domain/errors.py"

BUGS = (
    Bug(
        name="event_followed_to_where_it_points",
        breaks="An event that carries a URL makes the consumer connect to it.",
        edits=(
            Edit(
                file=_CODEC,
                before="    model = _validate(document)\n",
                after="    for said in map(str, document.values()):\n"
                '        if said.startswith("http://127.0.0.1:"):\n'
                "            import contextlib, urllib.request\n\n"
                "            with contextlib.suppress(OSError, ValueError):\n"
                "                urllib.request.urlopen(said, timeout=1)\n"
                "    model = _validate(document)\n",
            ),
        ),
        tests=(f"{_WATCHED}::test_nothing_is_connected_to_but_the_servers_of_the_configuration",),
        servers=_ALL,
    ),
    Bug(
        name="event_names_the_table_to_read",
        breaks="An event that names a table makes the consumer read that one instead of the stream's source.",
        edits=(
            Edit(
                file="consumer/service/offload.py",
                before='        stream = self._stream(event)\n        with self._failpoints.around("event.handle"):\n',
                after="        stream = self._stream(event)\n"
                "        if event.table is not None:\n"
                "            import dataclasses\n\n"
                "            from consumer.domain.stream import TableName\n\n"
                "            stream = dataclasses.replace(stream, source=TableName.parse(event.table))\n"
                '        with self._failpoints.around("event.handle"):\n',
            ),
        ),
        tests=(f"{_WATCHED}::test_clickhouse_is_asked_for_nothing_but_the_configured_table",),
        servers=_ALL,
    ),
    Bug(
        name="many_names_hold_the_poll_loop",
        breaks="One message of some ten thousand names, one of them twice, holds every partition for seconds.",
        edits=(
            Edit(
                file="consumer/adapters/kafka/strict_json.py",
                before="        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)\n",
                after="        names = [name for name, _ in pairs]\n"
                "        twice = next(name for name in names if names.count(name) > 1)\n",
            ),
        ),
        tests=("tests/unit/kafka/test_slow_bodies.py",),
    ),
    Bug(
        name="foreign_partitioner_not_told_of",
        breaks="Events of one stream lie on two partitions, two consumers wait for each other, and nobody hears why.",
        edits=(
            Edit(
                file="consumer/adapters/kafka/placement.py",
                before="            return decode_message(message, partitions=self._partitions)\n",
                after="            return decode_message(message)\n",
            ),
        ),
        tests=("tests/unit/kafka/test_placement.py",),
    ),
    Bug(
        name="prefix_leads_elsewhere",
        breaks="A prefix such as lake/../other puts the warehouse where nobody has allowed it.",
        edits=(
            Edit(
                file="consumer/settings/scalars.py",
                before=' or {".", ".."} & set(value.split("/"))',
                after="",
            ),
        ),
        tests=("tests/unit/settings/test_places.py",),
    ),
    Bug(
        name="children_inherit_secrets",
        breaks="Every secret given as a variable can be read in the environment of the JVM and of all Python workers.",
        edits=(
            Edit(
                file="spark/session.py",
                before="            with _without_our_variables():\n",
                after="            with contextlib.nullcontext():\n",
            ),
        ),
        tests=(f"{_PLACES}::test_no_secret_stands_in[environ]",),
        servers=_ALL,
    ),
    Bug(
        name="errors_quote_secrets",
        breaks="What a server quotes of a DSN goes into the ledger, dead letters, spans and onto consoles.",
        edits=(
            Edit(
                file=_ERRORS, before="        self.message = hide(message)\n", after="        self.message = message\n"
            ),
        ),
        tests=("tests/unit/domain/test_secrets.py",),
    ),
    Bug(
        name="secrets_not_remembered",
        breaks="No secret is known, so that nothing that quotes one is scrubbed.",
        edits=(
            Edit(
                file="consumer/settings/load.py",
                before="    remember(secrets_of(configuration))\n",
                after="    secrets_of(configuration)\n",
            ),
            Edit(
                file="consumer/settings/load.py",
                before="from consumer.domain.secrets import remember\n",
                after="",
            ),
        ),
        tests=("tests/unit/settings/test_secrets.py", "tests/fuzz/test_fuzz.py"),
    ),
    Bug(
        name="logs_scrubbed_by_looks_alone",
        breaks="A library that logs a password without saying that it is one puts it into the log.",
        edits=(
            Edit(file="consumer/adapters/telemetry/redaction.py", before="    text = hide(text)\n", after=""),
            Edit(
                file="consumer/adapters/telemetry/redaction.py",
                before="from consumer.domain.secrets import HIDDEN, hide\n",
                after="from consumer.domain.secrets import HIDDEN\n",
            ),
        ),
        tests=("tests/unit/telemetry/test_logs.py",),
    ),
    Bug(
        name="spans_not_scrubbed",
        breaks="The exception that OpenTelemetry records in a span carries the DSN to the collector.",
        edits=(
            Edit(
                file="consumer/adapters/telemetry/tracing.py",
                before="        scrubbed = ScrubbedSpans(exporter)\n",
                after="        scrubbed = exporter\n",
            ),
        ),
        tests=("tests/unit/telemetry/test_scrubbed_spans.py",),
    ),
    Bug(
        name="traceback_at_the_end_not_scrubbed",
        breaks="A defect that ends the process prints its traceback with the DSN that the driver has quoted.",
        edits=(
            Edit(
                file="consumer/entrypoints/last_words.py",
                before='    sys.stderr.write(scrub("".join(traceback.format_exception(error))))\n',
                after='    sys.stderr.write("".join(traceback.format_exception(error)))\n',
            ),
        ),
        tests=("tests/unit/entrypoints/test_last_words.py",),
    ),
    Bug(
        name="core_dumps_allowed",
        breaks="A crash writes an image of the process's memory, with every secret in it.",
        edits=(
            Edit(
                file="consumer/entrypoints/last_words.py",
                before="    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))\n",
                after="    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))\n",
            ),
        ),
        tests=("tests/unit/entrypoints/test_last_words.py",),
    ),
    Bug(
        name="misread_dsn_shown",
        breaks="A password with an unencoded @ or / is shown in part, as the host that can't be reached.",
        edits=(
            Edit(
                file="consumer/adapters/postgres/parameters.py",
                before="    if _misread(named):\n",
                after="    if _misread({}):\n",
            ),
        ),
        tests=("tests/unit/postgres/test_connection_strings.py",),
    ),
    Bug(
        name="store_key_in_the_tasks_data",
        breaks="The store's secret key lies in a file on its way to the JVM, as a part of a task's query.",
        edits=(
            Edit(
                file="consumer/adapters/spark/engine.py",
                before="FileReader(*without_keys(clickhouse, store))",
                after="FileReader(clickhouse, store)",
            ),
        ),
        tests=("tests/unit/spark/test_store_key.py",),
    ),
)
