"""The node's side of the pod network: its uplink, and the bridge that the kubelet and the proxy both keep.

Invariant: `ensure_bridge` may be called by two processes at once and any number of times; it ends with one bridge
that is up and has exactly the gateway addresses asked for.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from ipaddress import ip_interface

from agents.network import sysctl
from agents.network.interface import NetworkError
from agents.network.ipam import gateway_of
from agents.network.netlink import NetlinkError, NetlinkSocket
from agents.network.rtnetlink import decode, encode
from agents.network.rtnetlink.values import Interface, Link, LinkAddress, Network, mac_of

BRIDGE = "wherry0"
# Begins the description of the host's end of a sandbox's veth.
SANDBOX_ALIAS = "sandbox "
NETLINK_ROUTE = 0

_DEFAULT_MTU = 1500
# A client may take an hour to close its side, a quiet connection lives for a day.
_TRACKING = (("tcp_timeout_close_wait", "3600"), ("tcp_timeout_established", "86400"))


def find_link(kernel: NetlinkSocket, name: str) -> Link | None:
    """The link of that name, or None."""
    try:
        return decode.read_link(kernel.get(encode.get_link(name))[1])
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def links(kernel: NetlinkSocket) -> dict[int, Link]:
    """All links by index."""
    found = (decode.read_link(payload) for _, payload in kernel.dump(encode.get_links()))
    return {link.index: link for link in found}


def addresses(kernel: NetlinkSocket) -> list[LinkAddress]:
    """All addresses of the namespace."""
    return [decode.read_address(payload) for _, payload in kernel.dump(encode.get_addresses())]


def uplink(kernel: NetlinkSocket, node_address: str = "") -> Link | None:
    """The link that carries `node_address`, else that of the default route, else None."""
    present = links(kernel)
    for held in addresses(kernel):
        if node_address and str(held.interface.ip) == node_address:
            return present.get(held.index)
    for _, payload in kernel.dump(encode.get_all_routes(socket.AF_INET)):
        index = decode.default_route_link(payload)
        if index:
            return present.get(index)
    return None


def uplink_mtu(kernel: NetlinkSocket, node_address: str = "") -> int:
    """The MTU of the uplink, 1500 if there is none."""
    link = uplink(kernel, node_address)
    return link.mtu if link is not None else _DEFAULT_MTU


def ensure_bridge(kernel: NetlinkSocket, networks: Iterable[Network], mtu: int) -> tuple[Link, bool]:
    """The bridge with the gateway address of each podCIDR, and whether anything had to be changed.

    `mtu` is for a new bridge; one that is there keeps the MTU that its pods have.
    Raises NetworkError, which says what the kernel refused.
    """
    gateways = [ip_interface(f"{gateway_of(network)}/{network.prefixlen}") for network in networks]
    mac = mac_of(gateways[0].ip)
    try:
        bridge = find_link(kernel, BRIDGE)
        changed = bridge is None
        if bridge is None:
            bridge = _create(kernel, mac, mtu)
        if (bridge.mac, bridge.up) != (mac, True):
            kernel.request(encode.link_mac(bridge.index, mac))
            changed = True
        return bridge, _ensure_addresses(kernel, bridge, gateways) or changed
    except NetlinkError as error:
        raise NetworkError(f"bridge {BRIDGE} cannot be made: {error}; is the node's user root?") from error


def ensure_ports(kernel: NetlinkSocket, bridge: Link) -> list[str]:
    """Make the host's ends of all sandboxes ports of the bridge, for one that was removed and made again.

    What was changed. Raises NetlinkError.
    """
    strays = [
        link.name
        for link in links(kernel).values()
        if link.kind == "veth" and link.alias.startswith(SANDBOX_ALIAS) and link.master != bridge.index
    ]
    messages = [encode.join_bridge(name, bridge.index) for name in strays]
    messages += [encode.hairpin_port(name) for name in strays]
    for error in kernel.batch(messages):
        if error is not None and error.code != errno.ENODEV:
            raise error
    return [f"made {name} a port of {BRIDGE}" for name in strays]


def ensure_forwarding(ipv6: bool = False) -> bool:
    """Let the node forward packets and keep it from telling pods short cuts; whether anything was changed.

    Raises NetworkError.
    """
    try:
        changed = sysctl.ensure("ipv4/ip_forward", "1")
        if ipv6:
            _keep_router_advertisements()
            changed |= sysctl.ensure("ipv6/conf/all/forwarding", "1")
        return changed | _silence_redirects()
    except sysctl.SysctlError as error:
        raise NetworkError(f"the node cannot forward packets of pods: {error}") from error


def _silence_redirects() -> bool:
    """A station that was told a short cut past this node keeps to it for minutes, whatever services say meanwhile.

    The kernel heeds a link's parameter only together with that for all. Pods' links have no address to tell from.
    """
    names = [name for name in sysctl.names("ipv4/conf") if not name.startswith("veth")]
    changes = [sysctl.ensure(f"ipv4/conf/{name}/send_redirects", "0", optional=True) for name in names]
    return any(changes)


def _keep_router_advertisements() -> None:
    """A link whose default route comes from a router would lose it, as who forwards takes itself for a router."""
    for name in sysctl.names("ipv6/conf"):
        if name not in (BRIDGE, "all", "lo") and sysctl.value(f"ipv6/conf/{name}/accept_ra") == "1":
            sysctl.ensure(f"ipv6/conf/{name}/accept_ra", "2")


def ensure_tracking() -> bool:
    """Give tracked connections the time that the original's proxy gives them; whether anything was changed.

    A kernel that tracks nothing yet has no such parameters. Raises NetworkError.
    """
    try:
        changes = [sysctl.ensure(f"netfilter/nf_conntrack_{name}", value, optional=True) for name, value in _TRACKING]
    except sysctl.SysctlError as error:
        raise NetworkError(f"the timeouts of tracked connections cannot be set: {error}") from error
    return any(changes)


def _create(kernel: NetlinkSocket, mac: str, mtu: int) -> Link:
    try:
        kernel.request(encode.new_bridge(BRIDGE, mac, mtu))
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise
    bridge = find_link(kernel, BRIDGE)
    if bridge is None:
        raise NetlinkError(errno.ENODEV, f"{BRIDGE} disappeared while it was made")
    return bridge


def _ensure_addresses(kernel: NetlinkSocket, bridge: Link, gateways: list[Interface]) -> bool:
    held = [
        address.interface
        for address in addresses(kernel)
        if address.index == bridge.index and not address.interface.is_link_local
    ]
    messages = [encode.delete_address(bridge.index, old) for old in held if old not in gateways]
    messages += [encode.new_address(bridge.index, new) for new in gateways if new not in held]
    for error in kernel.batch(messages):
        if error is not None and error.code not in (errno.EADDRNOTAVAIL, errno.EEXIST):
            raise error
    return bool(messages)
