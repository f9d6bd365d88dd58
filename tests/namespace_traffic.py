"""A server that says who it is and whom it sees, and a client that says what it got. Needs nothing but Python.

namespace_traffic.py serve PROTOCOL PORT NAME    (tcp, udp, or by IPv6 tcp6, udp6)
namespace_traffic.py ask PROTOCOL ADDRESS PORT [COUNT [SIZE [SOURCE_PORT [SOURCE]]]]
namespace_traffic.py reach ADDRESS:PORT...
"""

from __future__ import annotations

import socket
import sys
import threading
import time


def serve(protocol: str, port: int, name: str) -> None:
    family, anywhere = (socket.AF_INET6, "::") if protocol.endswith("6") else (socket.AF_INET, "0.0.0.0")
    if protocol.startswith("udp"):
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.bind((anywhere, port))
        print("ready", flush=True)
        while True:
            _, peer = server.recvfrom(65536)
            server.sendto(f"{name} {peer[0]}".encode(), peer)
    server = socket.create_server((anywhere, port), family=family, backlog=1024)
    print("ready", flush=True)
    while True:
        connection, peer = server.accept()
        threading.Thread(target=answer, args=(connection, f"{name} {peer[0]}"), daemon=True).start()


def answer(connection: socket.socket, text: str) -> None:
    with connection:
        received = 0
        while data := connection.recv(65536):
            received += len(data)
            if data.endswith(b"\n"):
                break
        connection.sendall(f"{text} {received}".encode())


def ask(protocol: str, address: str, port: int, size: int, source_port: int, source: str) -> str:
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    started = time.monotonic()
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as client:
            client.settimeout(3.0)
            if source_port or source:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                client.bind((source, source_port))
            client.connect((address, port))
            client.sendall(b"x" * size + b"\n")
            return client.recv(65536).decode()
    except OSError as error:
        return f"error {type(error).__name__} {time.monotonic() - started:.2f}"


def reach(targets: list[str]) -> None:
    """Print those targets that take a TCP connection, all tried at once."""

    def attempt(target: str) -> None:
        address, _, port = target.rpartition(":")
        try:
            socket.create_connection((address.strip("[]"), int(port)), timeout=0.9).close()
        except OSError:
            return
        print(target + "\n", end="", flush=True)

    tasks = [threading.Thread(target=attempt, args=(target,)) for target in targets]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()


def main(arguments: list[str]) -> None:
    if arguments[0] == "serve":
        serve(arguments[1], int(arguments[2]), arguments[3])
    if arguments[0] == "reach":
        reach(arguments[1:])
        return
    given = (*arguments[1:], *("1", "1", "0", "")[len(arguments) - 4 :])
    protocol, address, port, count, size, source_port, source = given
    for _ in range(int(count)):
        print(ask(protocol, address, int(port), int(size), int(source_port), source), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
