"""Agreeing on a framing: reads an upgrade request, answers it, and says what was agreed.

Invariant: nothing is written before the request is found to be good.
Source: RFC 6455; kubelet's httpstream negotiation (X-Stream-Protocol-Version).
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from api.websocket import accept_key

CHANNELS_V5 = "v5.channel.k8s.io"
CHANNELS_V4 = "v4.channel.k8s.io"
CHANNELS_V4_BASE64 = "v4.base64.channel.k8s.io"
CHANNELS = "channel.k8s.io"
CHANNELS_BASE64 = "base64.channel.k8s.io"
PORT_FORWARD_V1 = "portforward.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"
BINARY = "binary.k8s.io"
BASE64 = "base64.binary.k8s.io"
# What a client speaks that asks for no protocol.
UNNAMED = ""
# Ports are forwarded over WebSocket channels to whoever asks for no tunnel, as kr8s does without naming a protocol.
FORWARDING = (TUNNEL, CHANNELS_V4, PORT_FORWARD_V1, UNNAMED)


class Framing(StrEnum):
    """How streams are put into one connection."""

    WEBSOCKET = "websocket"
    SPDY = "spdy/3.1"


class UpgradeRefused(Exception):
    """The request does not ask for a framing that is spoken here; the text goes to the client."""

    status = 400


class ProtocolRefused(UpgradeRefused):
    """The framing is spoken here, and none of the protocols within it."""

    status = 403


@dataclass(frozen=True, slots=True)
class Agreement:
    """The framing, and the protocol of the streams within it."""

    framing: Framing
    protocol: str
    answer: bytes


def negotiate(environ: Mapping[str, str], websocket: Sequence[str], spdy: Sequence[str]) -> Agreement:
    """What to answer a WSGI request. Raises UpgradeRefused."""
    upgrade = environ.get("HTTP_UPGRADE", "").lower()
    if upgrade == Framing.WEBSOCKET:
        return _websocket(environ, websocket)
    if upgrade == Framing.SPDY:
        return _spdy(environ, spdy)
    raise UpgradeRefused("the request must be upgraded to websocket or SPDY/3.1")


def _websocket(environ: Mapping[str, str], supported: Sequence[str]) -> Agreement:
    key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "")
    if not key or environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
        raise UpgradeRefused("the request is not a WebSocket handshake of version 13")
    offered = _listed(environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")) or [UNNAMED]
    protocol = _choose(offered, supported)
    named = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    head = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n{named}\r\n"
    )
    return Agreement(Framing.WEBSOCKET, protocol, head.encode())


def _spdy(environ: Mapping[str, str], supported: Sequence[str]) -> Agreement:
    offered = _listed(environ.get("HTTP_X_STREAM_PROTOCOL_VERSION", ""))
    if not offered:
        raise UpgradeRefused("unable to upgrade: X-Stream-Protocol-Version is required")
    protocol = _choose(offered, supported)
    head = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n"
        f"X-Stream-Protocol-Version: {protocol}\r\n\r\n"
    )
    return Agreement(Framing.SPDY, protocol, head.encode())


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _choose(offered: Sequence[str], supported: Sequence[str]) -> str:
    """The first of the client's protocols, which are in its order of preference, that is spoken here."""
    for protocol in offered:
        if protocol in supported:
            return protocol
    theirs, ours = " ".join(filter(None, offered)), " ".join(filter(None, supported))
    raise ProtocolRefused(
        f"unable to upgrade: unable to negotiate protocol: client supports [{theirs}], server accepts [{ours}]"
    )


def send_all(sock: socket.socket, data: bytes) -> bool:
    """Write; whether the peer is still there."""
    try:
        sock.sendall(data)
    except OSError:
        return False
    return True
