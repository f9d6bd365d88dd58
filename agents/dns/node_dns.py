"""The node's own name server: listens at the gateway address of the pods, wherever the node's podCIDR puts it.

Pods ask the cluster's DNS address; the proxy leads that to here, so a query never leaves the node.

Invariant: it listens at one address at a time, and at none before the node has a podCIDR.
"""

from __future__ import annotations

import logging

from agents.dns.cluster_dns import ClusterDns
from agents.dns.resolver import Resolver
from agents.dns.server import DnsServer
from agents.network import routes
from agents.network.ipam import gateway_of
from api.informers import Informers
from api.objects import Object
from api.runtime import Event, Runtime

log = logging.getLogger(__name__)

PORT = 10053
_RETRY_SECONDS = 5.0


def gateway_address(node: Object | None) -> str:
    """The node's IPv4 address in its podCIDR; "" while it has none."""
    networks = routes.pod_networks(node) if node else ()
    return next((str(gateway_of(network)) for network in networks if network.version == 4), "")


class NodeDns:
    """Runs a `DnsServer` at the present gateway address; `run` is one task."""

    def __init__(
        self, informers: Informers, runtime: Runtime, node_name: str, resolver: Resolver, names: ClusterDns
    ) -> None:
        self._runtime = runtime
        self._name = node_name
        self._resolver = resolver
        self._names = names
        self._nodes = informers.of("nodes")
        self._changed = runtime.condition()
        self._address = ""

    def watch(self) -> None:
        """Take the cluster's names, and look at every change of this node."""
        self._names.watch()
        self._nodes.add_handler(lambda old, new: self._node_changed(new))

    def run(self, stop: Event) -> None:
        """Serve until `stop`."""
        listening, server = "", None
        while not stop.is_set():
            if self._address != listening:
                if server is not None:
                    server.close()
                server = self._listen(stop)
                listening = self._address if server is not None else ""
            with self._changed:
                if self._address == listening:
                    self._changed.wait()
                elif server is None:
                    self._changed.wait(_RETRY_SECONDS)
        if server is not None:
            server.close()

    def wake(self) -> None:
        """Let `run` notice that it shall stop."""
        with self._changed:
            self._changed.notify_all()

    def _node_changed(self, node: Object | None) -> None:
        if node is not None and node["metadata"]["name"] == self._name:
            with self._changed:
                self._address = gateway_address(node)
                self._changed.notify_all()

    def _listen(self, stop: Event) -> DnsServer | None:
        if not self._address:
            return None
        try:
            server = DnsServer(self._resolver, self._runtime, self._address, PORT)
        except OSError as error:
            log.warning("DNS cannot listen at %s port %d: %s", self._address, PORT, error.strerror)
            return None
        server.start(stop)
        log.info("DNS listens at %s port %d", self._address, PORT)
        return server
