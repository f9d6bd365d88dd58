"""Asks now and then whether the pods' gateways of the other nodes answer, and says which do not though their node does.

A node that does not answer at all is the node controller's to find. What nobody else finds is a network that carries
the nodes' traffic and not their pods': a firewall that drops VXLAN, a router that filters foreign addresses.

Invariant: a peer is said to be out of reach once, after several rounds without an answer, and once to be back.
"""

from __future__ import annotations

import logging

from agents.network import echo, links, routes
from agents.network.ipam import gateway_of
from agents.network.netlink import NetlinkError
from agents.network.route_table import RouteTable
from agents.network.routes import Peer
from agents.network.rtnetlink.values import Network
from agents.proxy.node_events import NodeEvents
from api.informers import Informers
from api.objects import is_true, name_of
from api.runtime import Event, Runtime

log = logging.getLogger(__name__)

_ROUND_SECONDS = 3.0
_ROUNDS = 2


class NodeReach:
    """Watches the way to every ready node; `run` is one task."""

    def __init__(self, informers: Informers, runtime: Runtime, node_name: str, events: NodeEvents) -> None:
        self._name = node_name
        self._events = events
        self._nodes = informers.of("nodes")
        self._number = runtime.random().getrandbits(16)
        self._table = RouteTable()
        self._silent: dict[str, int] = {}

    def watch(self) -> None:
        """Nothing to look at: it goes by the clock."""

    def wake(self) -> None:
        """Nothing to wake: `run` waits for its stop only."""

    def run(self, stop: Event) -> None:
        """Ask until `stop`."""
        while not stop.wait(_ROUND_SECONDS):
            try:
                self._round(stop)
            except (OSError, NetlinkError) as error:
                log.warning("the ways to other nodes cannot be looked at: %s", error)
        self._table.close()

    def _round(self, stop: Event) -> None:
        ready = [node for node in self._nodes.items() if is_true(node, "Ready")]
        peers = routes.peers(ready, self._name)
        for gone in self._silent.keys() - {name_of(node) for node in self._nodes.items()}:
            del self._silent[gone]
        for peer in peers:
            # A hollow node has no network of its own.
            if not peer.address.is_loopback and not stop.is_set():
                self._ask(peer)

    def _ask(self, peer: Peer) -> None:
        silent = next((one for one in peer.networks if not echo.echo(str(gateway_of(one)), self._number)), None)
        if silent is None:
            if self._silent.pop(peer.name, 0) >= _ROUNDS:
                message = f"The pods of node {peer.name} are within reach again"
                log.info("%s", message)
                self._events.normal("PodNetworkReachable", message)
            return
        address, gateway = str(peer.address_like(silent)), str(gateway_of(silent))
        if not echo.echo(address, self._number):
            self._silent.pop(peer.name, None)
            return
        self._silent[peer.name] = self._silent.get(peer.name, 0) + 1
        if self._silent[peer.name] == _ROUNDS:
            tunnelled = self._tunnelled(peer, silent)
            message = routes.unanswered(self._name, peer.name, address, gateway, tunnelled=tunnelled)
            log.warning("%s", message)
            self._events.warning("PodNetworkUnreachable", message[0].upper() + message[1:])

    def _tunnelled(self, peer: Peer, network: Network) -> bool:
        bridge = links.find_link(self._table.kernel, links.BRIDGE)
        own = links.addresses(self._table.kernel)
        tunnels = routes.plan([peer], own, bridge.index if bridge else 0).tunnels
        return any(tunnel.network == network for tunnel in tunnels)
