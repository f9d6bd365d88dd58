"""Links, addresses, routes and neighbours as the rtnetlink messages that make, remove or list them.

Invariant: nothing here touches a socket; a builder's message changes exactly what its docstring says.
Source: rtnetlink(7), Linux include/uapi/linux/{if_link,if_addr,rtnetlink,neighbour}.h.
"""

from __future__ import annotations

import socket
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from agents.network.netlink import CREATE, EXCLUSIVE, REPLACE, Message, encode
from agents.network.rtnetlink.values import Address, Interface, Neighbour, Network, Route, VethPair

NEW_LINK, DELETE_LINK, GET_LINK = 16, 17, 18
NEW_ADDRESS, DELETE_ADDRESS, GET_ADDRESS = 20, 21, 22
NEW_ROUTE, DELETE_ROUTE, GET_ROUTE = 24, 25, 26
NEW_NEIGHBOUR, DELETE_NEIGHBOUR, GET_NEIGHBOUR = 28, 29, 30

# Marks routes as ours among everybody's (`ip route` shows "proto 87"); not taken in iproute2's rt_protos.
ROUTE_PROTOCOL = 87

LINK_UP = 0x1
TABLE_MAIN = 254
UNICAST = 1
_SCOPE_UNIVERSE = 0
_SCOPE_LINK = 253
ONLINK = 4
# RTM_F_FIB_MATCH: answer with the route itself, not with what it means for the one address.
_WHOLE_ROUTE = 0x2000
_NO_DAD = 0x02
_FOREVER = 0xFFFFFFFF
PERMANENT = 0x80
_NEIGHBOUR_SELF = 0x02
_AF_BRIDGE = 7


def new_bridge(name: str, mac: str, mtu: int) -> Message:
    """Make a bridge that is up and keeps its MAC whatever ports come and go."""
    attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_ADDRESS", mac),
        ("IFLA_MTU", mtu),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "bridge")]}),
    ]
    return _link(NEW_LINK, CREATE | EXCLUSIVE, attributes, up=True)


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


def link_down(index: int) -> Message:
    """Take a link down."""
    return _link(NEW_LINK, 0, [], index=index, up=False)


def link_mac(index: int, mac: str) -> Message:
    """Set a link's MAC and bring it up."""
    return _link(NEW_LINK, 0, [("IFLA_ADDRESS", mac)], index=index, up=True)


def delete_link(name: str) -> Message:
    """Remove a link by its name."""
    return _link(DELETE_LINK, 0, [("IFLA_IFNAME", name)])


def new_address(index: int, interface: Interface, *, speaking: bool = True) -> Message:
    """Put an address on a link; again is no error. IPv6 addresses are usable at once (no duplicate detection).

    One that is not `speaking` is good to be reached at, but new connections of the node do not come from it.
    """
    message = _address(index, interface)
    if not speaking:
        message["attrs"].append(("IFA_CACHEINFO", {"ifa_preferred": 0, "ifa_valid": _FOREVER}))
    return encode(message, NEW_ADDRESS, CREATE | REPLACE)


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
    return encode(_filled(rtmsg, family=family, table=TABLE_MAIN, proto=ROUTE_PROTOCOL), GET_ROUTE, 0)


def get_neighbours(family: int, link: int) -> Message:
    """List the neighbours on a link, if the socket is strict."""
    return encode(_filled(ndmsg, family=family, attrs=[("NDA_IFINDEX", link)]), GET_NEIGHBOUR, 0)


def get_forwarding(link: int) -> Message:
    """List the forwarding table of a link, if the socket is strict."""
    return encode(_filled(ndmsg, family=_AF_BRIDGE, ifindex=link), GET_NEIGHBOUR, 0)


def get_all_routes(family: int) -> Message:
    """List all routes of the main table, if the socket is strict."""
    return encode(_filled(rtmsg, family=family, table=TABLE_MAIN), GET_ROUTE, 0)


def get_route(destination: Address) -> Message:
    """Ask which route a packet to an address takes."""
    message = _filled(rtmsg, family=_family(destination), dst_len=destination.max_prefixlen, flags=_WHOLE_ROUTE)
    message["attrs"] = [("RTA_DST", str(destination))]
    return encode(message, GET_ROUTE, 0)


def _link(
    kind: int, flags: int, attributes: list[tuple[str, Any]], *, index: int = 0, up: bool | None = None
) -> Message:
    message = ifinfmsg()
    message["index"] = index
    if up is not None:
        message["flags"] = LINK_UP if up else 0
        message["change"] = LINK_UP
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
    message["table"] = TABLE_MAIN
    message["proto"] = ROUTE_PROTOCOL
    message["scope"] = _SCOPE_UNIVERSE if route.gateway else _SCOPE_LINK
    message["type"] = UNICAST
    message["flags"] = ONLINK if route.onlink else 0
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
    message["state"] = PERMANENT
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
