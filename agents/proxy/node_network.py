"""Keeps this node's part of the pod network: its bridge, its forwarding, its routes to the pods of other nodes.

Invariant: asserted by level every few seconds, so what somebody removes comes back, and is said in an event.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from agents.network import links, routes, telling
from agents.network.interface import NetworkError
from agents.network.ipam import gateway_of
from agents.network.netlink import NetlinkError
from agents.network.route_table import RouteTable
from agents.network.routes import Peer, Plan
from agents.network.rtnetlink.values import Network, Route
from agents.proxy.level import Level
from agents.proxy.metrics import Metrics
from agents.proxy.node_events import NodeEvents
from api.informers import Informers
from api.objects import Object
from api.runtime import Event, Runtime

log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Basis:
    """What the routes were decided from: a change without a change of this was somebody else's."""

    peers: tuple[Peer, ...]
    address: str
    networks: tuple[Network, ...]


class RouteKeeper(ABC):
    """Keeps routes by the Node objects; `run` is one task that owns its socket."""

    def __init__(self, informers: Informers, runtime: Runtime) -> None:
        self._nodes = informers.of("nodes")
        self._level = Level(runtime, _LOOK_SECONDS)
        self._table = RouteTable()
        self._problem = ""

    def watch(self) -> None:
        """Look at every change of a node that matters for routes."""
        self._nodes.add_handler(self._level.on(_relevant))

    def run(self, stop: Event) -> None:
        """Keep routes until `stop`; they stay then, so that traffic goes on."""
        while not stop.is_set():
            try:
                self._reconcile()
                self._problem = ""
            except (NetworkError, NetlinkError) as error:
                if str(error) != self._problem:
                    self._failed(str(error))
                self._problem = str(error)
            self._level.wait()
        self._table.close()

    def wake(self) -> None:
        """Look again, or notice that `run` shall stop."""
        self._level.wake()

    def problem(self) -> str:
        """Why the last attempt failed; "" if it did not."""
        return self._problem

    @abstractmethod
    def _reconcile(self) -> None:
        """Make the kernel's routes so. Raises NetworkError or NetlinkError."""

    def _failed(self, problem: str) -> None:
        log.warning("%s", problem)


class NodeNetwork(RouteKeeper):
    """A node's bridge and its routes to the other nodes."""

    def __init__(
        self,
        informers: Informers,
        runtime: Runtime,
        node_name: str,
        node_address: str,
        service_networks: tuple[str, ...],
        events: NodeEvents,
        metrics: Metrics,
    ) -> None:
        super().__init__(informers, runtime)
        self._name = node_name
        self._address = node_address
        self._service_networks = tuple(ip_network(network) for network in service_networks)
        self._events = events
        self._metrics = metrics
        self._last: _Basis | None = None

    def _failed(self, problem: str) -> None:
        super()._failed(problem)
        self._events.warning("PodNetworkFailed", problem)

    def _reconcile(self) -> None:
        node = self._nodes.get(self._name)
        own_networks = routes.pod_networks(node) if node else ()
        address = self._address.split(",")[0] or (routes.node_address(node) if node else "")
        if not own_networks or not address:
            return
        kernel = self._table.kernel
        mtu = links.uplink_mtu(kernel, address)
        bridge, changed = links.ensure_bridge(kernel, own_networks, mtu)
        changes = [f"set up bridge {links.BRIDGE}", *links.ensure_ports(kernel, bridge)] if changed else []
        if links.ensure_forwarding(ipv6=any(network.version == 6 for network in own_networks)):
            changes.append("turned forwarding on")
        if links.ensure_tracking():
            log.info("set the timeouts of tracked connections")
        peers = routes.peers(self._nodes.items(), self._name)
        plan = routes.plan(peers, links.addresses(kernel), bridge.index)
        extra = self._own_routes(bridge.index, address, own_networks)
        changes += self._table.reconcile(plan, address, own_networks, extra)
        self._tell(changes, plan, _Basis(tuple(peers), address, own_networks))

    def _own_routes(self, bridge: int, address: str, own: tuple[Network, ...]) -> tuple[Route, ...]:
        """Routes for this node's pods, which the kernel makes once and does not keep, and for service addresses.

        A node without a default route has to get to where service addresses are translated.
        """
        # A family that the node has no address of itself goes by that towards its pods.
        sources = {network.version: gateway_of(network) for network in own} | {
            one.version: one for one in map(ip_address, self._address.split(",") if self._address else [address])
        }
        pods = [Route(network, bridge, source=gateway_of(network)) for network in own]
        services = [
            Route(network, bridge, source=sources[network.version])
            for network in self._service_networks
            if network.version in sources
        ]
        return (*pods, *services)

    def _tell(self, changes: list[str], plan: Plan, basis: _Basis) -> None:
        self._metrics.routes.labels("direct").set(len(plan.routes))
        self._metrics.routes.labels("vxlan").set(len(plan.tunnels))
        if changes:
            if basis == self._last:
                self._metrics.repairs.inc()
                message = telling.repaired(changes)
                log.warning("%s", message)
                self._events.warning(telling.REPAIRED, message)
            else:
                log.info("pod network: %s", telling.summed(changes))
        for sentence in plan.unreachable if basis != self._last else ():
            log.warning("%s", sentence)
            self._events.warning("NodeAddressConflict", sentence)
        self._last = basis


def _relevant(node: Object) -> tuple[object, ...]:
    return routes.node_addresses(node), routes.pod_networks(node)
