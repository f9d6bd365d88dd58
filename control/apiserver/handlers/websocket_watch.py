"""A watch over WebSocket, for clients that cannot read a body while it comes (browsers).

Invariant: each event is one text message; the server closes when the watch ends, the client whenever it likes. What
else the client sends means nothing.
Source: apiserver/pkg/endpoints/handlers/watch.go (HandleWS); RFC 6455.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import BinaryIO

from api import errors
from api.runtime import Runtime
from api.serving import hijack
from api.websocket import Decoder, Opcode, ProtocolError, accept_key, encode
from control.apiserver.request import Request
from control.apiserver.response import Response

_CHUNK = 4096
_NORMAL = (1000).to_bytes(2, "big")


def wanted(request: Request) -> bool:
    """Whether the request asks for a WebSocket."""
    asked = request.header("Connection").lower().replace(" ", "").split(",")
    return request.header("Upgrade").lower() == "websocket" and "upgrade" in asked


def serve(runtime: Runtime, request: Request, lines: Iterable[bytes], stop: Callable[[], None]) -> Response:
    """Send the lines until they end or the client goes, which `stop` tells to who makes them. Raises BadRequest."""
    key = request.header("Sec-WebSocket-Key")
    if not key or request.header("Sec-WebSocket-Version") != "13":
        raise errors.BadRequest("the request is not a WebSocket handshake of version 13")
    protocols = [one.strip() for one in request.header("Sec-WebSocket-Protocol").split(",") if one.strip()]
    head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    head += [f"Sec-WebSocket-Accept: {accept_key(key)}"]
    head += [f"Sec-WebSocket-Protocol: {protocols[0]}"] if len(protocols) == 1 else []
    client, incoming = hijack(request.environ)
    with suppress(OSError):
        client.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
        reader = runtime.spawn("watch-reader", _read, client, incoming, stop)
        for gathered in lines:
            for line in gathered.splitlines(keepends=True):
                client.sendall(encode(Opcode.TEXT, line))
        client.sendall(encode(Opcode.CLOSE, _NORMAL))
        client.shutdown(socket.SHUT_RDWR)
        reader.join()
    stop()
    return Response(b"")


def _read(client: socket.socket, incoming: BinaryIO, stop: Callable[[], None]) -> None:
    """Answer pings until the client says goodbye, breaks the protocol or is gone."""
    decoder, present = Decoder(), True
    with suppress(OSError, ValueError, ProtocolError):
        while present and (data := incoming.read1(_CHUNK)):  # type: ignore[attr-defined]
            for message in decoder.feed(data):
                present = present and message.opcode is not Opcode.CLOSE
                if message.opcode is Opcode.PING:
                    client.sendall(encode(Opcode.PONG, message.payload))
    stop()
