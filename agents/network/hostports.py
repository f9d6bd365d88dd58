"""Ports of the node that lead to ports of pods, as an nftables table of its own beside the proxy's.

The node itself reaches them at 127.0.0.1 too, if they are there or at any address. For that the kernel must take
packets of loopback addresses on the pods' bridge, and does as long as the table is there that drops what others send to
such addresses by it, or as if from one.

Invariant: a family's table is there exactly while a pod on this node has a host port and an address of the family; no
UDP client is led to a pod that had the port before; only the node itself reaches what is at 127.0.0.1, be it a process
of its own or a pod.
Source: the portmap plugin of CNI, for what is reached from where.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from itertools import combinations

from agents.network import links, sysctl
from agents.network.conntrack import ConnectionTracking, Frontend
from agents.network.interface import HostPort, NetworkError
from agents.network.netlink import NetlinkError
from agents.network.nftables.table import NftTable
from agents.network.nftables.values import (
    ACCEPT,
    DROP,
    PROTOCOLS,
    Chain,
    Endpoint,
    Established,
    Family,
    Field,
    Hook,
    HookPoint,
    InNetworks,
    InSet,
    Interface,
    IsLocal,
    Key,
    Masquerade,
    Redirect,
    Rule,
    Ruleset,
    Set,
    Translated,
    Type,
    Value,
    spelled,
)
from agents.network.rtnetlink.values import Address

TABLE = "wherry-hostports"

# Before the proxy's destination NAT: a host port wins over a NodePort of the same number.
_PRIORITY = -101
_SOURCE_NAT_PRIORITY = 99
_TO_LOOPBACK, _FROM_LOOPBACK = (InNetworks(way, ("127.0.0.0/8",)) for way in (Field.DESTINATION, Field.SOURCE))
_LOCALNET = f"ipv4/conf/{links.BRIDGE}/route_localnet"
_ANY, _ONE, _SELF = "ports", "address-ports", "hairpin"
_LOCAL = (Field.PROTOCOL, Field.DESTINATION_PORT)
_ADDRESSED = (Field.DESTINATION, Field.PROTOCOL, Field.DESTINATION_PORT)


def is_possible(port: HostPort) -> bool:
    """Whether the port is at an address, or at all; the API takes any words for a port's hostIP."""
    try:
        return not port.host_address or bool(spelled(str(ip_address(port.host_address))))
    except (ValueError, OSError):
        return False


def desired(ports: Iterable[tuple[Address, HostPort]], family: Family = Family.IP) -> Ruleset:
    """A family's table for pods' addresses and their host ports; of two that claim the same, the first has it."""
    anywhere: dict[Key, Value] = {}
    addressed: dict[Key, Value] = {}
    hairpin: dict[Key, Value] = {}
    for address, port in ports:
        if not family.has(str(address)):
            continue
        protocol = PROTOCOLS[port.protocol]
        endpoint = Endpoint(str(address), port.container_port)
        hairpin[(str(address), str(address))] = None
        if port.host_address in ("", "0.0.0.0", "::"):
            anywhere.setdefault((protocol, port.host_port), endpoint)
        elif family.has(port.host_address) and is_possible(port):
            addressed.setdefault((spelled(port.host_address), protocol, port.host_port), endpoint)
    lookup: tuple[Rule, ...] = (
        (Redirect(_ADDRESSED, _ONE),),
        (IsLocal(Field.DESTINATION), Redirect(_LOCAL, _ANY)),
    )
    hairpinned: Rule = (Translated(), InSet((Field.SOURCE, Field.DESTINATION), _SELF), Masquerade())
    of_others, own, home = _own_loopback() if family is Family.IP else ((), (), ())
    return Ruleset(
        chains={
            "prerouting": Chain((*of_others, *lookup), Hook("nat", HookPoint.PREROUTING, _PRIORITY)),
            "output": Chain(lookup, Hook("nat", HookPoint.OUTPUT, _PRIORITY)),
            **({"input": Chain(own, Hook("filter", HookPoint.INPUT, 0))} if own else {}),
            "postrouting": Chain((hairpinned, *home), Hook("nat", HookPoint.POSTROUTING, _SOURCE_NAT_PRIORITY)),
        },
        sets={
            _ANY: Set((Type.PROTOCOL, Type.PORT), data=(Type.ADDRESS, Type.PORT)),
            _ONE: Set((Type.ADDRESS, Type.PROTOCOL, Type.PORT), data=(Type.ADDRESS, Type.PORT)),
            _SELF: Set((Type.ADDRESS, Type.ADDRESS)),
        },
        elements={_ANY: anywhere, _ONE: addressed, _SELF: hairpin},
    )


def _own_loopback() -> tuple[tuple[Rule, ...], ...]:
    """What is led to no pod; what comes in, which is answers of pods only; what goes out under the node's address.

    By other interfaces than the bridge, and of IPv6 at all, the kernel takes no such packets. Nor does it take by the
    bridge what seems to be of the node's own loopback addresses, if it looks (rp_filter).
    """
    by_bridge = Interface(links.BRIDGE)
    return (
        ((Interface("lo", inverted=True), _TO_LOOPBACK, ACCEPT),),
        ((by_bridge, _FROM_LOOPBACK, DROP), (Established(), ACCEPT), (by_bridge, _TO_LOOPBACK, DROP)),
        ((Translated(), _FROM_LOOPBACK, Masquerade()),),
    )


def backends(ruleset: Ruleset) -> dict[Frontend, frozenset[Endpoint]]:
    """Who answers at each front end of a table."""
    found: dict[Frontend, frozenset[Endpoint]] = {}
    for name in (_ANY, _ONE):
        for key, endpoint in ruleset.elements.get(name, {}).items():
            *address, protocol, port = key
            if isinstance(endpoint, Endpoint):
                front = Frontend(str(address[0]) if address else "", int(protocol), int(port))
                found[front] = frozenset((endpoint,))
    return found


class HostPortTable:
    """Keeps the kernel's tables, one an address family, like the host ports of all sandboxes."""

    def __init__(self) -> None:
        self._tables = [NftTable(TABLE, family) for family in Family]
        for one, other in combinations(self._tables, 2):
            one.beside(other)
        self._wanted: dict[Family, Ruleset] = {}
        self._tracking = {family: ConnectionTracking(family) for family in Family}
        self._led: dict[Family, dict[Frontend, frozenset[Endpoint]]] = {family: {} for family in Family}

    def sync(self, ports: list[tuple[Address, HostPort]]) -> None:
        """Make the tables agree with exactly these ports. Raises NetworkError."""
        try:
            if not any(Family.IP.has(str(address)) for address, _ in ports):
                # Before the table goes that keeps others off. Without the bridge there is nothing to reach.
                sysctl.ensure(_LOCALNET, "0", optional=True)
            for table in self._tables:
                mine = [(address, port) for address, port in ports if table.family.has(str(address))]
                wanted = desired(mine, table.family) if mine else Ruleset()
                self._wanted[table.family] = wanted
                if mine:
                    table.reconcile(wanted)
                else:
                    table.remove()
                self._forget_flows(table.family, backends(wanted))
            self._take_loopback()
        except (NetlinkError, sysctl.SysctlError) as error:
            raise NetworkError(f"host ports cannot be set up: {error}") from error

    def repair(self) -> list[str]:
        """Undo what others did to the tables since the last call; what, as sentences.

        Raises NetlinkError, SysctlError.
        """
        changes = []
        for table in self._tables:
            wanted = self._wanted.get(table.family, Ruleset())
            if wanted.chains and not table.unchanged() and (found := table.reconcile(wanted)):
                changes.append(f"nftables table {TABLE} of {table.family.written}: {found}")
        if self._take_loopback():
            changes.append("let the node reach host ports at 127.0.0.1 again")
        return changes

    def _take_loopback(self) -> bool:
        """Let packets of loopback addresses pass the bridge, once the table is there."""
        wanted = self._wanted.get(Family.IP, Ruleset())
        return bool(wanted.chains) and sysctl.ensure(_LOCALNET, "1")

    def _forget_flows(self, family: Family, now: dict[Frontend, frozenset[Endpoint]]) -> None:
        before, self._led[family] = self._led[family], now
        if before != now:
            gone: dict[Frontend, frozenset[Endpoint]] = dict.fromkeys(before, frozenset())
            self._tracking[family].forget_former(gone | now)
