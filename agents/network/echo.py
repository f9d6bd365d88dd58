"""Asks an address whether it is there: an ICMP or ICMPv6 echo, as ping sends it, and a TCP connection.

Invariant: an answer counts only if it comes from the address asked and carries our number.
Source: RFC 792, RFC 4443 section 4.
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import AbstractContextManager, nullcontext
from ipaddress import ip_address
from pathlib import Path

from agents.network import namespaces

# Request and reply.
_TYPES = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
_PROTOCOLS = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
_HEADER = struct.Struct(">BBHHH")
_IP_HEADER_WORDS = 0x0F


def echo(address: str, number: int, *, timeout: float = 0.5, attempts: int = 2) -> bool:
    """Whether an address answers; `number` tells our questions from others'. Raises OSError without the right."""
    family = _family(address)
    with socket.socket(family, socket.SOCK_RAW, _PROTOCOLS[family]) as asking:
        for attempt in range(attempts):
            request = _packet(family, number & 0xFFFF, attempt)
            end = time.monotonic() + timeout
            try:
                asking.sendto(request, (address, 0))
                while True:
                    # What came while this task had no turn is read, however late it is.
                    asking.settimeout(max(0.0, end - time.monotonic()))
                    data, peer = asking.recvfrom(1500)
                    if ip_address(peer[0]) == ip_address(address) and _answers(family, data, request):
                        return True
            except OSError:
                # No route, or nothing came in time.
                continue
    return False


def connect(address: str, port: int, namespace_path: str = "", *, timeout: float = 2.0) -> str:
    """What becomes of a TCP connection from a namespace: accepted, refused, timeout, or the system's words."""
    place: AbstractContextManager[None] = namespaces.inside(Path(namespace_path)) if namespace_path else nullcontext()
    # A socket belongs to the namespace in which it was made, wherever it is used afterwards.
    with place:
        asking = socket.socket(_family(address), socket.SOCK_STREAM)
    with asking:
        asking.settimeout(timeout)
        try:
            asking.connect((address, port))
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "timeout"
        except OSError as error:
            return error.strerror or str(error)
    return "accepted"


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _packet(family: socket.AddressFamily, number: int, sequence: int) -> bytes:
    body = _HEADER.pack(_TYPES[family][0], 0, 0, number, sequence) + b"wherry"
    return body[:2] + struct.pack(">H", _checksum(body)) + body[4:]


def _answers(family: socket.AddressFamily, data: bytes, request: bytes) -> bool:
    # Only IPv4 hands over its own header.
    start = (data[0] & _IP_HEADER_WORDS) * 4 if family == socket.AF_INET else 0
    return len(data) >= start + 8 and data[start] == _TYPES[family][1] and data[start + 4 : start + 8] == request[4:8]


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    folded: int = ~(total + (total >> 16)) & 0xFFFF
    return folded
