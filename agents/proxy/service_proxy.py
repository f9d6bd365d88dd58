"""Keeps the node's table of services like the API says: a change of one service is one small transaction.

At the start, and whenever somebody else has changed a table of the machine, the whole table is read and compared;
otherwise only the parts of services that changed are computed and sent, together if several changed meanwhile.

Invariant: the kernel's table is at no time between two states of a service; a restart changes nothing that is right.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from typing import Any

from agents.dns.node_dns import PORT as DNS_PORT
from agents.dns.node_dns import gateway_address
from agents.network import links
from agents.network.netlink import NetlinkError
from agents.network.nftables.table import NftTable
from agents.network.nftables.values import UDP, Endpoint, Ruleset
from agents.network.route_table import RouteTable
from agents.proxy import conntrack, rules
from agents.proxy.composition import Composition
from agents.proxy.endpoints import NodeView
from agents.proxy.health_ports import HealthPorts
from agents.proxy.metrics import Metrics
from agents.proxy.node_events import NodeEvents
from agents.proxy.rules import Frontend, ServiceRules
from api.informers import Informers
from api.objects import Object, key_of, labels_of
from api.runtime import Event, Runtime

log = logging.getLogger(__name__)

_ZONE = "topology.kubernetes.io/zone"
_LOOK_SECONDS = 1.0
_LONGEST_PAUSE = 30.0
# After so many services other tasks of the process, such as DNS, have their turn.
_IN_A_ROW = 100
_BY_SERVICE = "service"
# The owner of the part that leads to the node's name server; no key of a service.
_DNS = "dns"


class ServiceProxy:
    """Programs the services of the cluster on this node; `run` is one task that owns the table."""

    def __init__(
        self,
        informers: Informers,
        runtime: Runtime,
        node_name: str,
        cluster_networks: tuple[str, ...],
        events: NodeEvents,
        metrics: Metrics,
        cluster_dns: str = "",
    ) -> None:
        self._runtime = runtime
        self._cluster_dns = cluster_dns
        self._gateway = ""
        self._health = HealthPorts()
        self._node = NodeView(node_name)
        self._cluster_networks = cluster_networks
        self._events = events
        self._metrics = metrics
        self._services = informers.of("services")
        self._slices = informers.of("endpointslices.discovery.k8s.io")
        self._nodes = informers.of("nodes")
        self._slices.add_index(_BY_SERVICE, lambda obj: (rules.service_key_of(obj),))
        self._changed = runtime.condition()
        self._dirty: set[str] = set()
        self._everything = True
        self.table = NftTable(rules.TABLE)
        self._tracking = conntrack.ConnectionTracking()
        self._composition = Composition(rules.base(cluster_networks))
        self._parts: dict[str, ServiceRules] = {}
        self._failures = 0
        self.in_sync = False

    def watch(self) -> None:
        """Look at every change of services, their slices, and this node's zone."""
        self._services.add_handler(lambda old, new: self._mark(key_of(new or old or {})))
        self._slices.add_handler(self._slice_changed)
        self._nodes.add_handler(self._node_changed)

    def run(self, stop: Event) -> None:
        """Keep the table until `stop`; it stays as it is then, so that traffic goes on."""
        while not stop.is_set():
            keys, everything = self._wait()
            if stop.is_set():
                break
            try:
                if everything:
                    self._rebuild()
                elif keys:
                    self._update(keys)
                elif not self.table.unchanged():
                    self._repair()
                self._failures = 0
                self.in_sync = True
            except NetlinkError as error:
                self._failed(error, stop)
        self._health.close()
        self.table.close()
        self._tracking.close()

    def wake(self) -> None:
        """Let `run` notice that it shall stop."""
        with self._changed:
            self._changed.notify_all()

    def parts(self) -> Mapping[str, ServiceRules]:
        """What each service has on this node, by its key."""
        return self._parts

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
        if (labels_of(new).get(_ZONE, ""), gateway_address(new)) != (self._node.zone, self._gateway):
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
        """Compute every service anew and compare the whole table with the kernel."""
        with self._metrics.sync_seconds.labels("full").time():
            node = self._nodes.get(self._node.name)
            self._node = NodeView(self._node.name, labels_of(node).get(_ZONE, "") if node else "")
            self._gateway = gateway_address(node)
            self._composition = Composition(rules.base(self._cluster_networks))
            services = sorted(self._services.items(), key=lambda obj: obj["metadata"].get("creationTimestamp") or "")
            self._parts = {}
            for number, service in enumerate(services):
                if number % _IN_A_ROW == 0:
                    self._runtime.sleep(0)
                key = key_of(service)
                self._parts[key] = self._rules_of(key)
                self._composition.replace(key, self._parts[key].ruleset)
            self._composition.replace(_DNS, self._dns_rules())
            found = self.table.reconcile(self._composition.whole())
        log.info("table %s holds %d services: %s", rules.TABLE, len(self._parts), found)
        self._forget_flows({front: ends for part in self._parts.values() for front, ends in part.backends.items()})
        self._count()

    def _repair(self) -> None:
        found = self.table.reconcile(self._composition.whole())
        if found:
            self._metrics.repairs.inc()
            message = f"The nftables table {rules.TABLE} was changed by somebody else and has been repaired: {found}"
            log.warning("%s", message)
            self._events.warning("ServiceRulesRepaired", message)

    def _update(self, keys: set[str]) -> None:
        with self._metrics.sync_seconds.labels("partial").time():
            changed: dict[Frontend, frozenset[Endpoint]] = {}
            for key in sorted(keys):
                old, new = self._parts.get(key, ServiceRules()), self._rules_of(key)
                if old == new:
                    continue
                present = self._services.get(key) is not None
                leaving, coming = self._composition.replace(key, new.ruleset if present else None)
                self._parts[key] = new
                if not present:
                    self._parts.pop(key, None)
                self._send(leaving, coming)
                self._send(*self._composition.replace(_DNS, self._dns_rules()))
                changed.update(_changed_backends(old, new))
        self._forget_flows(changed)
        self._count()

    def _send(self, leaving: Ruleset, coming: Ruleset) -> None:
        found = self.table.replace(leaving, coming)
        log.debug("table %s: %s", rules.TABLE, found)

    def _rules_of(self, key: str) -> ServiceRules:
        service = self._services.get(key)
        if service is None:
            return ServiceRules()
        slices = self._slices.by_index(_BY_SERVICE, key)
        return rules.service_rules(service, slices, self._node, self._cluster_networks)

    def _dns_rules(self) -> Ruleset | None:
        """The way to the node's own name server, unless the cluster runs one behind the same address."""
        if not self._cluster_dns or not self._gateway:
            return None
        front = Frontend(self._cluster_dns, UDP, 53)
        if any(part.backends.get(front) for part in self._parts.values()):
            return None
        return rules.dns_rules(self._cluster_dns, Endpoint(self._gateway, DNS_PORT))

    def _forget_flows(self, backends: Mapping[Frontend, frozenset[Endpoint]]) -> None:
        datagrams = {front: ends for front, ends in backends.items() if front.protocol == socket.IPPROTO_UDP}
        if not datagrams:
            return
        table = RouteTable()
        try:
            local = frozenset(str(held.interface.ip) for held in links.addresses(table.kernel))
        finally:
            table.close()
        gone = conntrack.stale(self._tracking.flows(), datagrams, local)
        if gone:
            log.info("%d tracked UDP flows to former endpoints are forgotten", self._tracking.forget(gone))

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
        self._health.sync(self._parts)
        self._metrics.services.set(len(self._parts))
        self._metrics.synced_at.set(self._runtime.time())


def _changed_backends(old: ServiceRules, new: ServiceRules) -> dict[Frontend, frozenset[Endpoint]]:
    """Front ends whose endpoints changed, with the present ones; a front end that is gone has none."""
    fronts: Any = old.backends.keys() | new.backends.keys()
    nothing: frozenset[Endpoint] = frozenset()
    return {
        front: new.backends.get(front, nothing)
        for front in fronts
        if old.backends.get(front) != new.backends.get(front)
    }
