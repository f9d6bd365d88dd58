"""Announcements and questions by neighbour discovery: who has an IPv6 address on a segment.

A question comes from an address of this node. One from nobody, as who looks for duplicates sends it, would be answered
to all stations, and so lead them to whoever answers.

Invariant: a question changes nobody's memory of who has the address asked for; only an announcement does.
Source: RFC 4861 sections 4.3, 4.4, 7.2.6 (unsolicited advertisements); RFC 3542 section 3.2 (the filter of ICMPv6).
"""

from __future__ import annotations

import select
import socket
import struct
import time
from ipaddress import IPv6Address

from agents.network.rtnetlink.values import Address, Link

_SOLICITATION, _ADVERTISEMENT = 135, 136
_OVERRIDE = 0x20000000
_SOURCE_LINK_ADDRESS, _TARGET_LINK_ADDRESS = 1, 2
_HEAD = struct.Struct(">BBHI16s")
_OPTION_UNIT = 8
_ALL_NODES = "ff02::1"
_SOLICITED = int(IPv6Address("ff02::1:ff00:0"))
# What comes from beyond a router has less, and is not taken.
_HOPS = 255
_ICMP6_FILTER = 1


def announce(link: Link, address: IPv6Address) -> None:
    """Tell every station of the segment that whoever it thinks has the address, it is this node. Raises OSError."""
    with _packets(link) as sending:
        sending.sendto(advertisement(link, address), (_ALL_NODES, 0, 0, link.index))


def others(link: Link, addresses: list[IPv6Address], seconds: float) -> dict[Address, str]:
    """Which of the addresses another station claims within so long, with its MAC. Raises OSError."""
    found: dict[Address, str] = {}
    with _packets(link) as asking:
        for address in addresses:
            group = IPv6Address(_SOLICITED | int(address) & 0xFFFFFF)
            asking.sendto(solicitation(link, address), (str(group), 0, 0, link.index))
        end = time.monotonic() + seconds
        while select.select([asking], [], [], max(0.0, end - time.monotonic()))[0]:
            claimed, mac = read_advertisement(asking.recv(1500))
            if claimed in addresses and mac not in ("", link.mac):
                found[claimed] = mac
    return found


def advertisement(link: Link, address: IPv6Address) -> bytes:
    """That the address is at the link's MAC, asked by nobody, in place of what is remembered."""
    return _message(_ADVERTISEMENT, _OVERRIDE, address, _TARGET_LINK_ADDRESS, link)


def solicitation(link: Link, address: IPv6Address) -> bytes:
    """Who has the address?"""
    return _message(_SOLICITATION, 0, address, _SOURCE_LINK_ADDRESS, link)


def read_advertisement(packet: bytes) -> tuple[IPv6Address, str]:
    """The address that an advertisement is about, and the MAC it gives; "" if it gives none or is something else."""
    nobody = (IPv6Address(0), "")
    if len(packet) < _HEAD.size:
        return nobody
    kind, _, _, _, target = _HEAD.unpack_from(packet)
    if kind != _ADVERTISEMENT:
        return nobody
    position = _HEAD.size
    while position + _OPTION_UNIT <= len(packet):
        option, units = packet[position], packet[position + 1]
        if option == _TARGET_LINK_ADDRESS and units == 1:
            return IPv6Address(target), packet[position + 2 : position + _OPTION_UNIT].hex(":")
        position += max(units, 1) * _OPTION_UNIT
    return IPv6Address(target), ""


def _message(kind: int, flags: int, address: IPv6Address, option: int, link: Link) -> bytes:
    """The kernel fills the checksum in."""
    return _HEAD.pack(kind, 0, 0, flags, address.packed) + struct.pack(">BB", option, 1) + link.hardware


def _packets(link: Link) -> socket.socket:
    """A socket that hears advertisements on a link. Raises OSError."""
    made = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    try:
        # A set bit keeps the messages of that type away.
        blocked = bytearray(b"\xff" * 32)
        word = _ADVERTISEMENT // 32 * 4
        blocked[word : word + 4] = struct.pack("=I", 0xFFFFFFFF & ~(1 << _ADVERTISEMENT % 32))
        made.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(blocked))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.name.encode() + b"\0")
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, link.index)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOPS)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    except OSError:
        made.close()
        raise
    return made
