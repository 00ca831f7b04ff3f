"""Takes a member out of a group of Kafka's new protocol behind its back, as the broker does with one that is silent."""

from __future__ import annotations

import socket
import struct

from confluent_kafka.admin import AdminClient

_HEARTBEAT, _VERSION = 68, 0
_LEAVES = -1
_NULL = b"\x00"


def expel_members(bootstrap_servers: str, group: str) -> None:
    """Tell the broker, in the name of each member of the group, that it leaves.

    The member hears of it with its next heartbeat; what it commits before is refused.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    (described,) = admin.describe_consumer_groups([group]).values()
    for member in described.result(20).members:
        _leave(bootstrap_servers, group, member.member_id)


def _leave(bootstrap_servers: str, group: str, member: str) -> None:
    """Send a ConsumerGroupHeartbeat (KIP-848) with the epoch that means farewell."""
    client = b"icehaul-tests"
    head = struct.pack(">hhih", _HEARTBEAT, _VERSION, 1, len(client)) + client + _NULL
    # Instance, rack, rebalance time-out, subscription, assignor, partitions and tags: all as they were, or none.
    rest = _NULL + _NULL + struct.pack(">i", -1) + _NULL + _NULL + _NULL + _NULL
    request = head + _compact(group) + _compact(member) + struct.pack(">i", _LEAVES) + rest
    host, _, port = bootstrap_servers.partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = connection.makefile("rb")
        (length,) = struct.unpack(">i", answer.read(4))
        # Correlation id, tags and throttle time come before the error.
        (error,) = struct.unpack(">h", answer.read(length)[9:11])
    assert error == 0, f"the broker refuses with error {error}"


def _compact(text: str) -> bytes:
    data = text.encode()
    length = len(data) + 1
    assert length < 1 << 7, text
    return bytes([length]) + data
