"""Keeps the node's tables of services like the API says: a change of one service is one small transaction.

At the start, and whenever somebody else has changed a table of the machine, whole tables are read and compared;
otherwise only the parts of services that changed are computed and sent, together if several changed meanwhile. There
is a table for each address family that pods have.

Invariant: a kernel's table is at no time between two states of a service; a restart changes nothing that is right.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from agents.dns.node_dns import PORT as DNS_PORT
from agents.dns.node_dns import gateway_address
from agents.network.netlink import NetlinkError
from agents.network.nftables.values import Endpoint, Family
from agents.proxy import rules
from agents.proxy.endpoints import NodeView, node_view
from agents.proxy.health_ports import HealthPorts
from agents.proxy.metrics import Metrics
from agents.proxy.node_events import NodeEvents
from agents.proxy.protocols import Protocols
from agents.proxy.rules import ServiceRules
from agents.proxy.service_table import ServiceTable
from api.informers import Informers
from api.objects import Object, key_of
from api.runtime import Event, Runtime

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_LONGEST_PAUSE = 30.0
# After so many services other tasks of the process, such as DNS, have their turn.
_IN_A_ROW = 100
_BY_SERVICE = "service"


class ServiceProxy:
    """Programs the services of the cluster on this node; `run` is one task that owns the tables.

    `cluster_networks` are the pods' networks, `cluster_dns` the addresses of the cluster's DNS.
    """

    def __init__(
        self,
        informers: Informers,
        runtime: Runtime,
        node_name: str,
        cluster_networks: tuple[str, ...],
        events: NodeEvents,
        metrics: Metrics,
        cluster_dns: tuple[str, ...] = (),
    ) -> None:
        self._runtime = runtime
        self._cluster_networks = cluster_networks
        everywhere = "[::]" if any(map(Family.IP6.has, cluster_networks)) else "0.0.0.0"
        self._health = HealthPorts(lambda: self.in_sync, everywhere, self._port_taken)
        self._node = NodeView(node_name)
        self._gateways: dict[Family, str] = {}
        self._events = events
        self._metrics = metrics
        self._services = informers.of("services")
        self._slices = informers.of("endpointslices.discovery.k8s.io")
        self._nodes = informers.of("nodes")
        self._slices.add_index(_BY_SERVICE, lambda obj: (rules.service_key_of(obj),))
        self._changed = runtime.condition()
        self._dirty: set[str] = set()
        self._everything = True
        self.tables = [
            ServiceTable(family, cluster_networks, next(filter(family.has, cluster_dns), ""))
            for family in Family
            if any(map(family.has, cluster_networks))
        ]
        self._failures = 0
        self._protocols = Protocols(events)
        self.in_sync = False

    def watch(self) -> None:
        """Look at every change of services, their slices, and this node's zone and addresses."""
        self._services.add_handler(lambda old, new: self._mark(key_of(new or old or {})))
        self._slices.add_handler(self._slice_changed)
        self._nodes.add_handler(self._node_changed)

    def run(self, stop: Event) -> None:
        """Keep the tables until `stop`; they stay as they are then, so that traffic goes on."""
        while not stop.is_set():
            keys, everything = self._wait()
            if stop.is_set():
                break
            try:
                if everything:
                    self._rebuild()
                elif keys:
                    self._update(keys)
                else:
                    self._repair()
                self._failures = 0
                self.in_sync = True
            except NetlinkError as error:
                self._failed(error, stop)
        self._health.close()
        for one in self.tables:
            one.close()

    def wake(self) -> None:
        """Let `run` notice that it shall stop."""
        with self._changed:
            self._changed.notify_all()

    def _mark(self, key: str) -> None:
        with self._changed:
            self._dirty.add(key)
            self._changed.notify()

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for key in {rules.service_key_of(obj) for obj in (old, new) if obj}:
            self._mark(key)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None or new["metadata"]["name"] != self._node.name:
            return
        if (node_view(self._node.name, new), _gateways(new)) != (self._node, self._gateways):
            with self._changed:
                self._everything = True
                self._changed.notify()

    def _wait(self) -> tuple[set[str], bool]:
        """The services that changed, or that all shall be looked at; neither after a while without changes."""
        with self._changed:
            if not (self._dirty or self._everything):
                self._changed.wait(_LOOK_SECONDS)
            keys, self._dirty = self._dirty, set()
            everything, self._everything = self._everything, False
            return keys, everything

    def _rebuild(self) -> None:
        """Compute every service anew and compare the whole tables with the kernel."""
        with self._metrics.sync_seconds.labels("full").time():
            node = self._nodes.get(self._node.name)
            self._node = node_view(self._node.name, node)
            self._gateways = _gateways(node)
            services = sorted(self._services.items(), key=lambda obj: obj["metadata"].get("creationTimestamp") or "")
            keys = [key_of(service) for service in services]
            for one in self.tables:
                gateway = self._gateways.get(one.family, "")
                found = one.rebuild(self._all_rules(keys, one.family), Endpoint(gateway, DNS_PORT) if gateway else None)
                log.info("table %s of %s holds %d services: %s", rules.TABLE, one.family.written, len(one.parts), found)
        self._count()

    def _all_rules(self, keys: list[str], family: Family) -> Iterator[tuple[str, ServiceRules]]:
        for number, key in enumerate(keys):
            if number % _IN_A_ROW == 0:
                self._runtime.sleep(0)
            yield key, self._rules_of(key, family) or ServiceRules()

    def _port_taken(self, key: str, why: str) -> None:
        message = f"node {self._events.node_name} does not answer the health checks of service {key}: {why}"
        log.warning("%s", message)
        self._events.service_warning(key, "FailedToStartServiceHealthcheck", message)

    def _repair(self) -> None:
        self._health.listen()
        for one in self.tables:
            found = one.repair()
            if found:
                self._metrics.repairs.inc()
                table = f"nftables table {rules.TABLE} of {one.family.written}"
                message = f"The {table} was changed by somebody else and has been repaired: {found}"
                log.warning("%s", message)
                self._events.warning("ServiceRulesRepaired", message)

    def _update(self, keys: set[str]) -> None:
        with self._metrics.sync_seconds.labels("partial").time():
            for one in self.tables:
                one.update({key: self._rules_of(key, one.family) for key in sorted(keys)})
        self._count()

    def _rules_of(self, key: str, family: Family) -> ServiceRules | None:
        """The part of a service; None if there is no such service."""
        service = self._services.get(key)
        if service is None:
            return None
        slices = self._slices.by_index(_BY_SERVICE, key)
        part = rules.service_rules(service, slices, self._node, self._cluster_networks, family)
        self._protocols.seen(key, part)
        return part

    def _failed(self, error: NetlinkError, stop: Event) -> None:
        """The kernel refused a change: compare everything, later each time, and say it."""
        self._failures += 1
        self._everything = True
        self.in_sync = False
        self._metrics.failures.inc()
        pause = min(_LONGEST_PAUSE, 0.1 * 2 ** min(self._failures, 10))
        log.warning("services could not be programmed, trying again in %.1f s: %s", pause, error)
        if self._failures > 1:
            self._events.warning("ServiceRulesFailed", f"The kernel refused the rules of services: {error}")
            stop.wait(pause)

    def _count(self) -> None:
        self._protocols.judge()
        self._health.sync([one.parts for one in self.tables])
        self._metrics.services.set(max((len(one.parts) for one in self.tables), default=0))
        self._metrics.synced_at.set(self._runtime.time())


def _gateways(node: Object | None) -> dict[Family, str]:
    """Where the node answers its pods, by family."""
    found = {family: gateway_address(node, family.has) for family in Family}
    return {family: address for family, address in found.items() if address}
