"""The lab's doors to the operator's shell: loopback addresses of the machine that lead into the lab's network.

Lab hosts live in namespaces, which ssh, kubectl and a browser of the machine do not see. This process listens in
the machine's namespace, then enters the lab's and stays there: a connection accepted outside is continued inside.

Invariant: a socket belongs to the namespace it was made in, so listening comes before entering.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import selectors
import signal
import socket
import struct
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_CHUNK = 1 << 18
_CONNECT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Door:
    """Where to listen on the machine, and where that leads in the lab."""

    listen: tuple[str, int]
    target: tuple[str, int]

    def __str__(self) -> str:
        return f"{self.listen[0]}:{self.listen[1]}={self.target[0]}:{self.target[1]}"

    @classmethod
    def parse(cls, text: str) -> Door:
        """The inverse of str()."""
        listen, target = (end.rpartition(":") for end in text.split("="))
        return cls((listen[0], int(listen[2])), (target[0], int(target[2])))


def main() -> int:
    """Listen, enter the namespace, write the pid file, and serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--pid-file", required=True, type=Path)
    parser.add_argument("door", nargs="+", type=Door.parse)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with selectors.DefaultSelector() as selector:
        for door in arguments.door:
            selector.register(socket.create_server(door.listen, backlog=256), selectors.EVENT_READ, door)
        enter_network(arguments.namespace)
        arguments.pid_file.write_text(f"{os.getpid()}\n")
        while True:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                client, _ = key.fileobj.accept()
                threading.Thread(target=_carry, args=(client, key.data.target), daemon=True).start()


def enter_network(namespace: str) -> None:
    """Move this process into a network namespace. Raises OSError."""
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), namespace)
    finally:
        os.close(descriptor)


def _carry(client: socket.socket, target: tuple[str, int]) -> None:
    with client:
        try:
            server = socket.create_connection(target, timeout=_CONNECT_SECONDS)
        except OSError:
            # A reset tells the client what a refused connection would have told it.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        with server:
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Copy until the source ends, and say so to the sink; a broken side breaks the other."""
    try:
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            _shut(end)


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main())
