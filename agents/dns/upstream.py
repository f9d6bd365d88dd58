"""Asks other name servers what the cluster's zone does not know.

Invariant: an answer is believed only if it comes from the server asked, with the number and the question sent.
Source: RFC 5452 (resilience against forged answers).
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Iterable
from ipaddress import ip_address

from agents.dns import wire
from api.runtime import Runtime

log = logging.getLogger(__name__)

PORT = 53
_TIMEOUT = 2.0
_ATTEMPTS = 2


class UpstreamError(Exception):
    """No server gave an answer; the text says which were asked and what became of it."""


def servers_of(resolv_conf: str, own: Iterable[str]) -> tuple[str, ...]:
    """The name servers in a resolv.conf, without the cluster's own, which would ask itself."""
    excluded = set(own)
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver" or words[1] in excluded:
            continue
        try:
            ip_address(words[1].partition("%")[0])
        except ValueError:
            log.warning("resolv.conf names %s, which is no address of a server", words[1])
            continue
        found.append(words[1])
    return tuple(found)


class Upstream:
    """A list of servers, asked one after another."""

    def __init__(self, servers: tuple[str, ...], runtime: Runtime, *, port: int = PORT) -> None:
        self._servers = servers
        self._runtime = runtime
        self._port = port

    def ask(self, data: bytes) -> bytes:
        """The answer to a query message, with the query's own number. Raises UpstreamError."""
        failures = []
        for _ in range(_ATTEMPTS):
            for server in self._servers:
                try:
                    return self._ask(server, data)
                except (OSError, wire.FormatError) as error:
                    failures.append(f"{server}: {error}")
        raise UpstreamError("; ".join(failures) if failures else "the node's resolv.conf names no other server")

    def _ask(self, server: str, data: bytes) -> bytes:
        number = struct.pack(">H", self._runtime.random().getrandbits(16))
        sent = number + data[2:]
        with socket.socket(_family(server), socket.SOCK_DGRAM) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect((server, self._port))
            connection.send(sent)
            answer = _matching(connection, sent)
        if wire.is_truncated(answer):
            answer = self._ask_stream(server, sent)
        return data[:2] + answer[2:]

    def _ask_stream(self, server: str, sent: bytes) -> bytes:
        with socket.create_connection((server, self._port), timeout=_TIMEOUT) as connection:
            connection.sendall(struct.pack(">H", len(sent)) + sent)
            answer = receive_message(connection)
            if answer is None or answer[:2] != sent[:2]:
                raise wire.FormatError("the answer by TCP is not one to our question")
            return answer


def receive_message(connection: socket.socket) -> bytes | None:
    """One message of a DNS connection over TCP; None at its end."""
    head = _receive_exactly(connection, 2)
    if head is None:
        return None
    return _receive_exactly(connection, struct.unpack(">H", head)[0])


def _receive_exactly(connection: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            return None
        data += part
    return data


def _matching(connection: socket.socket, sent: bytes) -> bytes:
    """The first datagram that answers what was sent; forged or late ones are passed over."""
    asked = wire.read_query(sent)
    while True:
        answer = connection.recv(65535)
        if answer[:2] != sent[:2] or len(answer) < 12 + len(asked.question):
            continue
        if answer[12 : 12 + len(asked.question)].lower() == asked.question.lower():
            return answer


def _family(server: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server else socket.AF_INET
