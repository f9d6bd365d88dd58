"""Keeps the node's tables of policies like the API says: one for each address family that pods have.

A change of pods, namespaces or policies is computed whole, which is cheap since pods that are alike are looked at
once, and only what differs is sent; sets change in place, so packets meet the old policy or the new one.

Invariant: without policies there is no table; with policies, what others do to one is undone and said.
"""

from __future__ import annotations

import logging

from agents.network import policies, routes
from agents.network.netlink import NetlinkError
from agents.network.nftables.values import Family, Ruleset
from agents.network.policy_table import PolicyTable
from agents.proxy.level import Level
from agents.proxy.metrics import Metrics
from agents.proxy.node_events import NodeEvents
from api.informers import Informers
from api.objects import Object, labels_of
from api.runtime import Event, Runtime

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
# Pods of a rollout change together; they are waited for so long.
_GATHER_SECONDS = 0.05
_RETRY_SECONDS = 2.0


class NodePolicies:
    """Programs the cluster's NetworkPolicies for the pods of this node; `run` is one task that owns the tables."""

    def __init__(
        self,
        informers: Informers,
        runtime: Runtime,
        node_name: str,
        cluster_networks: tuple[str, ...],
        events: NodeEvents,
        metrics: Metrics,
    ) -> None:
        self._runtime = runtime
        self._name = node_name
        self._events = events
        self._metrics = metrics
        self._policies = informers.of("networkpolicies.networking.k8s.io")
        self._pods = informers.of("pods")
        self._namespaces = informers.of("namespaces")
        self._nodes = informers.of("nodes")
        self._level = Level(runtime, _LOOK_SECONDS)
        self.tables = [PolicyTable(family) for family in Family if any(map(family.has, cluster_networks))]

    def watch(self) -> None:
        """Look at every change of what policies are about."""
        self._policies.add_handler(lambda old, new: self.wake())
        self._pods.add_handler(self._level.on(_pod))
        self._namespaces.add_handler(self._level.on(labels_of))
        self._nodes.add_handler(self._level.on(self._own_networks))

    def run(self, stop: Event) -> None:
        """Keep the tables until `stop`; they stay then."""
        while not stop.is_set():
            try:
                self._once(self._wait(stop))
            except NetlinkError as error:
                self._level.wake()
                self._metrics.failures.inc()
                log.warning("network policies could not be programmed: %s", error)
                self._events.warning("NetworkPolicyFailed", f"The kernel refused the rules of policies: {error}")
                stop.wait(_RETRY_SECONDS)
        for one in self.tables:
            one.close()

    def wake(self) -> None:
        """Look again, or notice that `run` shall stop."""
        self._level.wake()

    def _own_networks(self, node: Object) -> object:
        return routes.pod_networks(node) if node["metadata"]["name"] == self._name else None

    def _wait(self, stop: Event) -> bool:
        """Whether something changed within a while."""
        dirty = self._level.wait()
        if dirty and not stop.is_set():
            stop.wait(_GATHER_SECONDS)
        return dirty

    def _once(self, dirty: bool) -> None:
        for one in self.tables:
            if dirty:
                log.debug(
                    "table %s of %s: %s", policies.TABLE, one.family.written, one.apply(self._desired(one.family))
                )
            elif found := one.repair():
                self._metrics.repairs.inc()
                table = f"nftables table {policies.TABLE} of {one.family.written}"
                message = f"The {table} was changed by somebody else and has been repaired: {found}"
                log.warning("%s", message)
                self._events.warning("NetworkPolicyRepaired", message)

    def _desired(self, family: Family) -> Ruleset:
        present = self._policies.items()
        if not present:
            return Ruleset()
        node = self._nodes.get(self._name)
        networks = [str(network) for network in routes.pod_networks(node)] if node else []
        cluster = policies.cluster_of(self._pods.items(), self._namespaces.items(), family)
        return policies.desired(present, cluster, self._name, networks, family)


def _pod(pod: Object) -> object:
    """What of a pod policies depend on."""
    status = pod.get("status") or {}
    return labels_of(pod), (pod.get("spec") or {}).get("nodeName"), status.get("podIPs"), status.get("phase")
