"""Netlink without an event loop: ordinary blocking sockets that carry messages encoded elsewhere.

pyroute2's own sockets run on asyncio, which does not mix with gevent. Its message classes do not care, so they
encode (`encode`) and decode (`rtnetlink/decode.py`), while this module only moves bytes: sequence numbers, many
messages in one system call, acknowledgements, the kernel's own words about what it refused, dumps.

Invariant: after a call returns, no answer to it is left unread; a socket is used by one task at a time.
Source: Linux include/uapi/linux/netlink.h, Documentation/userspace-api/netlink/intro.rst.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from agents.network import namespaces

REQUEST = 0x1
ACK = 0x4
ROOT_AND_MATCH = 0x300
REPLACE = 0x100
EXCLUSIVE = 0x200
CREATE = 0x400
APPEND = 0x800

_ERROR = 2
_DONE = 3
_MULTI = 0x2
_DUMP_INTERRUPTED = 0x10
_CAPPED = 0x100
_HAS_TLVS = 0x200
_ATTRIBUTE_MESSAGE = 1

_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHECK = 12
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33

HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE_SIZE = 1 << 18
_ACKS_AT_ONCE = 128
_TIMEOUT = 10.0
_DUMP_ATTEMPTS = 10


class Message(NamedTuple):
    """One netlink message without its sequence number: type, flags, and what follows the header."""

    type: int
    flags: int
    payload: bytes


class NetlinkError(Exception):
    """The kernel refused a message: `code` is the errno, `index` says which message of the call it was."""

    def __init__(self, code: int, explanation: str = "", index: int = 0) -> None:
        self.code = code
        self.index = index
        reason = os.strerror(code)
        super().__init__(f"{reason} ({explanation})" if explanation else reason)


def encode(message: Any, kind: int, flags: int) -> Message:
    """A `Message` from one of pyroute2's message objects."""
    message.encode()
    return Message(kind, flags, bytes(message.data[HEADER.size :]))


def attribute(kind: int, payload: bytes) -> bytes:
    """One netlink attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(len(payload) + 4, kind) + payload + b"\0" * (-len(payload) % 4)


def attributes(data: bytes, start: int = 0) -> dict[int, bytes]:
    """The attributes in `data` from `start`, by type without the nested and byte order flags; the last one wins."""
    return dict(attribute_list(data, start))


def attribute_list(data: bytes, start: int = 0) -> list[tuple[int, bytes]]:
    """The attributes in `data` from `start` in their order, as (type without flags, payload)."""
    found = []
    end = len(data)
    while start + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < 4:
            break
        found.append((kind & 0x3FFF, data[start + 4 : start + length]))
        start += length + (-length % 4)
    return found


class NetlinkSocket:
    """One AF_NETLINK socket of a protocol, in the namespace at `namespace_path` (default: the caller's).

    The kernel carries out a message while it is sent.
    """

    def __init__(self, protocol: int, namespace_path: str = "") -> None:
        if namespace_path:
            with namespaces.inside(namespace_path):
                self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        else:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        self._socket.settimeout(_TIMEOUT)
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 << 20)
        self._sequence = 0

    def __enter__(self) -> NetlinkSocket:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def strict(self) -> NetlinkSocket:
        """Let the kernel honour the filters in dump requests (rtnetlink); returns the socket itself."""
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHECK, 1)
        return self

    def request(self, message: Message) -> None:
        """Send one message and wait until it is done. Raises NetlinkError."""
        error = self.batch([message])[0]
        if error is not None:
            raise error

    def batch(self, messages: Sequence[Message]) -> list[NetlinkError | None]:
        """Send messages in as few system calls as the answers' buffer allows; one outcome a message, in order.

        The kernel carries them out one after another and goes on after a refused one.
        """
        outcomes: list[NetlinkError | None] = []
        for start in range(0, len(messages), _ACKS_AT_ONCE):
            part = messages[start : start + _ACKS_AT_ONCE]
            first = self._send(part, ACK)
            waiting = len(part)
            errors: dict[int, NetlinkError] = {}
            while waiting:
                for kind, flags, sequence, payload in self._receive(first, first + len(part)):
                    if kind == _ERROR:
                        waiting -= 1
                        error = _error(payload, flags, start + sequence - first)
                        if error is not None:
                            errors[sequence - first] = error
            outcomes += [errors.get(index) for index in range(len(part))]
        return outcomes

    def transaction(self, messages: Sequence[Message]) -> None:
        """Send messages that the kernel takes as one unit, of which the one before the last asks for the answer.

        Raises NetlinkError for the first refused message; then nothing was changed.
        """
        wanted = len(messages) - 2
        marked = list(messages)
        marked[wanted] = marked[wanted]._replace(flags=marked[wanted].flags | ACK)
        first = self._send(marked, 0)
        while True:
            for kind, flags, sequence, payload in self._receive(first, first + len(messages)):
                if kind != _ERROR:
                    continue
                error = _error(payload, flags, sequence - first)
                if error is not None:
                    self._drain()
                    raise error
                if sequence - first == wanted:
                    return

    def dump(self, message: Message) -> list[tuple[int, bytes]]:
        """Everything the kernel lists for a request, as (type, payload); asked again if it changed meanwhile.

        Raises NetlinkError.
        """
        for _ in range(_DUMP_ATTEMPTS):
            first = self._send([message], ROOT_AND_MATCH)
            answers, consistent = self._collect(first)
            if consistent:
                return answers
        raise NetlinkError(errno.EINTR, "the list changed each time it was read")

    def get(self, message: Message) -> tuple[int, bytes]:
        """The one object that a request without the dump flags is answered with. Raises NetlinkError."""
        first = self._send([message], 0)
        while True:
            for kind, flags, _, payload in self._receive(first, first + 1):
                if kind != _ERROR:
                    return kind, payload
                error = _error(payload, flags, 0)
                if error is not None:
                    raise error

    def _collect(self, first: int) -> tuple[list[tuple[int, bytes]], bool]:
        answers: list[tuple[int, bytes]] = []
        consistent = True
        while True:
            for kind, flags, _, payload in self._receive(first, first + 1):
                consistent = consistent and not flags & _DUMP_INTERRUPTED
                if kind == _DONE:
                    code = -struct.unpack_from("=i", payload)[0] if len(payload) >= 4 else 0
                    if code > 0:
                        raise NetlinkError(code)
                    return answers, consistent
                if kind == _ERROR:
                    error = _error(payload, flags, 0)
                    if error is not None:
                        raise error
                    return answers, consistent
                answers.append((kind, payload))

    def _send(self, messages: Sequence[Message], flags: int) -> int:
        """Number and send the messages; the first one's sequence number."""
        first = self._sequence + 1
        if first + len(messages) > 0x7FFFFFFF:
            first = 1
        parts = []
        size = 0
        for sequence, message in enumerate(messages, first):
            length = HEADER.size + len(message.payload)
            padding = -length % 4
            parts.append(HEADER.pack(length, message.type, message.flags | flags | REQUEST, sequence, 0))
            parts.append(message.payload + b"\0" * padding if padding else message.payload)
            size += length + padding
        self._sequence = first + len(messages) - 1
        if size > 100_000:
            # The kernel takes a batch only whole, and a buffer's accounted size includes its overhead.
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * size)
        data = b"".join(parts)
        self._socket.sendto(data, (0, 0))
        return first

    def _receive(self, first: int, end: int) -> list[tuple[int, int, int, bytes]]:
        """The messages of one datagram that answer sequence numbers from `first` up to `end`."""
        try:
            data = self._socket.recv(_RECEIVE_SIZE)
        except TimeoutError as error:
            raise NetlinkError(errno.ETIMEDOUT, "the kernel did not answer") from error
        found = []
        offset = 0
        while offset + HEADER.size <= len(data):
            length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
            if first <= sequence < end:
                found.append((kind, flags, sequence, data[offset + HEADER.size : offset + length]))
            offset += max(length + (-length % 4), HEADER.size)
        return found

    def _drain(self) -> None:
        """Throw away the answers that are there already."""
        self._socket.settimeout(0.0)
        try:
            while self._socket.recv(_RECEIVE_SIZE):
                continue
        except BlockingIOError:
            return
        finally:
            self._socket.settimeout(_TIMEOUT)


def _error(payload: bytes, flags: int, index: int) -> NetlinkError | None:
    """What an NLMSG_ERROR says: None for an acknowledgement, else the error with the kernel's explanation."""
    code = -struct.unpack_from("=i", payload)[0]
    if code == 0:
        return None
    explanation = ""
    if flags & _HAS_TLVS:
        original = HEADER.unpack_from(payload, 4)[0]
        start = 4 + (HEADER.size if flags & _CAPPED else original + (-original % 4))
        explanation = attributes(payload, start).get(_ATTRIBUTE_MESSAGE, b"").rstrip(b"\0").decode("utf-8", "replace")
    return NetlinkError(code, explanation, index)
