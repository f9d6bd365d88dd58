"""Links, addresses, routes and neighbours as values, and as the rtnetlink messages that make or list them.

Invariant: nothing here touches a socket; a builder's message changes exactly what its docstring says.
Source: rtnetlink(7), Linux include/uapi/linux/{if_link,if_addr,rtnetlink,neighbour}.h.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from agents.network.netlink import CREATE, EXCLUSIVE, HEADER, REPLACE, Message, encode

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

NEW_LINK, DELETE_LINK, GET_LINK = 16, 17, 18
NEW_ADDRESS, DELETE_ADDRESS, GET_ADDRESS = 20, 21, 22
NEW_ROUTE, DELETE_ROUTE, GET_ROUTE = 24, 25, 26
NEW_NEIGHBOUR, DELETE_NEIGHBOUR, GET_NEIGHBOUR = 28, 29, 30

# Marks routes as ours among everybody's (`ip route` shows "proto 87"); not taken in iproute2's rt_protos.
ROUTE_PROTOCOL = 87

_UP = 0x1
_TABLE_MAIN = 254
_UNICAST = 1
_SCOPE_UNIVERSE = 0
_SCOPE_LINK = 253
_ONLINK = 4
# RTM_F_FIB_MATCH: answer with the route itself, not with what it means for the one address.
_WHOLE_ROUTE = 0x2000
_NO_DAD = 0x02
_PERMANENT = 0x80
_NEIGHBOUR_SELF = 0x02
_AF_BRIDGE = 7


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface; `kind` is bridge, veth, vxlan … or "" for a device of hardware, `mac` in lower case.

    `alias` is the description that whoever made it gave.
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


def mac_of(address: Address, prefix: str = "0a:58") -> str:
    """A locally administered MAC that follows from an address, so that a re-used address never meets a stale ARP entry.

    For IPv6 the last four bytes are taken.
    """
    return prefix + "".join(f":{byte:02x}" for byte in address.packed[-4:])


def new_bridge(name: str, mac: str, mtu: int) -> Message:
    """Make a bridge that is up and keeps its MAC whatever ports come and go."""
    attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_ADDRESS", mac),
        ("IFLA_MTU", mtu),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "bridge")]}),
    ]
    return _link(NEW_LINK, CREATE | EXCLUSIVE, attributes, up=True)


@dataclass(frozen=True, slots=True)
class VethPair:
    """Both ends of a veth: the host's in a bridge, the other under its final name in another namespace."""

    name: str
    bridge: int
    mtu: int
    peer_name: str
    peer_mac: str


def new_veth(pair: VethPair, namespace_descriptor: int) -> Message:
    """Make a veth pair: the host's end up and a port of the bridge, the peer down in the namespace.

    The peer cannot be made up: the kernel opens it before it has its other end.
    """
    peer = {
        "attrs": [
            ("IFLA_IFNAME", pair.peer_name),
            ("IFLA_ADDRESS", pair.peer_mac),
            ("IFLA_MTU", pair.mtu),
            ("IFLA_NET_NS_FD", namespace_descriptor),
        ],
    }
    data = {"attrs": [("VETH_INFO_PEER", peer)]}
    attributes = [
        ("IFLA_IFNAME", pair.name),
        ("IFLA_MTU", pair.mtu),
        ("IFLA_MASTER", pair.bridge),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}),
    ]
    return _link(NEW_LINK, CREATE | EXCLUSIVE, attributes, up=True)


def hairpin_port(name: str, alias: str = "") -> Message:
    """Let a bridge port send a frame back where it came from: a pod that reaches itself through a service.

    With `alias` also describe the link, which the kernel does not take when it makes one.
    """
    port = {"attrs": [("IFLA_BRPORT_MODE", 1)]}
    info = {"attrs": [("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", port)]}
    described = [("IFLA_IFALIAS", alias[:255])] if alias else []
    return _link(NEW_LINK, 0, [("IFLA_IFNAME", name), *described, ("IFLA_LINKINFO", info)])


def join_bridge(name: str, bridge: int) -> Message:
    """Make a link a port of the bridge and bring it up."""
    return _link(NEW_LINK, 0, [("IFLA_IFNAME", name), ("IFLA_MASTER", bridge)], up=True)


def new_vxlan(name: str, vni: int, port: int, local: Address, mac: str, mtu: int) -> Message:
    """Make a VXLAN device without learning and without a group: it sends only where the forwarding table says."""
    local_name = "IFLA_VXLAN_LOCAL" if local.version == 4 else "IFLA_VXLAN_LOCAL6"
    data = [
        ("IFLA_VXLAN_ID", vni),
        (local_name, str(local)),
        ("IFLA_VXLAN_PORT", port),
        ("IFLA_VXLAN_LEARNING", 0),
        ("IFLA_VXLAN_UDP_CSUM", 0),
    ]
    info = {"attrs": [("IFLA_INFO_KIND", "vxlan"), ("IFLA_INFO_DATA", {"attrs": data})]}
    attributes = [("IFLA_IFNAME", name), ("IFLA_ADDRESS", mac), ("IFLA_MTU", mtu), ("IFLA_LINKINFO", info)]
    return _link(NEW_LINK, CREATE | EXCLUSIVE, attributes, up=True)


def link_up(index: int) -> Message:
    """Bring a link up."""
    return _link(NEW_LINK, 0, [], index=index, up=True)


def link_mac(index: int, mac: str) -> Message:
    """Set a link's MAC and bring it up."""
    return _link(NEW_LINK, 0, [("IFLA_ADDRESS", mac)], index=index, up=True)


def delete_link(name: str) -> Message:
    """Remove a link by its name."""
    return _link(DELETE_LINK, 0, [("IFLA_IFNAME", name)])


def new_address(index: int, interface: Interface) -> Message:
    """Put an address on a link; again is no error. IPv6 addresses are usable at once (no duplicate detection)."""
    return encode(_address(index, interface), NEW_ADDRESS, CREATE | REPLACE)


def delete_address(index: int, interface: Interface) -> Message:
    """Take an address off a link."""
    return encode(_address(index, interface), DELETE_ADDRESS, 0)


def new_route(route: Route) -> Message:
    """Add a route, in place of one to the same destination with the same metric."""
    return encode(_route(route), NEW_ROUTE, CREATE | REPLACE)


def delete_route(route: Route) -> Message:
    """Remove a route of ours."""
    return encode(_route(route), DELETE_ROUTE, 0)


def new_neighbour(neighbour: Neighbour) -> Message:
    """Fix the MAC of an address on a link."""
    return encode(_neighbour(neighbour), NEW_NEIGHBOUR, CREATE | REPLACE)


def delete_neighbour(neighbour: Neighbour) -> Message:
    """Forget the MAC of an address."""
    return encode(_neighbour(neighbour), DELETE_NEIGHBOUR, 0)


def new_forwarding(entry: Neighbour) -> Message:
    """Fix the host behind which a MAC is, in a VXLAN's forwarding table."""
    return encode(_forwarding(entry), NEW_NEIGHBOUR, CREATE | REPLACE)


def delete_forwarding(entry: Neighbour) -> Message:
    """Forget the host of a MAC."""
    return encode(_forwarding(entry), DELETE_NEIGHBOUR, 0)


def get_links() -> Message:
    """List all links."""
    return encode(ifinfmsg(), GET_LINK, 0)


def get_link(name: str) -> Message:
    """Ask for one link by its name."""
    return _link(GET_LINK, 0, [("IFLA_IFNAME", name)])


def get_addresses(family: int = socket.AF_UNSPEC) -> Message:
    """List all addresses."""
    return encode(_filled(ifaddrmsg, family=family), GET_ADDRESS, 0)


def get_routes(family: int) -> Message:
    """List routes of the main table that carry our protocol number, if the socket is strict."""
    return encode(_filled(rtmsg, family=family, table=_TABLE_MAIN, proto=ROUTE_PROTOCOL), GET_ROUTE, 0)


def get_neighbours(family: int, link: int) -> Message:
    """List the neighbours on a link, if the socket is strict."""
    return encode(_filled(ndmsg, family=family, attrs=[("NDA_IFINDEX", link)]), GET_NEIGHBOUR, 0)


def get_forwarding(link: int) -> Message:
    """List the forwarding table of a link, if the socket is strict."""
    return encode(_filled(ndmsg, family=_AF_BRIDGE, ifindex=link), GET_NEIGHBOUR, 0)


def read_link(payload: bytes) -> Link:
    """The `Link` of an answer to `get_link` or `get_links`."""
    message = _decoded(ifinfmsg, payload)
    info = message.get_attr("IFLA_LINKINFO")
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME") or "",
        kind=(info.get_attr("IFLA_INFO_KIND") if info else "") or "",
        mac=message.get_attr("IFLA_ADDRESS") or "",
        mtu=message.get_attr("IFLA_MTU") or 0,
        up=bool(message["flags"] & _UP),
        master=message.get_attr("IFLA_MASTER") or 0,
        loopback=bool(message["flags"] & 0x8),
        alias=message.get_attr("IFLA_IFALIAS") or "",
    )


def get_all_routes(family: int) -> Message:
    """List all routes of the main table, if the socket is strict."""
    return encode(_filled(rtmsg, family=family, table=_TABLE_MAIN), GET_ROUTE, 0)


def get_route(destination: Address) -> Message:
    """Ask which route a packet to an address takes."""
    message = _filled(rtmsg, family=_family(destination), dst_len=destination.max_prefixlen, flags=_WHOLE_ROUTE)
    message["attrs"] = [("RTA_DST", str(destination))]
    return encode(message, GET_ROUTE, 0)


def read_found_route(payload: bytes) -> Route:
    """The `Route`, of whichever table, of an answer to `get_route`."""
    return _read_route(_decoded(rtmsg, payload))


def default_route_link(payload: bytes) -> int:
    """The index of the link of a route to everywhere in an answer to `get_all_routes`; 0 for any other route."""
    message = _decoded(rtmsg, payload)
    return 0 if message["dst_len"] or message["type"] != _UNICAST else message.get_attr("RTA_OIF") or 0


def read_address(payload: bytes) -> LinkAddress:
    """The `LinkAddress` of an answer to `get_addresses`."""
    message = _decoded(ifaddrmsg, payload)
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    return LinkAddress(message["index"], ip_interface(f"{text}/{message['prefixlen']}"))


def read_route(payload: bytes) -> Route | None:
    """The `Route` of an answer to `get_routes`; None for one that is not ours."""
    message = _decoded(rtmsg, payload)
    if message["proto"] != ROUTE_PROTOCOL or message["table"] != _TABLE_MAIN:
        return None
    return _read_route(message)


def _read_route(message: Any) -> Route:
    any_address = "0.0.0.0" if message["family"] == socket.AF_INET else "::"
    gateway = message.get_attr("RTA_GATEWAY")
    source = message.get_attr("RTA_PREFSRC")
    return Route(
        destination=ip_network(f"{message.get_attr('RTA_DST') or any_address}/{message['dst_len']}"),
        link=message.get_attr("RTA_OIF") or 0,
        gateway=ip_address(gateway) if gateway else None,
        onlink=bool(message["flags"] & _ONLINK),
        source=ip_address(source) if source else None,
    )


def read_neighbour(payload: bytes) -> Neighbour | None:
    """The permanent entry of an answer to `get_neighbours` or `get_forwarding`; None for any other."""
    message = _decoded(ndmsg, payload)
    address, mac = message.get_attr("NDA_DST"), message.get_attr("NDA_LLADDR")
    if not message["state"] & _PERMANENT or not address or not mac:
        return None
    return Neighbour(message["ifindex"], ip_address(address), mac)


def _link(kind: int, flags: int, attributes: list[tuple[str, Any]], *, index: int = 0, up: bool = False) -> Message:
    message = ifinfmsg()
    message["index"] = index
    if up:
        message["flags"] = _UP
        message["change"] = _UP
    message["attrs"] = attributes
    return encode(message, kind, flags)


def _address(index: int, interface: Interface) -> Any:
    message = ifaddrmsg()
    message["family"] = _family(interface)
    message["prefixlen"] = interface.network.prefixlen
    message["flags"] = _NO_DAD if interface.version == 6 else 0
    message["index"] = index
    text = str(interface.ip)
    message["attrs"] = [("IFA_LOCAL", text), ("IFA_ADDRESS", text)]
    return message


def _route(route: Route) -> Any:
    message = rtmsg()
    message["family"] = _family(route.destination)
    message["dst_len"] = route.destination.prefixlen
    message["table"] = _TABLE_MAIN
    message["proto"] = ROUTE_PROTOCOL
    message["scope"] = _SCOPE_UNIVERSE if route.gateway else _SCOPE_LINK
    message["type"] = _UNICAST
    message["flags"] = _ONLINK if route.onlink else 0
    message["attrs"] = [("RTA_DST", str(route.destination.network_address)), ("RTA_OIF", route.link)]
    if route.gateway:
        message["attrs"].append(("RTA_GATEWAY", str(route.gateway)))
    if route.source:
        message["attrs"].append(("RTA_PREFSRC", str(route.source)))
    return message


def _neighbour(neighbour: Neighbour) -> Any:
    message = ndmsg()
    message["family"] = _family(neighbour.address)
    message["ifindex"] = neighbour.link
    message["state"] = _PERMANENT
    message["attrs"] = [("NDA_DST", str(neighbour.address)), ("NDA_LLADDR", neighbour.mac)]
    return message


def _forwarding(entry: Neighbour) -> Any:
    message = _neighbour(entry)
    message["family"] = _AF_BRIDGE
    message["flags"] = _NEIGHBOUR_SELF
    return message


def _family(value: Address | Interface | Network) -> int:
    return socket.AF_INET if value.version == 4 else socket.AF_INET6


def _filled(kind: Any, **fields: Any) -> Any:
    message = kind()
    message.update(fields)
    return message


def _decoded(kind: Any, payload: bytes) -> Any:
    # The header tells the decoder only the length.
    message = kind(HEADER.pack(HEADER.size + len(payload), 0, 0, 0, 0) + payload)
    message.decode()
    return message
