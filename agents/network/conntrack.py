"""Forgets tracked UDP flows that go on to an endpoint which is no longer behind the address they were sent to.

A TCP connection to a pod that is gone ends by itself; a UDP client keeps its port and would be led to the old
address for ever.

Invariant: only flows are deleted whose original destination is a front end: of a service, or a pod's host port.
Source: Linux include/uapi/linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agents.network import links
from agents.network.netlink import Message, NetlinkError, NetlinkSocket, attribute, attributes
from agents.network.nftables.table import NETLINK_NETFILTER
from agents.network.nftables.values import Endpoint, Family

log = logging.getLogger(__name__)

_SUBSYSTEM = 1
_GET, _DELETE = 1, 2
_NESTED = 0x8000
_TUPLE_ORIGINAL, _TUPLE_REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
# Source and destination, by family.
_ADDRESSES = {Family.IP: (1, 2), Family.IP6: (3, 4)}
_PROTOCOL_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_HEADER = 4


@dataclass(frozen=True, slots=True)
class Frontend:
    """An address (or, if that is "", any address of the node), protocol number and port that clients use."""

    address: str
    protocol: int
    port: int


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked flow: where the client sent it, and who answers; `original` is its tuple as the kernel wrote it."""

    protocol: int
    destination: Endpoint
    answering: Endpoint
    original: bytes


def stale(
    flows: Iterable[Flow], backends: Mapping[Frontend, frozenset[Endpoint]], local_addresses: frozenset[str]
) -> list[Flow]:
    """The flows to one of the front ends that are answered by something that is not behind it."""
    found = []
    for flow in flows:
        address, port = flow.destination
        endpoints = backends.get(Frontend(address, flow.protocol, port))
        if endpoints is None and address in local_addresses:
            endpoints = backends.get(Frontend("", flow.protocol, port))
        if endpoints is not None and flow.answering not in endpoints:
            found.append(flow)
    return found


class ConnectionTracking:
    """The kernel's table of tracked flows of a family; one task at a time."""

    def __init__(self, family: Family = Family.IP, kernel: NetlinkSocket | None = None) -> None:
        self._family = family
        self._frame = struct.pack("=BBH", family, 0, 0)
        self._kernel = kernel or NetlinkSocket(NETLINK_NETFILTER)

    def close(self) -> None:
        """Close the socket."""
        self._kernel.close()

    def forget_former(self, backends: Mapping[Frontend, frozenset[Endpoint]]) -> None:
        """Delete UDP flows to these front ends that others than their endpoints answer. Raises NetlinkError."""
        datagrams = {front: ends for front, ends in backends.items() if front.protocol == socket.IPPROTO_UDP}
        if not datagrams:
            return
        with NetlinkSocket(links.NETLINK_ROUTE).strict() as kernel:
            local = frozenset(str(held.interface.ip) for held in links.addresses(kernel))
        gone = stale(self.flows(), datagrams, local)
        if gone:
            log.info("%d tracked UDP flows to former endpoints are forgotten", self.forget(gone))

    def flows(self, protocol: int = socket.IPPROTO_UDP) -> list[Flow]:
        """All tracked flows of a protocol. Raises NetlinkError."""
        request = Message(_SUBSYSTEM << 8 | _GET, 0, self._frame)
        found = []
        for _, payload in self._kernel.dump(request):
            flow = _read(payload, self._family)
            if flow is not None and flow.protocol == protocol:
                found.append(flow)
        return found

    def forget(self, flows: Iterable[Flow]) -> int:
        """Delete flows; how many were still there. Raises NetlinkError."""
        messages = [
            Message(_SUBSYSTEM << 8 | _DELETE, 0, self._frame + attribute(_TUPLE_ORIGINAL | _NESTED, flow.original))
            for flow in flows
        ]
        outcomes = self._kernel.batch(messages)
        for error in outcomes:
            if error is not None and error.code != errno.ENOENT:
                raise NetlinkError(error.code, "deleting a tracked flow")
        return sum(error is None for error in outcomes)


def _read(payload: bytes, family: Family) -> Flow | None:
    found = attributes(payload, _HEADER)
    original, reply = found.get(_TUPLE_ORIGINAL), found.get(_TUPLE_REPLY)
    if original is None or reply is None:
        return None
    protocol, _, destination = _tuple(original, family)
    _, source, _ = _tuple(reply, family)
    return Flow(protocol, destination, source, original)


def _tuple(data: bytes, family: Family) -> tuple[int, Endpoint, Endpoint]:
    """Protocol, source and destination of a CTA_TUPLE."""
    parts = attributes(data)
    addresses, ports = attributes(parts.get(_TUPLE_IP, b"")), attributes(parts.get(_TUPLE_PROTOCOL, b""))
    protocol = int.from_bytes(ports.get(_PROTOCOL_NUMBER, b""), "big")
    ends = []
    for address, port in zip(_ADDRESSES[family], (_SOURCE_PORT, _DESTINATION_PORT), strict=True):
        text = socket.inet_ntop(family, addresses[address]) if address in addresses else ""
        ends.append(Endpoint(text, int.from_bytes(ports.get(port, b""), "big")))
    return protocol, ends[0], ends[1]
