"""What every consumer group keeps to, by both protocols of a real broker, and the one in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from consumer.domain.errors import BrokerUnavailableError
from consumer.embedded.stack import EmbeddedStack
from consumer.service.runtime.ports import Partition
from tests.support.cases import few
from tests.support.group_members import Driven, Group, KafkaGroup, MemoryGroup, drive


@pytest.fixture(params=few(["memory", "consumer", "classic"], {"memory", "consumer"}))
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    made: Group
    if request.param == "memory":
        made = MemoryGroup()
    else:
        stack: EmbeddedStack = request.getfixturevalue("stack")
        made = KafkaGroup(stack.endpoints.kafka.bootstrap_servers, request.param)
    yield made
    made.close()


def joined(group: Group, *, silent: bool = False) -> Driven:
    """A member that owns all partitions."""
    member = group.member(silent=silent)
    member.join()
    drive(member, until=lambda: len(member.owned) == len(group.partitions), what="the assignment")
    return member


def share(first: Driven, second: Driven) -> None:
    """Let a second member join, until each has one partition."""
    second.join()
    drive(first, second, until=lambda: (len(first.owned), len(second.owned)) == (1, 1), what="the partitions' split")


def test_the_first_member_gets_every_message_from_the_beginning_in_order(group: Group) -> None:
    for partition in group.partitions:
        group.send(partition, 3)
    member = joined(group)
    drive(member, until=lambda: len(member.got) == 6)
    assert [member.got_from(partition) for partition in group.partitions] == [[0, 1, 2], [0, 1, 2]]
    assert sorted(at for what, numbers in member.heard for at in numbers if what == "assigned") == [0, 1]
    group.send(group.partitions[0])
    drive(member, until=lambda: len(member.got) == 7)
    assert member.got[-1] == (0, 3)


def test_a_poll_returns_at_most_what_it_may(group: Group) -> None:
    member = joined(group)
    group.send(group.partitions[0], 5)
    sizes: list[int] = []
    while sum(sizes) < 5:
        sizes.append(len(member.poll(limit=2)))
    assert max(sizes) == 2
    assert member.got_from(group.partitions[0]) == [0, 1, 2, 3, 4]


def test_a_paused_partition_is_not_fetched_from_and_loses_nothing(group: Group) -> None:
    member = joined(group)
    quiet, lively = group.partitions
    group.send(quiet)
    drive(member, until=lambda: member.got_from(quiet) == [0])
    member.source.pause([quiet])
    group.send(quiet, 3)
    group.send(lively, 2)
    drive(member, until=lambda: member.got_from(lively) == [0, 1])
    member.poll()
    assert member.got_from(quiet) == [0]
    member.source.resume([quiet])
    drive(member, until=lambda: len(member.got_from(quiet)) == 4)
    assert member.got_from(quiet) == [0, 1, 2, 3]
    assert member.owned == set(group.partitions)


def test_a_commit_is_answered_in_a_later_poll_and_not_before(group: Group) -> None:
    member = joined(group)
    at, other = group.partitions
    group.send(at, 2)
    drive(member, until=lambda: len(member.got) == 2)
    member.source.commit({at: 2})
    assert member.answers == []
    drive(member, until=lambda: member.answers)
    assert member.answers == [({at.number: 2}, {})]
    assert (group.committed(at), group.committed(other)) == (2, None)


def test_a_commit_that_is_waited_for_is_there_at_once(group: Group) -> None:
    member = joined(group)
    assert member.source.commit_now(dict.fromkeys(group.partitions, 4)) == {}
    assert [group.committed(partition) for partition in group.partitions] == [4, 4]


def test_the_next_member_begins_behind_what_was_committed(group: Group) -> None:
    at, other = group.partitions
    for partition in group.partitions:
        group.send(partition, 3)
    member = joined(group)
    drive(member, until=lambda: len(member.got) == 6)
    member.source.commit_now({at: 2})
    group.leave(member)
    assert member.owned == set()
    assert {what for what, _ in member.heard} == {"assigned", "revoked"}
    again = joined(group)
    drive(again, until=lambda: len(again.got) == 4)
    assert (again.got_from(at), again.got_from(other)) == ([2], [0, 1, 2])


def test_a_second_member_takes_over_where_the_first_one_has_committed_while_giving_back(group: Group) -> None:
    for partition in group.partitions:
        group.send(partition, 3)
    first, second = joined(group), group.member()
    drive(first, until=lambda: len(first.got) == 6)
    first.on_revoked = lambda: refused.append(first.source.commit_now(dict.fromkeys(first.owned, 2)))
    refused: list[object] = []
    share(first, second)
    assert refused
    assert not any(refused)
    (moved,) = second.owned
    assert first.owned == set(group.partitions) - {moved}
    drive(first, second, until=lambda: second.got_from(moved))
    assert second.got_from(moved) == [2]
    assert ("lost", (moved.number,)) not in first.heard
    group.leave(second)
    drive(first, until=lambda: len(first.owned) == 2)


def test_messages_go_to_the_partitions_owner_alone(group: Group) -> None:
    first, second = joined(group), group.member()
    share(first, second)
    for partition in group.partitions:
        group.send(partition, 2)
    drive(first, second, until=lambda: len(first.got) + len(second.got) == 4)
    for member in (first, second):
        (own,) = member.owned
        assert member.got_from(own) == [0, 1]
        assert len(member.got) == 2


def test_a_silent_member_has_lost_its_partitions_and_can_commit_nothing(group: Group) -> None:
    at = group.partitions[0]
    group.send(at, 2)
    silent, heir = joined(group, silent=True), group.member()
    drive(silent, until=lambda: len(silent.got) == 2)
    heir.join()
    group.time_passes(silent)
    drive(heir, until=lambda: heir.owned == set(group.partitions) and len(heir.got) == 2, what="the heir's turn")
    assert heir.source.commit_now({at: 2}) == {}
    refused = silent.source.commit_now({at: 1})
    assert set(refused) == {at}
    assert refused[at]
    assert group.committed(at) == 2
    # What the group had asked for before it expelled the member is told as a revocation, though it comes too late.
    silent.on_revoked = lambda: late.append(silent.source.commit_now({at: 1}))
    late: list[Mapping[Partition, str]] = []
    drive(silent, heir, until=lambda: len(silent.heard) > 2)
    (asked, first), (taken, second) = silent.heard[1:3]
    assert (asked, taken) == ("revoked", "lost")
    assert sorted((*first, *second)) == [0, 1]
    assert [set(refused) for refused in late] == [{at}]
    assert group.committed(at) == 2
    drive(silent, heir, until=lambda: (len(silent.owned), len(heir.owned)) == (1, 1), what="the silent one's return")


def test_a_silent_member_hears_that_its_commit_was_refused(group: Group) -> None:
    at = group.partitions[0]
    silent, heir = joined(group, silent=True), group.member()
    heir.join()
    group.time_passes(silent)
    drive(heir, until=lambda: heir.owned == set(group.partitions), what="the heir's turn")
    silent.source.commit({at: 1})
    drive(silent, heir, until=lambda: silent.answers)
    (offsets, refused), *_ = silent.answers
    assert offsets == {at.number: 1}
    assert set(refused) == {at.number}
    assert group.committed(at) is None


def test_the_end_of_a_partition_is_known_once_it_was_fetched_from(group: Group) -> None:
    at = group.partitions[0]
    group.send(at, 3)
    member = joined(group)
    drive(member, until=lambda: len(member.got) == 3)
    assert member.source.ends([at]) == {at: 3}


def test_a_broker_that_does_not_answer_is_a_passing_error_at_the_start(group: Group) -> None:
    member = group.unreachable()
    with pytest.raises(BrokerUnavailableError) as raised:
        member.join()
    assert raised.value.remedy
    assert member.heard == []


def test_the_group_takes_a_members_commit_for_a_partition_of_another(group: Group) -> None:
    """So it is the member that has to forget what it gave back."""
    first, second = joined(group), group.member()
    share(first, second)
    (others,) = first.owned
    assert second.source.commit_now({others: 1}) == {}
    assert group.committed(others) == 1
