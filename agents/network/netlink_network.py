"""The pod network of a node, made by netlink: a bridge, and for each sandbox a namespace wired to it by a veth.

A pod's address is a /32 and its only neighbour is the gateway, so every packet between pods is routed by the node,
also between two pods of the same node. That is why services and policies see all traffic, whether or not the
kernel passes bridged frames to netfilter.

Order is what makes a crash harmless: the address is recorded, then the namespace made, then the link; removal goes
the other way. Whatever is there half is found by the record and finished by `attach` or removed by `detach`.

Invariant: what `attach` returned for a sandbox stays true until `detach`, across restarts.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterable
from functools import partial
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

from agents.network import hostports, links, namespaces, shaping, sysctl
from agents.network.hostports import HostPortTable
from agents.network.interface import UNLIMITED, Attachment, Bandwidth, HostPort, NetworkError
from agents.network.ipam import AddressBook, Reservation, gateway_of
from agents.network.netlink import Message, NetlinkError, NetlinkSocket
from agents.network.notices import LinkNotices
from agents.network.repairs import Repairs, attempted
from agents.network.rtnetlink import encode
from agents.network.rtnetlink.values import Link, Network, Route, VethPair, mac_of
from api.runtime import Runtime

_SANDBOX_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
_INTERFACE = "eth0"
_LOOPBACK_INDEX = 1


def host_interface(sandbox: str) -> str:
    """The name of the host's end of a sandbox's veth: 15 characters that follow from the sandbox's name."""
    return "veth" + hashlib.blake2s(sandbox.encode(), digest_size=8).hexdigest()[:11]


class NetlinkPodNetwork:
    """`agents.network.interface.PodNetwork` on the kernel of this machine.

    Keeps its records under `state_dir`. `mtu` 0 takes the uplink's.
    """

    def __init__(
        self, state_dir: Path, runtime: Runtime, *, mtu: int = 0, namespaces_dir: Path = Path(namespaces.DIRECTORY)
    ) -> None:
        self._book = AddressBook(state_dir)
        self._lock = runtime.lock()
        self._kernel = NetlinkSocket(links.NETLINK_ROUTE).strict()
        self._host_ports = HostPortTable()
        self._mtu = mtu
        self._namespaces_dir = namespaces_dir
        self._networks: tuple[Network, ...] = ()
        # What was wired by this process, and is looked after until it shall go.
        self._wired: dict[str, Bandwidth] = {}
        self._notices = LinkNotices()
        self._links_are_right = False

    def configure(self, pod_cidrs: tuple[str, ...]) -> None:
        """Take the node's podCIDRs, and make the bridge and let the node forward. Raises NetworkError."""
        try:
            networks = tuple(ip_network(cidr, strict=False) for cidr in pod_cidrs)
        except ValueError as error:
            raise NetworkError(f"the node's podCIDRs {', '.join(pod_cidrs)} are not networks: {error}") from error
        if not networks:
            raise NetworkError("the node has no podCIDR yet; the controller manager assigns one")
        with self._lock:
            self._networks = networks
            self._ensure_node()
            self._sync_host_ports()

    def attach(
        self, sandbox: str, host_ports: tuple[HostPort, ...] = (), bandwidth: Bandwidth = UNLIMITED
    ) -> Attachment:
        """Make the namespace named `sandbox` with loopback up, an address of the podCIDR and a default route.

        Again for the same sandbox: the same attachment. Raises NetworkError (no address left, kernel refused).
        """
        if not _SANDBOX_NAME.fullmatch(sandbox):
            raise NetworkError(f"sandbox name {sandbox!r} cannot be the name of a network namespace")
        for port in host_ports:
            if not hostports.is_possible(port):
                why = f"{port.host_address!r} is no address that the host port {port.host_port} could be at"
                raise NetworkError(f"sandbox {sandbox} cannot be attached: {why}")
        with self._lock:
            if not self._networks:
                raise NetworkError(f"sandbox {sandbox} cannot be attached: the node has no podCIDR yet")
            before = self._book.get(sandbox)
            reservation = self._book.reserve(sandbox, self._networks, tuple(_port_record(port) for port in host_ports))
            try:
                namespaces.share(self._namespaces_dir)
                fresh = namespaces.create(self._namespace(sandbox))
                stale = fresh or before is None or before.addresses != reservation.addresses
                self._wire(sandbox, reservation, bandwidth, stale=stale)
            except (OSError, NetlinkError, sysctl.SysctlError) as error:
                raise NetworkError(f"the network of sandbox {sandbox} cannot be made: {error}") from error
            if host_ports or (before is not None and before.host_ports):
                self._sync_host_ports()
            self._wired[sandbox] = bandwidth
            return self._attachment(sandbox, reservation)

    def path(self, sandbox: str) -> str:
        """Where the namespace named `sandbox` is mounted, or will be."""
        return str(self._namespace(sandbox))

    def detach(self, sandbox: str) -> None:
        """Remove the namespace, its link and give its address back; nothing there is no error."""
        if not _SANDBOX_NAME.fullmatch(sandbox):
            return
        with self._lock:
            self._wired.pop(sandbox, None)
            try:
                self._cut_off(sandbox)
                namespaces.remove(self._namespace(sandbox))
            except (OSError, NetlinkError) as error:
                raise NetworkError(f"the network of sandbox {sandbox} cannot be removed: {error}") from error
            before = self._book.get(sandbox)
            self._book.release(sandbox)
            if before is not None and before.host_ports:
                self._sync_host_ports()

    def repair(self) -> Repairs:
        """Make again what somebody took away of what `attach` made here. Raises NetworkError if nobody can look."""
        with self._lock:
            try:
                of_links = self._repair_links()
            except (OSError, NetlinkError) as error:
                raise NetworkError(f"the network of pods cannot be looked at: {error}") from error
            inside = [
                (name, partial(self._repair_inside, name)) for name, wanted in self._wired.items() if wanted.egress
            ]
            return of_links + attempted([*inside, ("the table of host ports", self._host_ports.repair)])

    def attached(self) -> dict[str, Attachment]:
        """Every sandbox that has a namespace or an address now."""
        with self._lock:
            reservations = self._book.reservations()
        return {sandbox: self._attachment(sandbox, held) for sandbox, held in reservations.items()}

    def _namespace(self, sandbox: str) -> Path:
        return self._namespaces_dir / sandbox

    def _attachment(self, sandbox: str, reservation: Reservation) -> Attachment:
        addresses = tuple(str(address) for address in reservation.addresses)
        first = reservation.addresses[0]
        gateway = next((gateway_of(network) for network in self._networks if first in network), None)
        return Attachment(sandbox, str(self._namespace(sandbox)), addresses, str(gateway or ""))

    def _ensure_node(self) -> Link:
        bridge, _ = links.ensure_bridge(self._kernel, self._networks, self._effective_mtu())
        links.ensure_forwarding(ipv6=any(network.version == 6 for network in self._networks))
        return bridge

    def _effective_mtu(self) -> int:
        return self._mtu or links.uplink_mtu(self._kernel)

    def _wire(self, sandbox: str, reservation: Reservation, bandwidth: Bandwidth, *, stale: bool) -> None:
        name = host_interface(sandbox)
        namespace = self._namespace(sandbox)
        bridge = links.find_link(self._kernel, links.BRIDGE) or self._ensure_node()
        present = links.find_link(self._kernel, name)
        if present is not None and (stale or present.master != bridge.index):
            self._delete_link(name)
            present = None
        if present is None:
            self._create_link(sandbox, reservation, bridge, namespace)
        if not self._configure_inside(namespace, reservation, bandwidth.egress):
            self._delete_link(name)
            self._create_link(sandbox, reservation, bridge, namespace)
            if not self._configure_inside(namespace, reservation, bandwidth.egress):
                raise NetlinkError(errno.ENODEV, f"{_INTERFACE} does not stay in {namespace}")
        made = links.find_link(self._kernel, name) if bandwidth.ingress else None
        if made is not None:
            self._kernel.request(shaping.limit(made.index, bandwidth.ingress))

    def _cut_off(self, sandbox: str) -> None:
        """Take a sandbox's link down. It goes with the namespace, when nothing uses that any more.

        To remove a link by its name takes the kernel 20 ms and more, in which it makes the caller wait.
        """
        link = links.find_link(self._kernel, host_interface(sandbox))
        if link is None:
            return
        if not namespaces.exists(self._namespace(sandbox)):
            self._delete_link(link.name)
            return
        try:
            self._kernel.request(encode.link_down(link.index))
        except NetlinkError as error:
            if error.code != errno.ENODEV:
                raise

    def _remove_left(self, present: Iterable[Link]) -> None:
        """Remove links of sandboxes that are gone, whose namespaces somebody still holds."""
        known = self._book.reservations()
        for link in present:
            sandbox = link.alias.removeprefix(links.SANDBOX_ALIAS)
            if link.kind == "veth" and sandbox != link.alias and sandbox not in known:
                self._delete_link(link.name)

    def _repair_links(self) -> Repairs:
        if self._notices.anything():
            self._links_are_right = False
        if self._links_are_right:
            return Repairs()
        present = {link.name: link for link in links.links(self._kernel).values()}
        self._remove_left(present.values())
        found = attempted(
            (f"the link of {name}", partial(self._repair_link, name, present.get(host_interface(name))))
            for name in self._wired
        )
        self._links_are_right = not found.failed
        return found

    def _repair_link(self, sandbox: str, present: Link | None) -> list[str]:
        """Make a sandbox's link again, bring it up, or limit it; what was done."""
        reservation, name = self._book.get(sandbox), host_interface(sandbox)
        if present is not None and not present.up:
            self._kernel.request(encode.link_up(present.index))
            return [f"brought {name} of {sandbox} up"]
        limit = self._wired[sandbox].ingress
        if present is not None and limit and present.queue != shaping.QUEUE:
            self._kernel.request(shaping.limit(present.index, limit))
            return [f"limited what {sandbox} takes again"]
        if present is not None or reservation is None or not namespaces.exists(self._namespace(sandbox)):
            return []
        self._wire(sandbox, reservation, self._wired[sandbox], stale=False)
        return [f"made {name} of {sandbox} again"]

    def _repair_inside(self, sandbox: str) -> list[str]:
        """Limit again what a sandbox sends. Of namespaces other than this one the kernel tells nothing."""
        namespace = self._namespace(sandbox)
        if not namespaces.exists(namespace):
            return []
        with NetlinkSocket(links.NETLINK_ROUTE, str(namespace)) as kernel:
            inner = links.find_link(kernel, _INTERFACE)
            if inner is None or inner.queue == shaping.QUEUE:
                return []
            kernel.request(shaping.limit(inner.index, self._wired[sandbox].egress))
            return [f"limited what {sandbox} sends again"]

    def _create_link(self, sandbox: str, reservation: Reservation, bridge: Link, namespace: Path) -> None:
        pair = VethPair(
            name=host_interface(sandbox),
            bridge=bridge.index,
            mtu=bridge.mtu,
            peer_name=_INTERFACE,
            peer_mac=mac_of(reservation.addresses[0]),
        )
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            messages = [
                encode.new_veth(pair, descriptor),
                encode.hairpin_port(pair.name, links.SANDBOX_ALIAS + sandbox),
            ]
            for error in self._kernel.batch(messages):
                if error is not None:
                    raise error
        finally:
            os.close(descriptor)

    def _configure_inside(self, namespace: Path, reservation: Reservation, egress: int) -> bool:
        """Address and routes inside the namespace; False if the interface is not there."""
        with NetlinkSocket(links.NETLINK_ROUTE, str(namespace)) as kernel:
            interface = links.find_link(kernel, _INTERFACE)
            if interface is None:
                return False
            messages = self._inside_messages(interface.index, reservation)
            if egress:
                messages.append(shaping.limit(interface.index, egress))
            for error in kernel.batch(messages):
                if error is not None:
                    raise error
        with namespaces.inside(namespace):
            # The node forwards between pods through one interface and may tell them a short cut that has no return.
            for scope in ("all", _INTERFACE):
                sysctl.ensure(f"ipv4/conf/{scope}/accept_redirects", "0")
                if any(address.version == 6 for address in reservation.addresses):
                    sysctl.ensure(f"ipv6/conf/{scope}/accept_redirects", "0")
        return True

    def _inside_messages(self, index: int, reservation: Reservation) -> list[Message]:
        messages = [encode.link_up(_LOOPBACK_INDEX), encode.link_up(index)]
        for address in reservation.addresses:
            gateway = gateway_of(next(network for network in self._networks if address in network))
            everywhere = ip_network("0.0.0.0/0" if address.version == 4 else "::/0")
            messages += [
                encode.new_address(index, ip_interface(address)),
                encode.new_route(Route(ip_network(gateway), index)),
                encode.new_route(Route(everywhere, index, gateway)),
            ]
        return messages

    def _delete_link(self, name: str) -> None:
        try:
            self._kernel.request(encode.delete_link(name))
        except NetlinkError as error:
            if error.code != errno.ENODEV:
                raise

    def _sync_host_ports(self) -> None:
        wanted = [
            (address, HostPort(**record))
            for reservation in self._book.reservations().values()
            for address in reservation.addresses
            for record in _records(reservation)
        ]
        self._host_ports.sync(wanted)


def _port_record(port: HostPort) -> dict[str, object]:
    return {
        "host_port": port.host_port,
        "container_port": port.container_port,
        "protocol": port.protocol,
        "host_address": port.host_address,
    }


def _records(reservation: Reservation) -> list[dict[str, Any]]:
    return [dict(record) for record in reservation.host_ports]
