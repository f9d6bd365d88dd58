"""DNS messages: questions read, answers written, and as much of others' answers read as forwarding needs.

Names are held in lower case with dots and without the last one; an answer repeats the question byte for byte, since
clients compare it with what they sent (some vary the case against forgery).

Invariant: whatever bytes come in, reading them ends with a value or `FormatError`.
Source: RFC 1035 section 4, RFC 2782 (SRV), RFC 6891 (EDNS), RFC 2308 (negative answers).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Type(IntEnum):
    """Record types that this server makes or looks into."""

    A = 1
    CNAME = 5
    SOA = 6
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    ANY = 255


class Code(IntEnum):
    """Response codes."""

    SUCCESS = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NAME_ERROR = 3
    NOT_IMPLEMENTED = 4
    REFUSED = 5


IN = 1
_HEADER = struct.Struct(">6H")
_RECORD = struct.Struct(">HHIH")
_RESPONSE, _AUTHORITATIVE, _TRUNCATED = 0x8000, 0x0400, 0x0200
_RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x0100, 0x0080
_OPCODE = 0x7800
_POINTER = 0xC0
_QUESTION_POINTER = b"\xc0\x0c"
_SMALLEST_UDP, _LARGEST_UDP = 512, 1232
_MAXIMUM_NAME = 255


class FormatError(Exception):
    """The bytes are no DNS message, or not one that this server can take."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question, and how its answer has to look; `room` is the largest answer over UDP."""

    identity: int
    flags: int
    question: bytes
    name: str
    kind: int
    category: int
    room: int
    extended: bool

    @property
    def opcode(self) -> int:
        """0 is an ordinary query."""
        return (self.flags & _OPCODE) >> 11


class Record(NamedTuple):
    """A resource record of class IN; `data` is its RDATA, without compression."""

    name: str
    kind: int
    ttl: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question is answered with."""

    code: Code = Code.SUCCESS
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    authoritative: bool = True


def pack_name(name: str) -> bytes:
    """A name as labels; "" is the root. Raises FormatError if a label or the name is too long."""
    packed = b""
    for label in name.split(".") if name else ():
        encoded = label.encode("utf-8", "surrogateescape")
        if not 0 < len(encoded) < 64:
            raise FormatError(f"{name!r} has a label of {len(encoded)} bytes")
        packed += bytes((len(encoded),)) + encoded
    if len(packed) >= _MAXIMUM_NAME:
        raise FormatError(f"{name!r} is longer than a name can be")
    return packed + b"\0"


def address(name: str, ttl: int, text: str) -> Record:
    """An A or AAAA record."""
    if ":" in text:
        return Record(name, Type.AAAA, ttl, socket.inet_pton(socket.AF_INET6, text))
    return Record(name, Type.A, ttl, socket.inet_pton(socket.AF_INET, text))


def alias(name: str, ttl: int, target: str) -> Record:
    """A CNAME record."""
    return Record(name, Type.CNAME, ttl, pack_name(target))


def pointer(name: str, ttl: int, target: str) -> Record:
    """A PTR record."""
    return Record(name, Type.PTR, ttl, pack_name(target))


def location(name: str, ttl: int, weight: int, port: int, target: str) -> Record:
    """An SRV record of priority 0."""
    return Record(name, Type.SRV, ttl, struct.pack(">3H", 0, weight, port) + pack_name(target))


def text(name: str, ttl: int, value: str) -> Record:
    """A TXT record."""
    encoded = value.encode()
    return Record(name, Type.TXT, ttl, bytes((len(encoded),)) + encoded)


def authority(zone: str, ttl: int, serial: int) -> Record:
    """The SOA record of a zone, whose last number says how long a negative answer holds."""
    names = pack_name(f"ns.dns.{zone}") + pack_name(f"hostmaster.{zone}")
    return Record(zone, Type.SOA, ttl, names + struct.pack(">5I", serial & 0xFFFFFFFF, 7200, 1800, 86400, ttl))


def read_query(data: bytes) -> Query:
    """The query in a datagram. Raises FormatError."""
    if len(data) < _HEADER.size:
        raise FormatError("shorter than a header")
    identity, flags, questions, _, _, additional = _HEADER.unpack_from(data)
    if flags & _RESPONSE or questions != 1:
        raise FormatError("not one question")
    name, end = read_name(data, _HEADER.size)
    if end + 4 > len(data):
        raise FormatError("the question ends too soon")
    kind, category = struct.unpack_from(">HH", data, end)
    room, extended = _SMALLEST_UDP, False
    if additional:
        room, extended = _read_extension(data, end + 4)
    return Query(identity, flags, data[_HEADER.size : end + 4], name, kind, category, room, extended)


def read_name(data: bytes, offset: int) -> tuple[str, int]:
    """The name at an offset in lower case, and where what follows it begins. Raises FormatError."""
    labels: list[str] = []
    end = 0
    size = 0
    while True:
        if offset >= len(data):
            raise FormatError("a name ends too soon")
        length = data[offset]
        if length & _POINTER == _POINTER:
            if offset + 1 >= len(data):
                raise FormatError("a pointer ends too soon")
            end = end or offset + 2
            target = (length & 0x3F) << 8 | data[offset + 1]
            if target >= offset:
                raise FormatError("a pointer leads forward")
            offset = target
            continue
        if length & _POINTER:
            raise FormatError("an unknown kind of label")
        offset += 1
        if length == 0:
            return ".".join(labels), end or offset
        size += length + 1
        if size > _MAXIMUM_NAME or offset + length > len(data):
            raise FormatError("a name is too long")
        labels.append(data[offset : offset + length].decode("utf-8", "surrogateescape").lower())
        offset += length


def tail(answer: Answer, query: Query) -> bytes:
    """Everything of an answer that follows the question: the part that can be kept for the next one who asks."""
    sections = (answer.answers, answer.authority, answer.additional)
    parts = [_pack_record(record, query.name) for section in sections for record in section]
    if query.extended:
        parts.append(b"\0" + _RECORD.pack(Type.OPT, _LARGEST_UDP, 0, 0))
    return b"".join(parts)


def head(answer: Answer, query: Query, *, truncated: bool = False) -> bytes:
    """The header of an answer and the question, as the query had it."""
    flags = _RESPONSE | _RECURSION_AVAILABLE | query.flags & (_RECURSION_DESIRED | _OPCODE) | answer.code
    flags |= _AUTHORITATIVE if answer.authoritative else 0
    extended = 1 if query.extended else 0
    counts = (len(answer.answers), len(answer.authority), len(answer.additional) + extended)
    if truncated:
        flags |= _TRUNCATED
        counts = (0, 0, extended)
    return _HEADER.pack(query.identity, flags, 1, *counts) + query.question


def write_answer(answer: Answer, query: Query, *, datagram: bool = True) -> bytes:
    """The whole answer; for a datagram that it does not fit into, one that says to ask again by TCP."""
    message = head(answer, query) + tail(answer, query)
    if datagram and len(message) > query.room:
        return head(answer, query, truncated=True) + tail(Answer(), query)
    return message


def write_refusal(data: bytes, code: Code) -> bytes:
    """An answer without a question, for a message that could not be read."""
    identity = struct.unpack_from(">H", data)[0] if len(data) >= 2 else 0
    return _HEADER.pack(identity, _RESPONSE | code, 0, 0, 0, 0)


def read_records(data: bytes) -> tuple[int, list[Record], int]:
    """(response code, records of the answer section, smallest TTL) of others' answer. Raises FormatError."""
    if len(data) < _HEADER.size:
        raise FormatError("shorter than a header")
    _, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    offset = _HEADER.size
    for _ in range(questions):
        offset = read_name(data, offset)[1] + 4
    records: list[Record] = []
    ttls: list[int] = []
    for index in range(answers + authorities + additional):
        record, offset = _read_record(data, offset)
        if record.kind != Type.OPT:
            ttls.append(record.ttl)
        if index < answers:
            records.append(record)
    return flags & 0xF, records, min(ttls, default=0)


def is_truncated(data: bytes) -> bool:
    """Whether an answer says to ask again by TCP."""
    return len(data) >= 4 and bool(struct.unpack_from(">H", data, 2)[0] & _TRUNCATED)


def question(name: str, kind: int, identity: int) -> bytes:
    """A recursive query of our own."""
    header = _HEADER.pack(identity, _RECURSION_DESIRED, 1, 0, 0, 0)
    return header + pack_name(name) + struct.pack(">HH", kind, IN)


def srv_targets(records: Iterable[Record]) -> list[str]:
    """The targets of the SRV records among these."""
    return [read_name(record.data, 6)[0] for record in records if record.kind == Type.SRV]


def _read_extension(data: bytes, offset: int) -> tuple[int, bool]:
    """The room that an OPT record offers; a record of another kind is passed over."""
    if offset + 11 > len(data) or data[offset] != 0:
        return _SMALLEST_UDP, False
    kind, room, _, _ = _RECORD.unpack_from(data, offset + 1)
    if kind != Type.OPT:
        return _SMALLEST_UDP, False
    return max(_SMALLEST_UDP, min(room, _LARGEST_UDP)), True


def _read_record(data: bytes, offset: int) -> tuple[Record, int]:
    name, offset = read_name(data, offset)
    if offset + _RECORD.size > len(data):
        raise FormatError("a record ends too soon")
    kind, _, ttl, length = _RECORD.unpack_from(data, offset)
    start = offset + _RECORD.size
    if start + length > len(data):
        raise FormatError("a record ends too soon")
    value = data[start : start + length]
    if kind in (Type.CNAME, Type.PTR):
        value = pack_name(read_name(data, start)[0])
    return Record(name, kind, ttl, value), start + length


def _pack_record(record: Record, asked: str) -> bytes:
    owner = _QUESTION_POINTER if record.name == asked else pack_name(record.name)
    return owner + _RECORD.pack(record.kind, IN, record.ttl, len(record.data)) + record.data
