"""Pod garbage collection: pods that no kubelet will ever finish, and the oldest of too many finished ones.

Invariant: a pod is only forced away if its node is gone (after a quarantine) or it never had one.
Source: kubernetes pkg/controller/podgc.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.client import STRATEGIC_MERGE_PATCH
from api.errors import NotFound
from api.loop import Loop
from api.objects import Object, is_deleting, key_of, name_of, namespace_of, uid_of
from api.runtime import Event
from control.controllers.context import Context
from control.controllers.node_health import OUT_OF_SERVICE
from control.controllers.pods import phase_of
from control.controllers.taint_eviction import disruption

_PERIOD = 20.0
_QUARANTINE = 40.0
_ALL = "pods"
_ORPHANED = "PodGC: node no longer exists"
_NEVER_PLACED = "PodGC: the pod was deleted before it had a node"
_OUT_OF_SERVICE = "PodGC: node is out of service"


def surplus(pods: Iterable[Object], threshold: int) -> list[Object]:
    """Finished pods beyond the threshold, oldest first; a threshold of 0 keeps all."""
    finished = [pod for pod in pods if phase_of(pod) in ("Succeeded", "Failed") and not is_deleting(pod)]
    if threshold <= 0 or len(finished) <= threshold:
        return []
    finished.sort(key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", key_of(pod)))
    return finished[: len(finished) - threshold]


def never_placed(pods: Iterable[Object]) -> list[Object]:
    """Pods being deleted that no kubelet knows of."""
    return [pod for pod in pods if is_deleting(pod) and not pod["spec"].get("nodeName")]


def on_nodes_out_of_service(pods: Iterable[Object], nodes: Sequence[Object]) -> list[Object]:
    """Pods being deleted on nodes that a person declared out of service."""
    out = {
        name_of(node)
        for node in nodes
        if any(taint["key"] == OUT_OF_SERVICE for taint in (node.get("spec") or {}).get("taints") or [])
    }
    return [pod for pod in pods if is_deleting(pod) and pod["spec"].get("nodeName") in out]


class PodGarbageCollector(Loop):
    """The shell: looks at everything every 20 seconds."""

    name = "pod-garbage-collector"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.options = context.options
        self._pods = context.informers.of("pods")
        self._nodes = context.informers.of("nodes")
        self._missing: dict[str, float] = {}

    def start(self, stop: Event) -> None:
        """Begin at once."""
        self.queue.add(_ALL)
        super().start(stop)

    def reconcile(self, key: str) -> float | None:
        """One round."""
        pods, nodes = self._pods.items(), self._nodes.items()
        for pod in surplus(pods, self.options.terminated_pod_gc_threshold):
            self._delete(pod, "")
        for pod in self._orphaned(pods, {name_of(node) for node in nodes}):
            self._delete(pod, _ORPHANED)
        for pod in never_placed(pods):
            self._delete(pod, _NEVER_PLACED)
        for pod in on_nodes_out_of_service(pods, nodes):
            self._delete(pod, _OUT_OF_SERVICE)
        return _PERIOD

    def _orphaned(self, pods: Sequence[Object], present: set[str]) -> list[Object]:
        now = self.runtime.monotonic()
        named = {pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")}
        self._missing = {name: self._missing.get(name, now) for name in named - present}
        gone = {name for name, since in self._missing.items() if now - since >= _QUARANTINE and self._is_gone(name)}
        return [pod for pod in pods if pod["spec"].get("nodeName") in gone]

    def _is_gone(self, node_name: str) -> bool:
        try:
            self.client.get("nodes", node_name)
        except NotFound:
            return True
        return False

    def _delete(self, pod: Object, why: str) -> None:
        name, namespace = name_of(pod), namespace_of(pod)
        try:
            if why and phase_of(pod) not in ("Succeeded", "Failed"):
                verdict = disruption("DeletionByPodGC", why, self.runtime.time())
                status = {"phase": "Failed", "conditions": [verdict]}
                patch = {"metadata": {"uid": uid_of(pod)}, "status": status}
                self.client.patch(
                    "pods", name, patch, namespace, subresource="status", content_type=STRATEGIC_MERGE_PATCH
                )
            self.client.delete("pods", name, namespace, uid=uid_of(pod), grace_period_seconds=0)
        except NotFound:
            return
