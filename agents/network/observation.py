"""What the kernel of this node does with packets for an address: the facts that `wherry trace` puts together.

Invariant: only looks; every answer is of now and of the kernel, never of what somebody believes to have set up.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from ipaddress import ip_address
from typing import Any

from agents.network import echo, links
from agents.network.interface import Attachment
from agents.network.netlink import NetlinkError, NetlinkSocket
from agents.network.netlink_network import host_interface
from agents.network.routes import VXLAN_LINK
from agents.network.rtnetlink import decode, encode
from agents.network.rtnetlink.values import Neighbour

# An address of documentation, by whether it is one of IPv6: the default route leads there.
_ANYWHERE = {False: ip_address("192.0.2.1"), True: ip_address("2001:db8::1")}


def observe(attached: Iterable[Attachment], query: Mapping[str, str]) -> dict[str, Any]:
    """The facts about `target`, as seen from this node or from its pod at `source`; `port` and `echo` by wish."""
    pods = {address: held for held in attached for address in held.addresses}
    source, target = pods.get(query.get("source", "")), query["target"]
    facts: dict[str, Any] = {}
    with NetlinkSocket(links.NETLINK_ROUTE).strict() as kernel:
        for name, address in (("source", query.get("source", "")), ("target", target)):
            if address in pods:
                facts[name] = _sandbox(kernel, pods[address])
        facts["route"] = _route(kernel, target)
    facts["echo"] = {
        address: echo.echo(address, os.getpid()) for address in query.get("echo", "").split(",") if address
    }
    if query.get("port"):
        facts["connection"] = echo.connect(target, int(query["port"]), source.namespace_path if source else "")
    return facts


def _sandbox(kernel: NetlinkSocket, held: Attachment) -> dict[str, Any]:
    """A pod's link on this node, and what is wrong with it ("" if nothing is)."""
    name = host_interface(held.sandbox)
    link, bridge = links.find_link(kernel, name), links.find_link(kernel, links.BRIDGE)
    if bridge is None or not bridge.up:
        problem = f"the bridge {links.BRIDGE} is {'down' if bridge else 'gone'}"
    elif link is None:
        problem = f"its link {name} is gone"
    elif not link.up:
        problem = f"its link {name} is down"
    elif link.master != bridge.index:
        problem = f"its link {name} is no port of {links.BRIDGE}"
    else:
        problem = _inside(held)
    return {"link": name, "bridge": links.BRIDGE, "problem": problem}


def _inside(held: Attachment) -> str:
    try:
        with NetlinkSocket(links.NETLINK_ROUTE, held.namespace_path).strict() as kernel:
            present = {str(one.interface.ip) for one in links.addresses(kernel)}
            if not present.issuperset(held.addresses):
                return f"its namespace has no address {', '.join(sorted(set(held.addresses) - present))}"
            for address in held.addresses:
                kernel.get(encode.get_route(_ANYWHERE[":" in address]))
    except (OSError, NetlinkError) as error:
        return f"its namespace has no way out: {error}"
    return ""


def _route(kernel: NetlinkSocket, target: str) -> dict[str, Any]:
    """The route to an address; for the VXLAN device also whether it knows where the gateway is."""
    try:
        found = decode.read_found_route(kernel.get(encode.get_route(ip_address(target)))[1])
    except NetlinkError as error:
        return {"problem": f"there is no route: {error}"}
    link = links.links(kernel).get(found.link)
    described = {key: str(value) for key, value in asdict(found).items() if value} | {
        "link": link.name if link else "?"
    }
    problem = f"its device {link.name} is down" if link and not link.up else ""
    if link is not None and link.name == VXLAN_LINK and found.gateway is not None:
        described["remote"], problem = _tunnel(kernel, link.index, str(found.gateway))
    return described | {"problem": problem}


def _tunnel(kernel: NetlinkSocket, device: int, gateway: str) -> tuple[str, str]:
    """The node at the other end of the tunnel to a gateway; what is missing for it."""
    family = socket.AF_INET6 if ":" in gateway else socket.AF_INET
    known = _entries(kernel, encode.get_neighbours(family, device))
    mac = next((entry.mac for entry in known if str(entry.address) == gateway), "")
    if not mac:
        return "", f"{VXLAN_LINK} has no neighbour entry for {gateway}"
    remote = next((entry for entry in _entries(kernel, encode.get_forwarding(device)) if entry.mac == mac), None)
    if remote is None:
        return "", f"{VXLAN_LINK} has no forwarding entry for {mac}"
    return str(remote.address), ""


def _entries(kernel: NetlinkSocket, request: Any) -> list[Neighbour]:
    entries = (decode.read_neighbour(payload) for _, payload in kernel.dump(request))
    return [entry for entry in entries if entry is not None]
