"""Protocol buffers on the wire, without their descriptions: fields by number, in the order in which they came."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

Fields = Mapping[int, list[int | bytes]]
_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}


def encoded(*fields: tuple[int, int | bytes | str]) -> bytes:
    """Return a message of these fields: numbers as varints, text and messages with their length."""
    message = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            message += varint(number << 3 | _VARINT) + varint(value)
        else:
            content = value.encode() if isinstance(value, str) else value
            message += varint(number << 3 | _BYTES) + varint(len(content)) + content
    return bytes(message)


def decoded(message: bytes) -> Fields:
    """Return a message's fields; what is a message itself comes as its bytes."""
    fields: defaultdict[int, list[int | bytes]] = defaultdict(list)
    position = 0
    while position < len(message):
        key, position = read_varint(message, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = read_varint(message, position)
            fields[key >> 3].append(value)
            continue
        length, position = (_FIXED[kind], position) if kind in _FIXED else read_varint(message, position)
        fields[key >> 3].append(message[position : position + length])
        position += length
    return fields


def varint(value: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def read_varint(message: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position behind it."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
