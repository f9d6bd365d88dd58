"""The node's own name server: listens at the gateway address of the pods, wherever the node's podCIDR puts it.

Pods ask the cluster's DNS address; the proxy leads that to here, so a query never leaves the node.

Invariant: it listens at one address at a time for each family in which the cluster has a DNS address, and at none
before the node has a podCIDR; a server that failed is followed by another one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from agents.dns.cluster_dns import ClusterDns
from agents.dns.resolver import Resolver
from agents.dns.server import DnsServer
from agents.network import routes
from agents.network.ipam import gateway_of
from agents.network.nftables.values import Family
from api.informers import Informers
from api.objects import Object
from api.runtime import Event, Runtime

log = logging.getLogger(__name__)

PORT = 10053
_LOOK_SECONDS, _RETRY_SECONDS = 1.0, 5.0


def gateway_address(node: Object | None, of_family: Callable[[str], bool]) -> str:
    """The node's address in its podCIDR of a family; "" while it has none."""
    networks = routes.pod_networks(node) if node else ()
    return next((str(gateway_of(network)) for network in networks if of_family(str(network))), "")


class NodeDns:
    """Runs a `DnsServer` at each present gateway address; `run` is one task."""

    def __init__(
        self,
        informers: Informers,
        runtime: Runtime,
        node_name: str,
        resolver: Resolver,
        names: ClusterDns,
        cluster_dns: tuple[str, ...],
    ) -> None:
        self._runtime = runtime
        self._name = node_name
        self._resolver = resolver
        self._names = names
        self._nodes = informers.of("nodes")
        self._changed = runtime.condition()
        self._families = [family for family in Family if any(map(family.has, cluster_dns))]
        self._addresses: list[str] = []

    def watch(self) -> None:
        """Take the cluster's names, and look at every change of this node."""
        self._names.watch()
        self._nodes.add_handler(lambda old, new: self._node_changed(new))

    def run(self, stop: Event) -> None:
        """Serve until `stop`."""
        servers: dict[str, DnsServer] = {}
        while not stop.is_set():
            wanted = list(self._addresses)
            for address, server in list(servers.items()):
                if address not in wanted or not server.is_serving():
                    servers.pop(address).close()
            for address in wanted:
                made = None if address in servers else self._listen(address, stop)
                if made is not None:
                    servers[address] = made
            with self._changed:
                if self._addresses == wanted and not stop.is_set():
                    self._changed.wait(_LOOK_SECONDS if servers.keys() == set(wanted) else _RETRY_SECONDS)
        for server in servers.values():
            server.close()

    def wake(self) -> None:
        """Let `run` notice that it shall stop."""
        with self._changed:
            self._changed.notify_all()

    def _node_changed(self, node: Object | None) -> None:
        if node is not None and node["metadata"]["name"] == self._name:
            with self._changed:
                found = [gateway_address(node, family.has) for family in self._families]
                self._addresses = [address for address in found if address]
                self._changed.notify_all()

    def _listen(self, address: str, stop: Event) -> DnsServer | None:
        try:
            server = DnsServer(self._resolver, self._runtime, address, PORT)
        except OSError as error:
            log.warning("DNS cannot listen at %s port %d: %s", address, PORT, error.strerror)
            return None
        server.start(stop)
        log.info("DNS listens at %s port %d", address, PORT)
        return server
