"""Finds the protobuf messages of the Kubernetes API in the type information of a Go program, for the distiller only.

Every Go program carries its types for reflection, struct tags included, and the API's types say their protobuf numbers
in their tags. So a kubectl of the newest level names the numbers of the newest fields, though it carries no descriptors
of its messages any more; helm does the same for custom resource definitions.
Invariant: as of go_tags.
Source: Go's internal/abi/type.go (the layouts below hold for 64-bit little-endian programs of Go 1.18 to 1.27).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from api.schema.go_tags import Message, read

_BOOL, _STRUCT, _SLICE, _MAP, _POINTER, _STRING, _UINT8, _FLOAT64 = 1, 25, 23, 21, 22, 24, 8, 14
_KINDS = {_BOOL: "bool", _STRING: "string", _FLOAT64: "double", 5: "int32", 6: "int64", 2: "int64"}
_KIND_MASK = 31
_UNCOMMON, _EXTRA_STAR = 1, 2
_HAS_TAG, _EMBEDDED = 2, 8
_TYPE_SIZE, _STRUCT_SIZE, _FIELD_SIZE = 48, 80, 24
_MOST_FIELDS = 200
_PACKAGE = "k8s.io/"


class _Section(NamedTuple):
    name: str
    address: int
    content: bytes


class _Field(NamedTuple):
    name: str
    tag: str
    embedded: bool
    type: int


class Program:
    """The types of one program, by address."""

    def __init__(self, binary: bytes) -> None:
        sections = {section.name: section for section in _sections(binary)}
        self._held = sections.get(".go.type") or sections[".rodata"]
        self._end = self._held.address + len(self._held.content)
        self._names = self._base_of_names(sections[".go.module"].content)

    def messages(self) -> dict[str, Message]:
        """Definition name to fields, for every struct with protobuf tags."""
        found: dict[str, Message] = {}
        todo = [address for address, fields in self._structs() if any("protobuf:" in field.tag for field in fields)]
        seen = set(todo)
        while todo:
            address = todo.pop()
            name = self._definition(address)
            if not name.startswith("io.k8s."):
                continue
            found[name], referred = self._message(address)
            todo += [other for other in referred if other not in seen]
            seen.update(referred)
        return found

    def _message(self, address: int) -> tuple[Message, list[int]]:
        if self._kind(address) == _SLICE:
            element = self._word(address + _TYPE_SIZE)
            return {"items": [1, *self._described(element, "repeated")[0]]}, []
        message: Message = {}
        referred = []
        for field in self._fields(address):
            tagged = read(field.name, field.tag, embedded=field.embedded)
            if tagged is None:
                continue
            (kind, label, reference), other = self._described(field.type, "", plain=tagged.repeated)
            label = "inline" if tagged.inline and kind == "message" else label
            message[tagged.name] = [tagged.number, kind, label, reference]
            referred += other
        return message, referred

    def _described(self, address: int, label: str, *, plain: bool = False) -> tuple[list[Any], list[int]]:
        """Kind, label and definition of a field of that type, and the types whose messages it needs.

        A slice of a type of its own (Verbs, ExtraValue) is a message of its own, unless its tag says it is `plain`.
        """
        kind = self._kind(address)
        if kind == _POINTER:
            return self._described(self._word(address + _TYPE_SIZE), label or "optional")
        if kind == _MAP:
            return self._described(self._word(address + _TYPE_SIZE + 8), "map")
        if kind == _SLICE and self._kind(self._word(address + _TYPE_SIZE)) == _UINT8:
            return ["bytes", label or "optional", ""], []
        if kind == _SLICE and (plain or not self._package(address)):
            return self._described(self._word(address + _TYPE_SIZE), "repeated")
        if kind in _KINDS:
            return [_KINDS[kind], label, ""], []
        return ["message", label, self._definition(address)], [address]

    def _structs(self) -> Iterator[tuple[int, list[_Field]]]:
        content, start = self._held.content, self._held.address
        for offset in range(0, len(content) - _STRUCT_SIZE, 8):
            if content[offset + 23] & _KIND_MASK != _STRUCT:
                continue
            count, capacity = struct.unpack_from("<QQ", content, offset + 64)
            if count != capacity or not 0 < count < _MOST_FIELDS:
                continue
            try:
                yield start + offset, self._fields(start + offset)
            except (ValueError, IndexError, struct.error):
                continue  # bytes that only look like a struct's

    def _fields(self, address: int) -> list[_Field]:
        first, count = self._word(address + 56), self._word(address + 64)
        fields = []
        for position in range(first, first + count * _FIELD_SIZE, _FIELD_SIZE):
            address = self._word(position)
            embedded = bool(self._held.content[self._offset(address)] & _EMBEDDED)
            fields.append(_Field(*self._name(address), embedded, self._word(position + 8)))
        return fields

    def _definition(self, address: int) -> str:
        """`Pod` of `k8s.io/api/core/v1` to `io.k8s.api.core.v1.Pod`; the empty string for a type of none of those."""
        package = self._package(address)
        if not package.startswith(_PACKAGE):
            return ""
        return f"io.k8s.{package.removeprefix(_PACKAGE).replace('/', '.')}.{self._type_name(address)}"

    def _type_name(self, address: int) -> str:
        name = self._name(self._names + self._signed(address + 40))[0]
        return name.rpartition(".")[2]

    def _package(self, address: int) -> str:
        if not self._flags(address) & _UNCOMMON:
            return ""
        sizes = {_STRUCT: _STRUCT_SIZE, _SLICE: _TYPE_SIZE + 8, _POINTER: _TYPE_SIZE + 8}
        uncommon = address + sizes.get(self._kind(address), _TYPE_SIZE)
        return self._name(self._names + self._signed(uncommon))[0]

    def _base_of_names(self, module: bytes) -> int:
        """Where offsets of names count from: the one word of the module's data that makes a known type's name right."""
        known = next(
            field.type
            for _, fields in self._structs()
            for field in fields
            if field.name == "ObjectMeta" and 'name=metadata"' in field.tag
        )
        for (word,) in struct.iter_unpack("<Q", module[: len(module) // 8 * 8]):
            self._names = word
            try:
                if self._type_name(known) == "ObjectMeta":
                    return int(word)
            except (ValueError, IndexError, struct.error):
                continue
        raise ValueError("the program's names were not found: a Go of another layout?")

    def _kind(self, address: int) -> int:
        return self._held.content[self._offset(address) + 23] & _KIND_MASK

    def _flags(self, address: int) -> int:
        return self._held.content[self._offset(address) + 20]

    def _word(self, address: int) -> int:
        return int(struct.unpack_from("<Q", self._held.content, self._offset(address))[0])

    def _signed(self, address: int) -> int:
        return int(struct.unpack_from("<i", self._held.content, self._offset(address))[0])

    def _name(self, address: int) -> tuple[str, str]:
        """A name and its tag. Raises ValueError for bytes that are none."""
        content, offset = self._held.content, self._offset(address)
        name, end = _text(content, offset + 1)
        if not content[offset] & _HAS_TAG:
            return name, ""
        return name, _text(content, end)[0]

    def _offset(self, address: int) -> int:
        if not self._held.address <= address < self._end:
            raise ValueError("an address outside of the types")
        return address - self._held.address


def _text(content: bytes, position: int) -> tuple[str, int]:
    length, shift = 0, 0
    while True:
        byte = content[position]
        position += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return content[position : position + length].decode(), position + length


def _sections(binary: bytes) -> Iterator[_Section]:
    (table,) = struct.unpack_from("<Q", binary, 40)
    size, count, names = struct.unpack_from("<HHH", binary, 58)
    headers = [struct.unpack_from("<IIQQQQ", binary, table + index * size) for index in range(count)]
    for name, _, _, address, offset, length in headers:
        start = headers[names][4] + name
        text = binary[start : binary.index(b"\0", start)].decode()
        yield _Section(text, address, binary[offset : offset + length])
