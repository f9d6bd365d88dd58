"""How this node reaches the pods of the others: a direct route where it can, VXLAN where it must.

Two nodes on one segment route to each other's podCIDR without any encapsulation. To a node beyond a router the
packets travel in VXLAN, and so do IPv6 packets between nodes that only have IPv4 addresses; nothing is learnt or
flooded there: a device's MAC follows from its node's address, so each node can write the other's forwarding and
neighbour entries without asking.

Invariant: the decision is a pure function of the Node objects and of the addresses on this machine.
Source: RFC 7348; the scheme of fixed entries is the one that flannel's VXLAN backend made common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from agents.network.rtnetlink.values import Address, LinkAddress, Neighbour, Network, Route, mac_of
from api.objects import name_of

VXLAN_LINK = "wherry-vxlan"
VXLAN_IDENTIFIER = 1
VXLAN_PORT = 4789
# Ethernet, IP, UDP and VXLAN headers around each packet, by the version of the nodes' addresses.
VXLAN_OVERHEAD = {4: 50, 6: 70}
_MAC_PREFIX = "0a:56"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node: its name, addresses (the main one first, one a family) and the pods' networks that it has."""

    name: str
    addresses: tuple[Address, ...]
    networks: tuple[Network, ...]

    @property
    def address(self) -> Address:
        """The main address, where its VXLAN device is."""
        return self.addresses[0]

    def address_like(self, network: Network) -> Address:
        """The address of a network's family, if it has one, else the main one."""
        return next((address for address in self.addresses if address.version == network.version), self.address)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A peer's network reached by VXLAN: via its device's address and MAC, at the peer's address."""

    network: Network
    gateway: Address
    mac: str
    remote: Address


@dataclass(frozen=True, slots=True)
class Plan:
    """Direct routes, tunnels, and a sentence for each peer that cannot be reached at all."""

    routes: tuple[Route, ...]
    tunnels: tuple[Tunnel, ...]
    unreachable: tuple[str, ...] = ()


def node_addresses(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The node's InternalIPs: the first of each family, in their order. The API takes any words for addresses."""
    found: dict[int, str] = {}
    for entry in (node.get("status") or {}).get("addresses") or ():
        text = str(entry.get("address") or "")
        if entry.get("type") == "InternalIP" and "%" not in text:
            with suppress(ValueError):
                found.setdefault(ip_address(text).version, text)
    return tuple(found.values())


def node_address(node: Mapping[str, Any]) -> str:
    """The node's first InternalIP, or ""."""
    return next(iter(node_addresses(node)), "")


def pod_networks(node: Mapping[str, Any]) -> tuple[Network, ...]:
    """The node's podCIDRs."""
    spec = node.get("spec") or {}
    cidrs = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    return tuple(ip_network(cidr, strict=False) for cidr in cidrs)


def peers(nodes: Iterable[Mapping[str, Any]], own_name: str) -> list[Peer]:
    """All other nodes that have an address and a podCIDR by now, by name."""
    found = []
    for node in sorted(nodes, key=name_of):
        addresses, networks = tuple(map(ip_address, node_addresses(node))), pod_networks(node)
        if name_of(node) != own_name and addresses and networks:
            found.append(Peer(name_of(node), addresses, networks))
    return found


def device_mac(address: Address) -> str:
    """The MAC of the VXLAN device of the node at that address."""
    return mac_of(address, _MAC_PREFIX)


def plan(others: Iterable[Peer], own: Iterable[LinkAddress], bridge_index: int, loopback_index: int = 1) -> Plan:
    """How to reach each peer, given this node's addresses (those of the bridge and loopback do not count)."""
    segments = [held for held in own if held.index not in (bridge_index, loopback_index)]
    local_addresses = {held.interface.ip for held in segments}
    routes, tunnels, unreachable = [], [], []
    for peer in others:
        taken = next((address for address in peer.addresses if address in local_addresses), None)
        if taken is not None:
            unreachable.append(f"node {peer.name} claims {taken}, which is an address of this node")
            continue
        for network in peer.networks:
            address = peer.address_like(network)
            link = next((held.index for held in segments if address in held.interface.network), None)
            if link is not None and address.version == network.version:
                routes.append(Route(network, link, address))
            else:
                tunnels.append(Tunnel(network, network.network_address, device_mac(peer.address), peer.address))
    return Plan(tuple(routes), tuple(tunnels), tuple(unreachable))


def unanswered(here: str, there: str, address: str, gateway: str, *, tunnelled: bool) -> str:
    """Why the pods' gateway of a node does not answer another node, when the node itself does at its address."""
    if tunnelled:
        return (
            f"node {there} answers at {address}, but not through VXLAN: "
            f"a firewall between {here} and {there} drops UDP port {VXLAN_PORT}"
        )
    return (
        f"node {there} answers at {address}, but not for its pods at {gateway}: "
        f"a firewall between {here} and {there} drops packets of pods, or {there} does not forward them"
    )


def tunnel_routes(tunnels: Iterable[Tunnel], link: int) -> tuple[set[Route], set[Neighbour], set[Neighbour]]:
    """Routes, neighbours and forwarding entries of the VXLAN device with index `link`."""
    tunnels = list(tunnels)
    return (
        {Route(tunnel.network, link, tunnel.gateway, onlink=True) for tunnel in tunnels},
        {Neighbour(link, tunnel.gateway, tunnel.mac) for tunnel in tunnels},
        {Neighbour(link, tunnel.remote, tunnel.mac) for tunnel in tunnels},
    )
