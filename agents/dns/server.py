"""Serves DNS over UDP and TCP at one address.

What can be answered at once is answered in the loop that receives; only what another server has to be asked for
gets a task of its own, of which there are at most so many.

Invariant: a client that sends nonsense, or nothing, takes nothing from the others but its own connection.
Source: RFC 1035 section 4.2, RFC 7766 (DNS over TCP).
"""

from __future__ import annotations

import logging
import socket
import struct
from contextlib import suppress

from dns.rcode import Rcode

from agents.dns import messages
from agents.dns.resolver import Resolver
from api.runtime import Event, Runtime, Task

log = logging.getLogger(__name__)

# By family: the option that lets a socket be bound before the machine has the address.
_FREEBIND = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}
_WAITING = 256
_CONNECTIONS = 128
_IDLE = 10.0
_BUFFER = 4 << 20
_ATTEMPTS = 10
# After so many datagrams other tasks of the process have their turn, however fast more come.
_IN_A_ROW = 64


class DnsServer:
    """Listens at an address that the machine need not have yet; `port` 0 takes a free one."""

    def __init__(self, resolver: Resolver, runtime: Runtime, address: str, port: int) -> None:
        self._resolver = resolver
        self._runtime = runtime
        self._waiting = 0
        self._connections = 0
        self._tasks: list[Task] = []
        self._datagrams, self._streams = _bound_both(address, port)
        self._datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self.port = int(self._datagrams.getsockname()[1])
        self._streams.listen(_CONNECTIONS)

    def start(self, stop: Event) -> None:
        """Serve in tasks of their own until `stop` and `close`."""
        self._tasks = [
            self._runtime.spawn("dns-udp", self._serve_datagrams, stop),
            self._runtime.spawn("dns-tcp", self._serve_streams, stop),
        ]

    def is_serving(self) -> bool:
        """Whether what `start` began goes on."""
        return all(task.is_alive() for task in self._tasks)

    def close(self) -> None:
        """Stop listening."""
        for listener in (self._datagrams, self._streams):
            with suppress(OSError):
                # Wakes a thread that waits here, which would keep the port.
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _serve_datagrams(self, stop: Event) -> None:
        receive, send, quick = self._datagrams.recvfrom, self._send, self._resolver.quick
        received = 0
        while not stop.is_set():
            received += 1
            if received % _IN_A_ROW == 0:
                self._runtime.sleep(0)
            try:
                data, peer = receive(4096)
            except OSError as error:
                if self._datagrams.fileno() < 0:
                    return
                # ICMP errors about earlier answers come up here.
                log.debug("receiving: %s", error)
                continue
            if messages.is_response(data):
                continue
            answer = quick(data)
            if answer is not None:
                send(answer, peer)
            elif self._waiting >= _WAITING:
                send(messages.write_refusal(data, Rcode.SERVFAIL), peer)
            else:
                self._waiting += 1
                self._runtime.spawn("dns-forward", self._answer_later, data, peer)

    def _answer_later(self, data: bytes, peer: tuple[str, int]) -> None:
        try:
            self._send(self._resolver.slow(data), peer)
        finally:
            self._waiting -= 1

    def _send(self, answer: bytes, peer: tuple[str, int]) -> None:
        try:
            self._datagrams.sendto(answer, peer)
        except OSError as error:
            log.debug("answering %s: %s", peer[0], error)

    def _serve_streams(self, stop: Event) -> None:
        while not stop.is_set():
            try:
                connection, _ = self._streams.accept()
            except OSError:
                return
            if self._connections >= _CONNECTIONS:
                connection.close()
                continue
            self._connections += 1
            self._runtime.spawn("dns-connection", self._serve_connection, connection)

    def _serve_connection(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(_IDLE)
                while (data := _receive_message(connection)) is not None:
                    answer = self._resolver.slow(data, datagram=False)
                    connection.sendall(struct.pack(">H", len(answer)) + answer)
        except OSError as error:
            log.debug("a DNS connection ended: %s", error)
        finally:
            self._connections -= 1


def _bound_both(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Sockets for datagrams and streams at one port; one that is free for both, if any will do. Raises OSError."""
    attempts = _ATTEMPTS if port == 0 else 1
    while True:
        datagrams = _bound(socket.SOCK_DGRAM, address, port)
        try:
            return datagrams, _bound(socket.SOCK_STREAM, address, int(datagrams.getsockname()[1]))
        except OSError:
            datagrams.close()
            attempts -= 1
            if not attempts:
                raise


def _bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    """A socket bound to the address. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(*_FREEBIND[family], 1)
    try:
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made


def _receive_message(connection: socket.socket) -> bytes | None:
    """One message of a connection; None at its end."""
    head = _receive_exactly(connection, 2)
    return _receive_exactly(connection, struct.unpack(">H", head)[0]) if head is not None else None


def _receive_exactly(connection: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            return None
        data += part
    return data
