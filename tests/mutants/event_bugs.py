"""Bugs of steps 1, 2 and 7: events, partitions and offsets."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_DISPATCHER = "consumer/service/runtime/dispatcher.py"
_OFFSETS = "consumer/service/runtime/offsets.py"
_LOOP = "consumer/service/runtime/loop.py"
_HANDLING = "consumer/service/runtime/handling.py"
_OFFLOAD_PY = "consumer/service/offload.py"

_DISPATCHER_TESTS = "tests/unit/runtime/test_dispatcher.py"
_LOOP_TESTS = "tests/unit/runtime/test_loop.py"
_OFFLOAD = "tests/unit/service/test_offload.py"
_REDELIVERY = "tests/unit/service/test_redelivery.py"

BUGS = (
    Bug(
        name="offset_before_the_publish",
        breaks="An offset is committed before its rows are published, and a crash in between loses them.",
        edits=(
            Edit(
                file=_DISPATCHER,
                before="        try:\n            self._run(tasks)\n",
                after="        try:\n            self._finished(tasks)\n            self._run(tasks)\n",
            ),
            Edit(
                file=_DISPATCHER,
                before="        lane.attempts = 0\n        self._finished(tasks)\n",
                after="        lane.attempts = 0\n",
            ),
        ),
        tests=(_LOOP_TESTS,),
    ),
    Bug(
        name="failed_event_acknowledged",
        breaks="An event that could not be handled counts as done after its first attempt.",
        edits=(
            Edit(
                file=_DISPATCHER,
                before="            return delay\n",
                after="",
            ),
        ),
        tests=(f"{_DISPATCHER_TESTS}::test_a_failed_event_is_held_at_the_head_of_its_stream_until_it_succeeds",),
    ),
    Bug(
        name="offset_of_later_event_committed",
        breaks="An event that is done carries the offset past an earlier one that is not: that one is lost.",
        edits=(
            Edit(
                file=_OFFSETS,
                before="        while self._open and self._open[0] in self._done:\n",
                after="        while self._open and self._open[0] <= offset:\n",
            ),
        ),
        tests=("tests/unit/runtime/test_offsets.py",),
    ),
    Bug(
        name="loser_commits_the_heirs_offset",
        breaks="Work of an assignment that is over acknowledges an event which the partition's next owner has begun.",
        edits=(
            Edit(
                file=_LOOP,
                before="                if self._assignments.get(task.assignment.partition) is task.assignment:\n"
                "                    task.acknowledge()\n",
                after="                if (now := self._assignments.get(task.assignment.partition)) is not None:\n"
                "                    now.tracker.done(task.offset)\n",
            ),
        ),
        tests=(f"{_LOOP_TESTS}::test_work_of_an_earlier_assignment_does_not_acknowledge_anything_of_a_later_one",),
    ),
    Bug(
        name="revoked_partition_worked_on",
        breaks="A consumer goes on with batches of a partition that belongs to somebody else.",
        edits=(
            Edit(
                file="consumer/service/lease.py",
                before="            if abandoned.is_set():\n",
                after="            if abandoned is None:\n",
            ),
        ),
        tests=(f"{_OFFLOAD}::test_a_revoked_partition_stops_the_work_between_batches",),
    ),
    Bug(
        name="dead_letter_not_awaited",
        breaks="An invalid event is acknowledged though its dead letter was never written.",
        edits=(
            Edit(
                file=_HANDLING,
                before='        with self._failpoints.around("letter.send"):\n'
                "            self._dead_letters.send(task.message, error)\n",
                after='        with self._failpoints.around("letter.send"):\n'
                "            try:\n"
                "                self._dead_letters.send(task.message, error)\n"
                "            except IcehaulError as failure:\n"
                '                _log.warning("letter.lost", error=failure.message)\n',
            ),
        ),
        tests=(f"{_LOOP_TESTS}::test_an_event_is_held_until_its_dead_letter_is_acknowledged",),
    ),
    Bug(
        name="known_event_dropped",
        breaks="An event that is delivered again is dropped for its id, though there is more to do by now.",
        edits=(
            Edit(
                file=_OFFLOAD_PY,
                before="        stream = self._stream(event)\n"
                '        with self._failpoints.around("event.handle"):\n'
                "            self._handle(stream, event, abandoned)\n",
                after="        stream = self._stream(event)\n"
                "        known = self.__dict__.setdefault(__name__, set())\n"
                '        with self._failpoints.around("event.handle"):\n'
                "            if event.id not in known:\n"
                "                self._handle(stream, event, abandoned)\n"
                "        known.add(event.id)\n",
            ),
        ),
        tests=(f"{_REDELIVERY}::test_an_event_that_is_delivered_again_is_handled_again",),
    ),
    Bug(
        name="replayed_event_dropped_by_the_watermark",
        breaks='A replayed event is dropped for lying "at or below the watermark": nobody sees that the table is gone.',
        edits=(
            Edit(
                file="consumer/service/admission.py",
                before="            return None\n        try:\n            claim = self.claim(stream)\n",
                after="            return None\n"
                "        if event.cutoff <= self.register(stream).watermark:\n"
                "            return None\n"
                "        try:\n            claim = self.claim(stream)\n",
            ),
        ),
        tests=(f"{_REDELIVERY}::test_a_replayed_event_finds_a_table_that_was_rolled_back",),
    ),
    Bug(
        name="event_of_a_leased_stream_acknowledged",
        breaks="Work that another owner may never finish counts as done.",
        edits=(
            Edit(
                file="consumer/service/admission.py",
                before="        if record.watermark < event.cutoff or is_hint(event):\n            return False\n",
                after="",
            ),
        ),
        tests=(f"{_OFFLOAD}::test_an_event_is_held_while_another_owner_has_the_lease",),
    ),
    Bug(
        name="later_event_covered_by_an_earlier_one",
        breaks="An event that asks for more than the one before it is acknowledged with it.",
        edits=(
            Edit(
                file="consumer/service/runtime/work.py",
                before="        if mine.stream != theirs.stream or theirs.cutoff > mine.cutoff:\n",
                after="        if mine.stream != theirs.stream:\n",
            ),
        ),
        tests=(_DISPATCHER_TESTS,),
    ),
    Bug(
        name="partition_close_overtaken_by_a_tick",
        breaks="What lies between two ticks that are merged waits until both are done, and offsets with it.",
        edits=(
            Edit(
                file="consumer/service/runtime/work.py",
                before="        if all(tasks[position].covers(tasks[other]) for other in range(first, position)):\n",
                after="        if tasks[position].covers(tasks[first]):\n",
            ),
        ),
        tests=("tests/unit/runtime/test_merged.py",),
    ),
    Bug(
        name="rebalance_waits_for_maintenance",
        breaks="A partition is given back when a piece of maintenance has ended, or its deadline has come.",
        edits=(
            Edit(
                file="consumer/service/runtime/dispatcher.py",
                before="                assignment.give_way.set()\n",
                after="",
            ),
        ),
        tests=("tests/unit/runtime/test_idle_work.py",),
    ),
    Bug(
        name="lost_lease_not_noticed",
        breaks="An owner whose lease is gone starts one batch after the other, each for nothing.",
        edits=(
            Edit(
                file="consumer/service/lease.py",
                before="                self._lost.set()\n                self._on_lost()\n",
                after="                self._on_lost()\n",
            ),
        ),
        tests=("tests/unit/service/test_lease.py::test_a_newer_epoch_is_noticed_once_and_its_lease_is_left_alone",),
    ),
    Bug(
        name="partitioner_not_murmur2",
        breaks="The events of one stream lie on two partitions, and two consumers compete for it.",
        edits=(
            Edit(
                file="consumer/adapters/kafka/producer.py",
                before='partitioner="murmur2"',
                after='partitioner="consistent_random"',
            ),
        ),
        tests=("tests/unit/kafka/test_client_configuration.py",),
    ),
    Bug(
        name="offsets_committed_by_the_client",
        breaks="Kafka's client commits what it has fetched, whether it was handled or not.",
        edits=(
            Edit(
                file="consumer/adapters/kafka/client.py",
                before='        "enable.auto.commit": False,\n        "enable.auto.offset.store": False,\n',
                after='        "enable.auto.commit": True,\n        "enable.auto.offset.store": True,\n',
            ),
        ),
        tests=("tests/unit/kafka/test_client_configuration.py",),
    ),
    Bug(
        name="close_recorded_before_it_is_sent",
        breaks="A partition close that the broker did not take counts as sent, and is never sent.",
        edits=(
            Edit(
                file="consumer/emitter/emitter.py",
                before='        with self._failpoints.around("closes.send"):\n'
                "            self._sink.send(events)\n"
                '        with self._failpoints.around("closes.record"):\n'
                "            self._store.record_emissions(lease, emissions)\n",
                after='        with self._failpoints.around("closes.record"):\n'
                "            self._store.record_emissions(lease, emissions)\n"
                '        with self._failpoints.around("closes.send"):\n'
                "            self._sink.send(events)\n",
            ),
        ),
        tests=("tests/unit/emitter/test_emitter.py::test_a_close_that_was_not_acknowledged_is_not_recorded",),
    ),
    Bug(
        name="receipt_before_the_event",
        breaks="A redrive that breaks off has noted letters as sent that nobody has sent.",
        edits=(
            Edit(
                file="consumer/service/letters.py",
                before="                self._box.send(sent)\n",
                after="                self._box.receipt(sent)\n",
            ),
            Edit(
                file="consumer/service/letters.py",
                before="                self._box.receipt(sent)\n            for number",
                after="                self._box.send(sent)\n            for number",
            ),
        ),
        tests=(
            "tests/unit/service/test_letters.py::test_a_redrive_that_breaks_off_anywhere_is_finished_by_the_next_one",
        ),
    ),
    Bug(
        name="receipt_of_a_stranger_believed",
        breaks="A message with a header that looks like a receipt hides another one's dead letter.",
        edits=(
            Edit(
                file="consumer/adapters/kafka/letter_box.py",
                before="    if not said or any(name == _FIRST for name, _ in headers):\n",
                after="    if not said:\n",
            ),
        ),
        tests=("tests/contract/test_letter_box.py::test_letters_are_read_as_they_were_put_there[kafka]",),
        servers=(ComponentName.KAFKA,),
    ),
    Bug(
        name="deep_json_ends_the_worker",
        breaks="An event of ten thousand brackets raises an error that nobody expects, and ends the worker.",
        edits=(
            Edit(
                file="consumer/adapters/kafka/strict_json.py",
                before="    _check_depth(field, text)\n    try:\n",
                after="    try:\n",
            ),
            Edit(
                file="consumer/adapters/kafka/strict_json.py",
                before="    except (ValueError, RecursionError) as error:\n",
                after="    except ValueError as error:\n",
            ),
        ),
        tests=("tests/fuzz/test_fuzz.py::test_every_message_is_an_event_or_a_dead_letter",),
    ),
)
