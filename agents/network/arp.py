"""Announcements and questions by ARP: who has an IPv4 address on a segment.

Invariant: a question leaves no trace in anybody's memory; only an announcement does.
Source: RFC 826, RFC 5227 sections 2.1.1 (probes) and 3 (announcements).
"""

from __future__ import annotations

import select
import socket
import struct
import time
from ipaddress import IPv4Address

from agents.network.rtnetlink.values import Address, Link

_ETHERTYPE_ARP, _ETHERTYPE_IPV4 = 0x0806, 0x0800
_BROADCAST = b"\xff" * 6
_REQUEST, _REPLY = 1, 2
_NOBODY = IPv4Address(0)


def announce(link: Link, address: IPv4Address) -> None:
    """Tell the segment in both forms: some stations heed the request, some the reply. Raises OSError."""
    with _packets(link) as sending:
        for operation in (_REQUEST, _REPLY):
            sending.send(_frame(link, operation, address, address))


def others(link: Link, addresses: list[IPv4Address], seconds: float) -> dict[Address, str]:
    """Which of the addresses another station claims within so long, with its MAC. Raises OSError."""
    found: dict[Address, str] = {}
    with _packets(link) as asking:
        for address in addresses:
            asking.send(_frame(link, _REQUEST, _NOBODY, address))
        end = time.monotonic() + seconds
        while select.select([asking], [], [], max(0.0, end - time.monotonic()))[0]:
            frame = asking.recv(1500)
            mac, claimed = frame[22:28], IPv4Address(frame[28:32])
            if claimed in addresses and mac != link.hardware:
                found[claimed] = mac.hex(":")
    return found


def _packets(link: Link) -> socket.socket:
    """A socket for the ARP packets of a link. Raises OSError."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE_ARP))
    made.bind((link.name, _ETHERTYPE_ARP))
    return made


def _frame(link: Link, operation: int, sender: IPv4Address, target: IPv4Address) -> bytes:
    head = struct.pack(">HHBBH", 1, _ETHERTYPE_IPV4, 6, 4, operation)
    body = head + link.hardware + sender.packed + _BROADCAST + target.packed
    return _BROADCAST + link.hardware + struct.pack(">H", _ETHERTYPE_ARP) + body
