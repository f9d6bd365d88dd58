"""A gRPC health server for probes of a real pod: the service `up` serves, any other does not.

    python grpc_server.py PORT

Source: grpc.health.v1.Health/Check; gRPC over HTTP/2.
"""

from __future__ import annotations

import socket
import sys

import h2.config
import h2.connection
import h2.events

SERVING, NOT_SERVING = 1, 2


def answer(connection: h2.connection.H2Connection, stream: int, request: bytes) -> None:
    """HealthCheckResponse{status}, framed as gRPC has it."""
    status = SERVING if request[5:] == b"\x0a\x02up" else NOT_SERVING
    connection.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
    connection.send_data(stream, bytes((0, 0, 0, 0, 2, 0x08, status)))
    connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)


def serve(client: socket.socket) -> None:
    """One connection, until its other side ends it."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    client.sendall(connection.data_to_send())
    bodies: dict[int, bytes] = {}
    while data := client.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.DataReceived) and event.stream_id is not None:
                bodies[event.stream_id] = bodies.get(event.stream_id, b"") + (event.data or b"")
            elif isinstance(event, h2.events.StreamEnded) and event.stream_id is not None:
                answer(connection, event.stream_id, bodies.pop(event.stream_id, b""))
        client.sendall(connection.data_to_send())


def main() -> None:
    with socket.create_server(("0.0.0.0", int(sys.argv[1]))) as listening:
        while True:
            client, _ = listening.accept()
            with client:
                serve(client)


if __name__ == "__main__":
    main()
