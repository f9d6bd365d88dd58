"""What the kernel answers about links, addresses, routes and neighbours, read into values.

Invariant: nothing here touches a socket; what is not ours or not permanent is told from what is.
Source: rtnetlink(7), Linux include/uapi/linux/{if_link,if_addr,rtnetlink,neighbour}.h.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from agents.network.netlink import HEADER
from agents.network.rtnetlink.encode import LINK_UP, ONLINK, PERMANENT, ROUTE_PROTOCOL, TABLE_MAIN, UNICAST
from agents.network.rtnetlink.values import Link, LinkAddress, Neighbour, Route

_LOOPBACK = 0x8


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
        up=bool(message["flags"] & LINK_UP),
        master=message.get_attr("IFLA_MASTER") or 0,
        loopback=bool(message["flags"] & _LOOPBACK),
        alias=message.get_attr("IFLA_IFALIAS") or "",
        queue=message.get_attr("IFLA_QDISC") or "",
    )


def read_found_route(payload: bytes) -> Route:
    """The `Route`, of whichever table, of an answer to `get_route`."""
    return _read_route(_decoded(rtmsg, payload))


def default_route_link(payload: bytes) -> int:
    """The index of the link of a route to everywhere in an answer to `get_all_routes`; 0 for any other route."""
    message = _decoded(rtmsg, payload)
    return 0 if message["dst_len"] or message["type"] != UNICAST else message.get_attr("RTA_OIF") or 0


def read_address(payload: bytes) -> LinkAddress:
    """The `LinkAddress` of an answer to `get_addresses`."""
    message = _decoded(ifaddrmsg, payload)
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    return LinkAddress(message["index"], ip_interface(f"{text}/{message['prefixlen']}"))


def read_route(payload: bytes) -> Route | None:
    """The `Route` of an answer to `get_routes`; None for one that is not ours."""
    message = _decoded(rtmsg, payload)
    if message["proto"] != ROUTE_PROTOCOL or message["table"] != TABLE_MAIN:
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
        onlink=bool(message["flags"] & ONLINK),
        source=ip_address(source) if source else None,
    )


def read_neighbour(payload: bytes) -> Neighbour | None:
    """The permanent entry of an answer to `get_neighbours` or `get_forwarding`; None for any other."""
    message = _decoded(ndmsg, payload)
    address, mac = message.get_attr("NDA_DST"), message.get_attr("NDA_LLADDR")
    if not message["state"] & PERMANENT or not address or not mac:
        return None
    return Neighbour(message["ifindex"], ip_address(address), mac)


def _decoded(kind: Any, payload: bytes) -> Any:
    # The header tells the decoder only the length.
    message = kind(HEADER.pack(HEADER.size + len(payload), 0, 0, 0, 0) + payload)
    message.decode()
    return message
