"""Links, addresses, routes and neighbours as values.

Invariant: two equal values mean the same to the kernel, so whether something must change is a comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface; `kind` is bridge, veth, vxlan … or "" for a device of hardware, `mac` in lower case.

    `alias` is the description that whoever made it gave, `queue` the kind of its queue (tbf, noqueue …).
    """

    index: int
    name: str
    kind: str
    mac: str
    mtu: int
    up: bool
    master: int
    loopback: bool
    alias: str = ""
    queue: str = ""

    @property
    def hardware(self) -> bytes:
        """The MAC as it stands in frames."""
        return bytes.fromhex(self.mac.replace(":", ""))


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """An address with its prefix on the link of that index."""

    index: int
    interface: Interface


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main table. Without a gateway the destination is on the link itself.

    `onlink` takes the gateway for reachable though no route to it says so.
    """

    destination: Network
    link: int
    gateway: Address | None = None
    onlink: bool = False
    source: Address | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A fixed answer to who has `address` on a link: an ARP entry, or for a VXLAN's forwarding the host of a MAC."""

    link: int
    address: Address
    mac: str


@dataclass(frozen=True, slots=True)
class VethPair:
    """Both ends of a veth: the host's in a bridge, the other under its final name in another namespace."""

    name: str
    bridge: int
    mtu: int
    peer_name: str
    peer_mac: str


def mac_of(address: Address, prefix: str = "0a:58") -> str:
    """A locally administered MAC that follows from an address, so that a re-used address never meets a stale ARP entry.

    For IPv6 the last four bytes are taken.
    """
    return prefix + "".join(f":{byte:02x}" for byte in address.packed[-4:])
