"""DNS messages: questions read, answers written.

Invariant: whatever bytes come in, reading them ends with a query or `FormatError`; an answer repeats the question as
it was asked, since clients compare it with what they sent (some vary the case against forgery).
Source: RFC 1035 section 4, RFC 6891 (EDNS), RFC 2308 (negative answers).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
from dns.message import Message
from dns.rcode import Rcode
from dns.rrset import RRset

_HEADER_SIZE = 12
_RESPONSE = 0x80
_OPCODE = 0x78
_SMALLEST_ROOM, _LARGEST_ROOM = 512, 1232


class FormatError(Exception):
    """The bytes are no query that this server can take; `code` is what its sender is told."""

    def __init__(self, code: Rcode, reason: str) -> None:
        self.code = code
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question is answered with."""

    code: Rcode = Rcode.NOERROR
    answers: tuple[RRset, ...] = ()
    authority: tuple[RRset, ...] = ()
    additional: tuple[RRset, ...] = ()
    authoritative: bool = True


def is_response(data: bytes) -> bool:
    """Whether the bytes claim to be an answer, which nobody here has asked for."""
    return len(data) > 2 and bool(data[2] & _RESPONSE)


def read_query(data: bytes) -> Message:
    """The query of one question in a message. Raises FormatError."""
    if len(data) < _HEADER_SIZE:
        raise FormatError(Rcode.FORMERR, "shorter than a header")
    if is_response(data):
        raise FormatError(Rcode.FORMERR, "an answer, not a query")
    if data[2] & _OPCODE:
        raise FormatError(Rcode.NOTIMP, "not a query")
    try:
        query = dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError) as error:
        raise FormatError(Rcode.FORMERR, str(error)) from error
    if len(query.question) != 1:
        raise FormatError(Rcode.FORMERR, "not one question")
    return query


def name_of(query: Message) -> str:
    """The name asked for, in lower case and without the last dot."""
    return query.question[0].name.to_text(omit_final_dot=True).lower()


def answer(query: Message, found: Answer) -> Message:
    """The message that answers a query."""
    response = dns.message.make_response(query, recursion_available=True, our_payload=_LARGEST_ROOM)
    response.set_rcode(found.code)
    if found.authoritative:
        response.flags |= dns.flags.AA
    response.answer = list(found.answers)
    response.authority = list(found.authority)
    response.additional = list(found.additional)
    return response


def write(response: Message, query: Message, *, datagram: bool) -> bytes:
    """The bytes of an answer; what a datagram has no room for is left out, and the client told to ask again by TCP."""
    room = 65535
    if datagram:
        room = min(max(query.payload, _SMALLEST_ROOM), _LARGEST_ROOM) if query.edns >= 0 else _SMALLEST_ROOM
    return response.to_wire(max_size=room, prefer_truncation=True)


def write_refusal(data: bytes, code: Rcode) -> bytes:
    """An answer without a question, for a message that could not be read."""
    return data[:2].ljust(2, b"\0") + struct.pack(">5H", _RESPONSE << 8 | code, 0, 0, 0, 0)
