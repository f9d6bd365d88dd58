"""Node lifecycle: notices silent nodes, taints nodes by their conditions, and has the pods of lost nodes evicted.

A node is heard of when its Lease or its status changes; how old those are by their own clocks does not matter.

Invariant: evictions start no faster than the zone's rate, and not at all while every zone is lost.
Source: kubernetes pkg/controller/nodelifecycle.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.client import STRATEGIC_MERGE_PATCH
from api.errors import ApiError, Conflict, NotFound
from api.loop import Loop
from api.objects import Object, condition, copy, is_deleting, name_of, namespace_of, uid_of
from api.runtime import Event, timestamp
from control.controllers import node_health
from control.controllers.context import Context
from control.controllers.node_health import Silence, ZoneState
from control.controllers.pods import is_ready

_LEASES = "leases.coordination.k8s.io"
_LEASE_NAMESPACE = "kube-node-lease"
# The key under which the work queue holds the periodic look at all nodes; no node is called that.
_ALL = ""


@dataclass(slots=True)
class _Heard:
    uid: str
    signs: tuple[str, str]
    at: float


class NodeLifecycleController(Loop):
    """The shell. One worker, for the rates are counted here."""

    name = "node-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.options = context.options
        self._nodes = self.watch("nodes")
        self._leases = context.informers.of(_LEASES)
        self._pods = context.informers.of("pods")
        self._pods.add_index("node", lambda pod: (pod["spec"].get("nodeName") or "",))
        self._heard: dict[str, _Heard] = {}
        self._next_eviction: dict[str, float] = {}
        self._all_lost = False

    def start(self, stop: Event) -> None:
        """Begin with a look at all nodes."""
        self.queue.add(_ALL)
        super().start(stop)

    def reconcile(self, key: str) -> float | None:
        """Look at all nodes, or bring the taints of one up to date."""
        if key == _ALL:
            self._monitor()
            return self.options.node_monitor_period
        node = self._nodes.get(key)
        if node is not None and not is_deleting(node):
            self._listen(node)
            self._taint(node)
        return None

    def _taint(self, node: Object) -> None:
        now = self.runtime.time()
        node = self._label(node)
        taints = node_health.no_schedule_taints(node, now)
        if node_health.ready_status(node) == "True":
            relieved = copy(node)
            relieved["spec"]["taints"] = taints
            taints = node_health.no_execute_taints(relieved, evict=False, now=now)
        self._set_taints(node, taints)

    def _label(self, node: Object) -> Object:
        missing = node_health.older_labels(node)
        if not missing:
            return node
        patch = {"metadata": {"uid": uid_of(node), "labels": missing}}
        try:
            return self.client.patch("nodes", name_of(node), patch)
        except NotFound:
            return node

    def _monitor(self) -> None:
        nodes = [node for node in self._nodes.items() if not is_deleting(node)]
        for name in self._heard.keys() - {name_of(node) for node in nodes}:
            gone = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": self._heard[name].uid}}
            self.events.normal(gone, "RemovingNode", f"Node {name} event: Removing Node {name} from Controller")
        self._heard = {name_of(node): self._listen(node) for node in nodes}
        nodes = [self._judge(node) for node in nodes]
        zones: dict[str, list[Object]] = {}
        for node in nodes:
            zones.setdefault(node_health.zone_of(node), []).append(node)
        states = {zone: node_health.zone_state(members, self.options) for zone, members in zones.items()}
        if node_health.all_lost(states.values()):
            self._stop_evicting(nodes)
            return
        if self._all_lost:
            self._all_lost = False
            now = self.runtime.monotonic()
            for heard in self._heard.values():
                heard.at = now
            return
        for zone, members in zones.items():
            self._evict_from(zone, members, states[zone])

    def _listen(self, node: Object) -> _Heard:
        """What was last heard of the node, with the time at which it was new to us."""
        lease = self._leases.get(f"{_LEASE_NAMESPACE}/{name_of(node)}")
        renewed = str((lease or {}).get("spec", {}).get("renewTime") or "")
        beat = str((condition(node, "Ready") or {}).get("lastHeartbeatTime") or "")
        known = self._heard.get(name_of(node))
        if known is None or known.uid != uid_of(node):
            message = f"Node {name_of(node)} event: Registered Node {name_of(node)} in Controller"
            self.events.normal(node, "RegisteredNode", message)
        if known is not None and known.uid == uid_of(node) and known.signs == (renewed, beat):
            return known
        heard = _Heard(uid_of(node), (renewed, beat), self.runtime.monotonic())
        self._heard[name_of(node)] = heard
        return heard

    def _judge(self, node: Object) -> Object:
        heard = self._heard[name_of(node)]
        silence = Silence(self.runtime.monotonic() - heard.at, any(heard.signs))
        if node_health.is_overdue(node, silence, self.options):
            node = self._call_unknown(node)
        if node_health.ready_status(node) != "True" and condition(node, "Ready") is not None:
            self._mark_pods_not_ready(node)
        return node

    def _call_unknown(self, node: Object) -> Object:
        was_ready = node_health.ready_status(node) == "True"
        conditions = node_health.unknown_conditions(node, self.runtime.time())
        if conditions is None:
            return node
        changed = copy(node)
        changed.setdefault("status", {})["conditions"] = conditions
        try:
            stored = self.client.update_status("nodes", changed)
        except (Conflict, NotFound):
            # It spoke, or is gone; the informer will tell.
            return node
        if was_ready:
            self.events.normal(node, "NodeNotReady", f"Node {name_of(node)} status is now: NodeNotReady")
        return stored

    def _mark_pods_not_ready(self, node: Object) -> None:
        moment = timestamp(self.runtime.time())
        for pod in self._pods.by_index("node", name_of(node)):
            if not is_ready(pod):
                continue
            verdict = {"type": "Ready", "status": "False", "lastTransitionTime": moment}
            patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [verdict]}}
            try:
                self.client.patch(
                    "pods",
                    name_of(pod),
                    patch,
                    namespace_of(pod),
                    subresource="status",
                    content_type=STRATEGIC_MERGE_PATCH,
                )
            except (NotFound, Conflict):
                continue
            self.events.warning(pod, "NodeNotReady", "Node is not ready")

    def _evict_from(self, zone: str, nodes: list[Object], state: ZoneState) -> None:
        rate = node_health.eviction_rate(state, len(nodes), self.options)
        now = self.runtime.monotonic()
        for node in nodes:
            if node_health.ready_status(node) == "True":
                continue
            taints = node_health.no_execute_taints(node, evict=True, now=self.runtime.time())
            if _keys(taints) == _keys((node.get("spec") or {}).get("taints") or []):
                continue
            if rate <= 0 or now < self._next_eviction.get(zone, 0.0):
                return
            self._next_eviction[zone] = now + 1 / rate
            self._set_taints(node, taints)

    def _stop_evicting(self, nodes: list[Object]) -> None:
        if not self._all_lost and len(nodes) > 0:
            self._all_lost = True
        for node in nodes:
            self._set_taints(node, node_health.no_execute_taints(node, evict=False, now=self.runtime.time()))

    def _set_taints(self, node: Object, taints: list[Object]) -> None:
        if _keys(taints) == _keys((node.get("spec") or {}).get("taints") or []):
            return
        changed = copy(node)
        changed.setdefault("spec", {})["taints"] = taints
        try:
            self.client.update("nodes", changed)
        except Conflict:
            self.queue.add_after(name_of(node), 0.1)
        except NotFound:
            return
        except ApiError:
            self.queue.add_rate_limited(name_of(node))
            raise


def _keys(taints: list[Object]) -> set[tuple[str, str]]:
    return {(taint["key"], taint["effect"]) for taint in taints}
