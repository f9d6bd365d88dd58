"""Taint eviction: deletes pods from nodes whose NoExecute taints they do not, or no longer, tolerate.

Invariant: a pod is deleted no earlier than its tolerationSeconds after the taint was added.
Source: kubernetes pkg/controller/tainteviction (condition DisruptionTarget, events).
"""

from __future__ import annotations

from collections.abc import Sequence

from api.client import STRATEGIC_MERGE_PATCH
from api.errors import NotFound
from api.loop import Loop
from api.objects import Object, is_deleting, key_of, name_of, namespace_of, uid_of
from api.runtime import parse_timestamp, timestamp
from api.tolerations import tolerates
from control.controllers.context import Context
from control.controllers.pods import phase_of


def deadline(tolerations: Sequence[Object], taints: Sequence[Object], now: float, since: float) -> float | None:
    """When the pod must go, in seconds since the epoch: at once is `now`; None if it may stay.

    Of the tolerations that a taint meets the first says how long. People's taints do not say when they were added:
    those count from `since`, when they were first seen.
    """
    moments = []
    for taint in taints:
        met = next((one for one in tolerations if tolerates(one, taint)), None)
        if met is None:
            return now
        if met.get("tolerationSeconds") is not None:
            added = parse_timestamp(taint["timeAdded"]) if taint.get("timeAdded") else since
            moments.append(added + max(0, met["tolerationSeconds"]))
    return min(moments) if moments else None


class TaintEvictionController(Loop):
    """The shell, by pod."""

    name = "taint-eviction-controller"
    workers = 8

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pods = context.informers.of("pods")
        self._pods.add_index("node", lambda pod: (pod["spec"].get("nodeName") or "",))
        self._pods.add_handler(self._on_pod)
        # Pods that will have to go unless something changes, and since when that is known.
        self._marked: dict[str, float] = {}
        self._nodes = context.informers.of("nodes")
        self._nodes.add_handler(self._on_node)

    def reconcile(self, key: str) -> float | None:
        """Evict the pod if its time has come, else say when to look again."""
        pod = self._pods.get(key)
        node = self._nodes.get(pod["spec"].get("nodeName") or "") if pod else None
        if pod is None or node is None or is_deleting(pod) or phase_of(pod) in ("Succeeded", "Failed"):
            self._marked.pop(key, None)
            return None
        now = self.runtime.time()
        moment = deadline(pod["spec"].get("tolerations") or [], no_execute(node), now, self._marked.get(key, now))
        if moment is None:
            if key in self._marked:
                self.events.normal(pod, "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            self._marked.pop(key, None)
            return None
        if moment > now:
            self._marked.setdefault(key, now)
            return moment - now
        self._marked.pop(key, None)
        self._evict(pod)
        return None

    def _evict(self, pod: Object) -> None:
        self.events.normal(pod, "TaintManagerEviction", f"Marking for deletion Pod {key_of(pod)}")
        why = disruption(
            "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", self.runtime.time()
        )
        patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [why]}}
        name, namespace = name_of(pod), namespace_of(pod)
        try:
            self.client.patch("pods", name, patch, namespace, subresource="status", content_type=STRATEGIC_MERGE_PATCH)
            self.client.delete("pods", name, namespace, uid=uid_of(pod))
        except NotFound:
            return

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if new is None or not new["spec"].get("nodeName"):
            return
        if old is None or any(old["spec"].get(part) != new["spec"].get(part) for part in ("nodeName", "tolerations")):
            self.queue.add(key_of(new))

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if new is not None and no_execute(new) != (no_execute(old) if old else []):
            for pod in self._pods.by_index("node", name_of(new)):
                self.queue.add(key_of(pod))


def no_execute(node: Object) -> list[Object]:
    """The node's NoExecute taints."""
    return [taint for taint in (node.get("spec") or {}).get("taints") or [] if taint["effect"] == "NoExecute"]


def disruption(reason: str, message: str, now: float) -> Object:
    """The condition that says a pod is about to be ended by the cluster."""
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": timestamp(now),
    }
