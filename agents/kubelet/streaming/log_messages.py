"""A container's log as WebSocket messages.

Invariant: what the client sends is read and means nothing, but that it goes ends the sending.
Source: apimachinery's wsstream.Reader.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

from agents.kubelet.streaming.connections import WebSocketConnection
from agents.kubelet.streaming.handshake import BASE64
from api.runtime import Runtime
from api.websocket import Opcode


def send_log(
    clock: Runtime,
    messages: WebSocketConnection,
    protocol: str,
    pieces: Callable[[Callable[[], bool]], Iterator[bytes]],
) -> None:
    """Send what `pieces(gone)` yields until it ends; `gone()` says that nobody listens any more."""
    gone = clock.event()

    def listen() -> None:
        while messages.receive() is not None:
            continue
        gone.set()

    clock.spawn("log listener", listen)
    for piece in filter(None, pieces(gone.is_set)):
        text = protocol == BASE64
        if not messages.send(base64.b64encode(piece) if text else piece, Opcode.TEXT if text else Opcode.BINARY):
            break
    messages.close()
