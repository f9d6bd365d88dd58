"""Keeps a control host's routes to the pods of all nodes, where it is no node itself.

The API server passes requests on to pods, and calls webhooks and the servers of APIs that run in them.

Invariant: asserted by level every few seconds; nothing else of the pod network is made on such a host.
"""

from __future__ import annotations

import logging

from agents.network import links, routes
from agents.proxy.node_network import RouteKeeper
from api.informers import Informers
from api.runtime import Runtime

log = logging.getLogger(__name__)

_NO_BRIDGE = 0


class HostRoutes(RouteKeeper):
    """Routes of a host at `address` to every node's pods."""

    def __init__(self, informers: Informers, runtime: Runtime, address: str) -> None:
        super().__init__(informers, runtime)
        self._address = address.split(",")[0]

    def _reconcile(self) -> None:
        peers = routes.peers(self._nodes.items(), "")
        plan = routes.plan(peers, links.addresses(self._table.kernel), _NO_BRIDGE)
        changes = self._table.reconcile(plan, self._address, ())
        if changes:
            log.info("routes to pods: %s", "; ".join(changes))
