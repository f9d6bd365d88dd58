"""Makes the kernel's routes to other nodes' pods like the plan, and says what had to be changed.

Invariant: only routes with our protocol number, and neighbours of our own VXLAN device, are ever removed.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Hashable, Iterable
from ipaddress import ip_address, ip_interface
from typing import TypeVar

from agents.network import links
from agents.network.interface import NetworkError
from agents.network.netlink import Message, NetlinkError, NetlinkSocket
from agents.network.routes import (
    VXLAN_IDENTIFIER,
    VXLAN_LINK,
    VXLAN_OVERHEAD,
    VXLAN_PORT,
    Plan,
    Tunnel,
    device_mac,
    tunnel_routes,
)
from agents.network.rtnetlink import decode, encode
from agents.network.rtnetlink.values import Address, Link, Neighbour, Network, Route

_Entry = TypeVar("_Entry", bound=Hashable)


class RouteTable:
    """The routes of this machine that are ours; one task at a time."""

    def __init__(self, kernel: NetlinkSocket | None = None) -> None:
        self._kernel = kernel or NetlinkSocket(links.NETLINK_ROUTE).strict()

    @property
    def kernel(self) -> NetlinkSocket:
        """The rtnetlink socket, for others of the same task."""
        return self._kernel

    def close(self) -> None:
        """Close the socket; routes stay."""
        self._kernel.close()

    def reconcile(
        self, plan: Plan, own_address: str, own_networks: tuple[Network, ...], extra: Iterable[Route] = ()
    ) -> list[str]:
        """Make routes, tunnels and their entries as planned, and `extra` routes; what was changed, as sentences.

        Raises NetworkError if the kernel refuses.
        """
        try:
            changes, device = self._ensure_device(plan.tunnels, own_address, own_networks)
            wanted = set(plan.routes) | set(extra)
            if device is not None:
                tunnelled, neighbours, forwarding = tunnel_routes(plan.tunnels, device.index)
                wanted |= tunnelled
                changes += self._neighbours(device, neighbours)
                changes += self._forwarding(device, forwarding)
            return changes + self._routes(wanted)
        except NetlinkError as error:
            raise NetworkError(f"routes to other nodes cannot be set: {error}") from error

    def remove(self) -> list[str]:
        """Remove every route of ours and the VXLAN device; what was there. Raises NetworkError."""
        return self.reconcile(Plan((), ()), "", ())

    def _routes(self, wanted: set[Route]) -> list[str]:
        present = set()
        for family in (socket.AF_INET, socket.AF_INET6):
            for _, payload in self._kernel.dump(encode.get_routes(family)):
                route = decode.read_route(payload)
                if route is not None:
                    present.add(route)
        replaced = {route.destination for route in wanted}
        obsolete = {route for route in present - wanted if route.destination not in replaced}
        return self._apply(wanted - present, obsolete, (encode.new_route, encode.delete_route), _describe_route)

    def _neighbours(self, device: Link, wanted: set[Neighbour]) -> list[str]:
        present = {
            entry
            for family in (socket.AF_INET, socket.AF_INET6)
            for entry in self._permanent(encode.get_neighbours(family, device.index), device)
        }
        calls = (encode.new_neighbour, encode.delete_neighbour)
        return self._apply(wanted - present, present - wanted, calls, lambda one: f"neighbour {one.address}")

    def _forwarding(self, device: Link, wanted: set[Neighbour]) -> list[str]:
        present = self._permanent(encode.get_forwarding(device.index), device)
        calls = (encode.new_forwarding, encode.delete_forwarding)
        return self._apply(wanted - present, present - wanted, calls, lambda one: f"forwarding of {one.mac}")

    def _permanent(self, request: Message, device: Link) -> set[Neighbour]:
        entries = (decode.read_neighbour(payload) for _, payload in self._kernel.dump(request))
        return {entry for entry in entries if entry is not None and entry.link == device.index}

    def _apply(
        self,
        missing: set[_Entry],
        obsolete: set[_Entry],
        calls: tuple[Callable[[_Entry], Message], Callable[[_Entry], Message]],
        describe: Callable[[_Entry], str],
    ) -> list[str]:
        new, delete = calls
        gone, fresh = list(obsolete), list(missing)
        outcomes = self._kernel.batch([delete(entry) for entry in gone] + [new(entry) for entry in fresh])
        for entry, error in zip(gone, outcomes, strict=False):
            if error is not None and error.code not in (errno.ESRCH, errno.ENOENT, errno.ENODEV):
                raise NetlinkError(error.code, f"removing {describe(entry)}")
        for entry, error in zip(fresh, outcomes[len(gone) :], strict=True):
            if error is not None:
                raise NetlinkError(error.code, f"adding {describe(entry)}: {error}")
        return [f"removed {describe(entry)}" for entry in gone] + [f"added {describe(entry)}" for entry in fresh]

    def _ensure_device(
        self, tunnels: tuple[Tunnel, ...], own_address: str, own_networks: tuple[Network, ...]
    ) -> tuple[list[str], Link | None]:
        """The VXLAN device if there are tunnels, and none if there are not; what was changed."""
        present = links.find_link(self._kernel, VXLAN_LINK)
        if not tunnels:
            if present is None:
                return [], None
            self._kernel.request(encode.delete_link(VXLAN_LINK))
            return [f"removed link {VXLAN_LINK}"], None
        local = ip_address(own_address)
        mtu = links.uplink_mtu(self._kernel, own_address) - VXLAN_OVERHEAD[local.version]
        changes = []
        if present is not None and (present.mac, present.mtu, present.kind) != (device_mac(local), mtu, "vxlan"):
            self._kernel.request(encode.delete_link(VXLAN_LINK))
            present = None
        if present is None:
            present = self._make_device(local, mtu)
            changes.append(f"added link {VXLAN_LINK}")
        if not present.up:
            self._kernel.request(encode.link_up(present.index))
            changes.append(f"brought link {VXLAN_LINK} up")
        return changes + self._ensure_device_address(present, own_networks), present

    def _make_device(self, local: Address, mtu: int) -> Link:
        message = encode.new_vxlan(VXLAN_LINK, VXLAN_IDENTIFIER, VXLAN_PORT, local, device_mac(local), mtu)
        self._kernel.request(message)
        made = links.find_link(self._kernel, VXLAN_LINK)
        if made is None:
            raise NetlinkError(errno.ENODEV, f"{VXLAN_LINK} disappeared while it was made")
        return made

    def _ensure_device_address(self, device: Link, own_networks: tuple[Network, ...]) -> list[str]:
        """The node's own packets into the tunnel need a source that the other side sends back into it."""
        wanted = {ip_interface(network.network_address) for network in own_networks}
        held = {
            address.interface
            for address in links.addresses(self._kernel)
            if address.index == device.index and not address.interface.is_link_local
        }
        messages = [encode.delete_address(device.index, old) for old in held - wanted]
        messages += [encode.new_address(device.index, new) for new in wanted - held]
        for error in self._kernel.batch(messages):
            if error is not None and error.code not in (errno.EADDRNOTAVAIL, errno.EEXIST):
                raise error
        return [f"set the address of {VXLAN_LINK}"] if messages else []


def _describe_route(route: Route) -> str:
    via = f" via {route.gateway}" if route.gateway else ""
    return f"route {route.destination}{via}"
