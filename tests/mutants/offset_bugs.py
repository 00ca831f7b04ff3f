"""Bugs of offsets that do not say where to go on: incidents that are missed, or forgotten before they are made good."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_INCIDENT = "consumer/domain/offset_incident.py"
_OFFSETS = "consumer/service/runtime/offsets.py"
_INTAKE = "consumer/service/runtime/intake.py"
_POSITIONS = "consumer/adapters/kafka/positions.py"
_CONSUMER = "consumer/adapters/kafka/consumer.py"

_JUDGE_TESTS = "tests/unit/domain/test_offset_incident.py"
_LOOP_TESTS = "tests/unit/runtime/test_incidents.py"
_REBALANCE_TESTS = "tests/integration/runtime/test_rebalance.py"
_BROKER_TESTS = "tests/integration/runtime/test_offset_incidents.py"

BUGS = (
    Bug(
        name="pause_that_outlives_its_assignment",
        breaks="A partition that was paused when it was given away, or begun anew, is never read again.",
        edits=(
            Edit(
                file="consumer/adapters/kafka/consumer.py",
                before="self._client.resume([TopicPartition(*partition) for partition in paused])",
                after="pass",
            ),
        ),
        tests=("tests/unit/kafka/test_jumps.py",),
    ),
    Bug(
        name="jump_to_the_end_after_an_offset_out_of_range",
        breaks="A committed offset that is out of range makes the group skip all events that are left.",
        edits=(
            Edit(file=_INCIDENT, before="        return self.bounds.first\n", after="        return self.bounds.end\n"),
        ),
        tests=(_JUDGE_TESTS,),
    ),
    Bug(
        name="other_topics_offset_taken_over",
        breaks="The offset of a topic that was deleted is taken for one of its successor, whose events it skips.",
        edits=(
            Edit(
                file=_INCIDENT,
                before="self.topic_id != self.topic_id_then\n",
                after="False\n",
            ),
        ),
        tests=(_JUDGE_TESTS,),
    ),
    Bug(
        name="deleted_group_taken_for_a_new_one",
        breaks="A group that was deleted starts over without a word, and what its topic lost is made up for by no one.",
        edits=(
            Edit(
                file=_INCIDENT,
                before="            return self.remembered is not None\n",
                after="            return False\n",
            ),
        ),
        tests=(_JUDGE_TESTS,),
    ),
    Bug(
        name="skip_by_reset_unnoticed",
        breaks="Events that somebody skipped by a reset of the offsets are made up for at the next tick only.",
        edits=(
            Edit(
                file=_INCIDENT,
                before="    return None if standing.marked else IncidentKind.MOVED\n",
                after="    return None\n",
            ),
        ),
        tests=(_JUDGE_TESTS,),
    ),
    Bug(
        name="offset_committed_before_its_streams_are_reconciled",
        breaks="A consumer that dies between an incident and its reconciles takes the only trace of it along.",
        edits=(
            Edit(
                file=_OFFSETS,
                before="return None if self._holds or self._position == self._committed else self._position\n",
                after="return None if self._position == self._committed else self._position\n",
            ),
        ),
        tests=("tests/unit/runtime/test_offsets.py", _LOOP_TESTS),
    ),
    Bug(
        name="incident_reported_and_nothing_done",
        breaks="Events that are gone are logged, and the streams that they were for are not reconciled.",
        edits=(
            Edit(
                file=_INTAKE,
                before="        events = self._reconciling(incident)\n",
                after="        events = self._reconciling(incident)[:0]\n",
            ),
        ),
        tests=(_LOOP_TESTS,),
    ),
    Bug(
        name="running_member_keeps_its_position_in_another_topic",
        breaks="A topic that is deleted and created anew is read from the middle by the members that were running.",
        edits=(
            Edit(
                file=_POSITIONS,
                before="        changed = [one for one in partitions if self._ids.get(one, facts.id) != facts.id]\n",
                after="        changed: list[Partition] = []\n",
            ),
        ),
        tests=(f"{_BROKER_TESTS}::test_a_topic_that_is_made_anew_under_a_running_member_is_read_from_its_beginning",),
    ),
    Bug(
        name="offsets_without_the_topics_id",
        breaks="Nobody can tell which topic a committed offset is of, nor who has committed it.",
        edits=(
            Edit(
                file=_CONSUMER,
                before="offset, self._positions.mark(at))",
                after="offset)",
            ),
        ),
        tests=(_BROKER_TESTS,),
    ),
    Bug(
        name="messages_before_a_jump_taken_along",
        breaks="An offset of before a jump makes all lower ones of after it look as if they had been received.",
        edits=(
            Edit(
                file=_CONSUMER,
                before="if (one.topic(), one.partition()) != begun]",
                after="if begun]",
            ),
        ),
        tests=("tests/unit/kafka/test_jumps.py",),
    ),
    Bug(
        name="heir_of_a_killed_static_member_ends",
        breaks="A static member that was killed can't be started again before the broker has given it up.",
        edits=(
            Edit(
                file=_CONSUMER,
                before="        if is_unreleased(error) and not self._identity_until.expired:\n",
                after="        if is_unreleased(error) and self._identity_until.expired:\n",
            ),
        ),
        tests=(
            f"{_REBALANCE_TESTS}::test_a_static_member_that_is_killed_is_followed_by_the_next_process_of_its_identity",
        ),
    ),
)
