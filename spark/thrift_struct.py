"""Thrift structures in the compact protocol, field by field and without a model: what nobody knows stays as it is."""

from __future__ import annotations

from typing import Any, TypeAlias

from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TType
from thrift.transport.TTransport import TMemoryBuffer

Struct: TypeAlias = dict[int, tuple[int, Any]]
"""A Thrift structure: field number -> (type, value); a list is (type of its elements, values)."""


def read_struct(content: bytes) -> Struct:
    """Return the structure that ``content`` begins with.

    Raises:
        EOFError, KeyError, IndexError, TypeError, ValueError: if it is none.
    """
    return _read_fields(TCompactProtocol(TMemoryBuffer(content)))


def write_struct(struct: Struct) -> bytes:
    """Return a structure's bytes: those that it was read from, where nothing was changed."""
    buffer = TMemoryBuffer()
    _write(TCompactProtocol(buffer), TType.STRUCT, struct)
    return bytes(buffer.getvalue())


def _read(protocol: TCompactProtocol, kind: int) -> Any:  # noqa: ANN401 - what is there decides
    if kind == TType.STRUCT:
        return _read_fields(protocol)
    if kind in (TType.LIST, TType.SET):
        element, size = protocol.readListBegin()
        values = [_read(protocol, element) for _ in range(size)]
        protocol.readListEnd()
        return element, values
    readers = {
        TType.BOOL: protocol.readBool,
        TType.BYTE: protocol.readByte,
        TType.I16: protocol.readI16,
        TType.I32: protocol.readI32,
        TType.I64: protocol.readI64,
        TType.DOUBLE: protocol.readDouble,
        TType.STRING: protocol.readBinary,
    }
    return readers[kind]()


def _read_fields(protocol: TCompactProtocol) -> Struct:
    fields: Struct = {}
    protocol.readStructBegin()
    while True:
        _, kind, number = protocol.readFieldBegin()
        if kind == TType.STOP:
            break
        fields[number] = (kind, _read(protocol, kind))
        protocol.readFieldEnd()
    protocol.readStructEnd()
    return fields


def _write(protocol: TCompactProtocol, kind: int, value: Any) -> None:  # noqa: ANN401 - as it was read
    if kind == TType.STRUCT:
        protocol.writeStructBegin("")
        for number in sorted(value):
            field_kind, field_value = value[number]
            protocol.writeFieldBegin("", field_kind, number)
            _write(protocol, field_kind, field_value)
            protocol.writeFieldEnd()
        protocol.writeFieldStop()
        protocol.writeStructEnd()
        return
    if kind in (TType.LIST, TType.SET):
        element, values = value
        protocol.writeListBegin(element, len(values))
        for one in values:
            _write(protocol, element, one)
        protocol.writeListEnd()
        return
    writers = {
        TType.BOOL: protocol.writeBool,
        TType.BYTE: protocol.writeByte,
        TType.I16: protocol.writeI16,
        TType.I32: protocol.writeI32,
        TType.I64: protocol.writeI64,
        TType.DOUBLE: protocol.writeDouble,
        TType.STRING: protocol.writeBinary,
    }
    writers[kind](value)
