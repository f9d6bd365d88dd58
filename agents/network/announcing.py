"""Makes this node the one that answers for addresses of load balancers on its segment.

An address is put on a link of its own, so the kernel answers ARP for it wherever it is asked, and every station that
has the former node's MAC in memory is told of the new one by a gratuitous ARP. What arrives there is translated by
the rules of services before the node itself would take it.

Invariant: the link has exactly the addresses that this node was named for, and exists only while there is one.
Source: RFC 826, RFC 5227 sections 2.1.1 (probes) and 3 (announcements).
"""

from __future__ import annotations

import errno
import logging
import select
import socket
import struct
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, ip_interface

from agents.network import links
from agents.network.netlink import NetlinkError, NetlinkSocket
from agents.network.rtnetlink import encode
from agents.network.rtnetlink.values import Link

log = logging.getLogger(__name__)

LINK = "wherry-lb"

_MAC = "0a:5a:00:00:00:01"
_MTU = 1500
_ETHERTYPE_ARP, _ETHERTYPE_IPV4 = 0x0806, 0x0800
_BROADCAST = b"\xff" * 6
_REQUEST, _REPLY = 1, 2
_NOBODY = IPv4Address(0)
# So long an answer to "who has this address" is waited for.
_ANSWER_SECONDS = 0.3


class Announcer:
    """The addresses of load balancers on this machine; one task at a time."""

    def __init__(self, kernel: NetlinkSocket | None = None) -> None:
        self._kernel = kernel or NetlinkSocket(links.NETLINK_ROUTE).strict()

    def close(self) -> None:
        """Close the socket; addresses stay."""
        self._kernel.close()

    def reconcile(self, addresses: Iterable[IPv4Address]) -> tuple[list[IPv4Address], list[IPv4Address]]:
        """Have exactly these addresses; those that were taken, and those that were given up. Raises NetlinkError."""
        wanted = {ip_interface(address) for address in addresses}
        link = links.find_link(self._kernel, LINK)
        if not wanted and link is None:
            return [], []
        if link is None or not link.up:
            link = self._make(link)
        held = {
            one.interface
            for one in links.addresses(self._kernel)
            if one.index == link.index and one.interface.version == 4
        }
        taken, given = sorted(wanted - held), sorted(held - wanted)
        messages = [encode.delete_address(link.index, old) for old in given]
        messages += [encode.new_address(link.index, new) for new in taken]
        for error in self._kernel.batch(messages):
            if error is not None and error.code not in (errno.EADDRNOTAVAIL, errno.EEXIST):
                raise error
        if not wanted:
            self._kernel.request(encode.delete_link(LINK))
        return [IPv4Address(one.ip) for one in taken], [IPv4Address(one.ip) for one in given]

    def tell(self, address: IPv4Address) -> list[str]:
        """Send a gratuitous ARP for an address on every segment that it belongs to; the links' names."""
        told = []
        for link in self._segments([address]):
            try:
                _send(link, address)
            except OSError as error:
                log.warning("%s could not be announced on %s: %s", address, link.name, error.strerror)
                continue
            told.append(link.name)
        return told

    def contested(self, addresses: Iterable[IPv4Address]) -> dict[IPv4Address, str]:
        """Those of our addresses that somebody else on a segment answers for, too, each with that one's MAC."""
        found: dict[IPv4Address, str] = {}
        for link, wanted in self._segments(addresses).items():
            try:
                found |= _others(link, wanted)
            except OSError as error:
                log.warning("%s cannot be asked who has an address: %s", link.name, error.strerror)
        return found

    def _segments(self, wanted: Iterable[IPv4Address]) -> dict[Link, list[IPv4Address]]:
        """The links to the segments that the addresses belong to, each with its addresses."""
        present, asked = links.links(self._kernel), list(wanted)
        found: dict[Link, list[IPv4Address]] = {}
        for one in links.addresses(self._kernel):
            link = present.get(one.index)
            here = [address for address in asked if address in one.interface.network]
            if link is not None and here and link.name not in (LINK, links.BRIDGE):
                found[link] = here
        return found

    def _make(self, present: Link | None) -> Link:
        if present is None:
            self._kernel.request(encode.new_bridge(LINK, _MAC, _MTU))
        else:
            self._kernel.request(encode.link_up(present.index))
        made = links.find_link(self._kernel, LINK)
        if made is None:
            raise NetlinkError(errno.ENODEV, f"{LINK} disappeared while it was made")
        return made


def _send(link: Link, address: IPv4Address) -> None:
    """Both forms of an announcement: some stations heed the request, some the reply. Raises OSError."""
    with _packets(link) as sending:
        for operation in (_REQUEST, _REPLY):
            sending.send(_frame(link, operation, address, address))


def _others(link: Link, addresses: list[IPv4Address]) -> dict[IPv4Address, str]:
    """Which of the addresses another station claims, with its MAC. Raises OSError."""
    found: dict[IPv4Address, str] = {}
    with _packets(link) as asking:
        for address in addresses:
            asking.send(_frame(link, _REQUEST, _NOBODY, address))
        end = time.monotonic() + _ANSWER_SECONDS
        while select.select([asking], [], [], max(0.0, end - time.monotonic()))[0]:
            frame = asking.recv(1500)
            mac, claimed = frame[22:28], IPv4Address(frame[28:32])
            if claimed in addresses and mac != _hardware(link):
                found[claimed] = mac.hex(":")
    return found


def _packets(link: Link) -> socket.socket:
    """A socket for the ARP packets of a link. Raises OSError."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE_ARP))
    made.bind((link.name, _ETHERTYPE_ARP))
    return made


def _frame(link: Link, operation: int, sender: IPv4Address, target: IPv4Address) -> bytes:
    own = _hardware(link)
    head = struct.pack(">HHBBH", 1, _ETHERTYPE_IPV4, 6, 4, operation)
    body = head + own + sender.packed + _BROADCAST + target.packed
    return _BROADCAST + own + struct.pack(">H", _ETHERTYPE_ARP) + body


def _hardware(link: Link) -> bytes:
    return bytes.fromhex(link.mac.replace(":", ""))
