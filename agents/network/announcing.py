"""Makes this node the one that answers for addresses of load balancers on its segment.

An address is put on a link of its own, and every station that has the former node's MAC in memory is told of the new
one: by a gratuitous ARP, or an advertisement that nobody asked for. Where an IPv4 address is does not matter, the
kernel answers ARP for it on every link. For IPv6 it answers only on the link that has the address, so such an address
is put on the segment's link, too, as one that is good to be reached at but not to speak from. What arrives there is
translated by the rules of services before the node itself would take it.

Invariant: the link has exactly the addresses that this node was named for, and exists only while there is one. An
address on a segment's link is on ours before it comes there and until it is gone there, so none is left behind.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

from agents.network import arp, links, neighbour_discovery
from agents.network.netlink import Message, NetlinkError, NetlinkSocket
from agents.network.rtnetlink import encode
from agents.network.rtnetlink.values import Address, Interface, Link, LinkAddress

log = logging.getLogger(__name__)

LINK = "wherry-lb"

_MAC = "0a:5a:00:00:00:01"
_MTU = 1500
# So long an answer to "who has this address" is waited for.
_ANSWER_SECONDS = 0.3
_HARMLESS = (errno.EADDRNOTAVAIL, errno.EEXIST)


class Announcer:
    """The addresses of load balancers on this machine; one task at a time."""

    def __init__(self, kernel: NetlinkSocket | None = None) -> None:
        self._kernel = kernel or NetlinkSocket(links.NETLINK_ROUTE).strict()

    def close(self) -> None:
        """Close the socket; addresses stay."""
        self._kernel.close()

    def reconcile(self, addresses: Iterable[Address]) -> tuple[list[Address], list[Address]]:
        """Have exactly these addresses; those that were taken, and those that were given up. Raises NetlinkError."""
        wanted = {ip_interface(address) for address in addresses}
        link = links.find_link(self._kernel, LINK)
        if not wanted and link is None:
            return [], []
        if link is None or not link.up:
            link = self._make(link)
        everywhere = links.addresses(self._kernel)
        held = {
            one.interface for one in everywhere if one.index == link.index and not one.interface.is_link_local
        }  # fmt: skip
        taken, given = _sorted(wanted - held), _sorted(held - wanted)
        here, gone = _on_segments(everywhere, wanted | held, wanted, self._segments(_bare(wanted)), link.index)
        messages = [encode.delete_address(one.index, one.interface) for one in gone]
        messages += [encode.delete_address(link.index, old) for old in given]
        messages += [encode.new_address(link.index, new) for new in taken]
        messages += [encode.new_address(one.index, one.interface, speaking=False) for one in here]
        self._send(messages)
        if not wanted:
            self._kernel.request(encode.delete_link(LINK))
        return _bare(taken), _bare(given)

    def tell(self, address: Address) -> list[str]:
        """Tell every segment that an address belongs to that it is here; the links' names."""
        told = []
        for link in self._segments([address]):
            try:
                if isinstance(address, IPv4Address):
                    arp.announce(link, address)
                else:
                    neighbour_discovery.announce(link, address)
            except OSError as error:
                log.warning("%s could not be announced on %s: %s", address, link.name, error.strerror)
                continue
            told.append(link.name)
        return told

    def contested(self, addresses: Iterable[Address]) -> dict[Address, str]:
        """Those of our addresses that somebody else on a segment answers for, too, each with that one's MAC."""
        found: dict[Address, str] = {}
        for link, wanted in self._segments(addresses).items():
            try:
                found |= _others(link, wanted)
            except OSError as error:
                log.warning("%s cannot be asked who has an address: %s", link.name, error.strerror)
        return found

    def _segments(self, wanted: Iterable[Address]) -> dict[Link, list[Address]]:
        """The links to the segments that the addresses belong to, each with its addresses."""
        present, asked = links.links(self._kernel), list(wanted)
        found: dict[Link, list[Address]] = {}
        for one in links.addresses(self._kernel):
            link = present.get(one.index)
            if link is None or link.loopback or link.name in (LINK, links.BRIDGE):
                continue
            for address in asked:
                # What we have put on a link ourselves does not make it the address's segment.
                if address in one.interface.network and address != one.interface.ip:
                    known = found.setdefault(link, [])
                    known += [address] if address not in known else []
        return found

    def _send(self, messages: list[Message]) -> None:
        for error in self._kernel.batch(messages):
            if error is not None and error.code not in _HARMLESS:
                raise error

    def _make(self, present: Link | None) -> Link:
        if present is None:
            self._kernel.request(encode.new_bridge(LINK, _MAC, _MTU))
        else:
            self._kernel.request(encode.link_up(present.index))
        made = links.find_link(self._kernel, LINK)
        if made is None:
            raise NetlinkError(errno.ENODEV, f"{LINK} disappeared while it was made")
        return made


def _on_segments(
    present: list[LinkAddress],
    ours: set[Interface],
    wanted: set[Interface],
    segments: dict[Link, list[Address]],
    own_link: int,
) -> tuple[list[LinkAddress], list[LinkAddress]]:
    """IPv6 addresses that must come on segments' links, and those that must go from there."""
    due = {
        LinkAddress(link.index, ip_interface(address))
        for link, addresses in segments.items()
        for address in addresses
        if address.version == 6 and ip_interface(address) in wanted
    }
    there = {one for one in present if one.index != own_link and one.interface.version == 6 and one.interface in ours}
    return list(due - there), list(there - due)


def _others(link: Link, addresses: list[Address]) -> dict[Address, str]:
    """Which of the addresses another station claims, with its MAC. Raises OSError."""
    old = [address for address in addresses if isinstance(address, IPv4Address)]
    new = [address for address in addresses if isinstance(address, IPv6Address)]
    found: dict[Address, str] = {}
    if old:
        found |= arp.others(link, old, _ANSWER_SECONDS)
    if new:
        found |= neighbour_discovery.others(link, new, _ANSWER_SECONDS)
    return found


def _bare(interfaces: Iterable[Interface]) -> list[Address]:
    return [ip_address(one.ip) for one in interfaces]


def _sorted(interfaces: Iterable[Interface]) -> list[Interface]:
    return sorted(interfaces, key=lambda one: (one.version, int(one)))
