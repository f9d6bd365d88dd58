"""NodeUnschedulable: a cordoned node takes only pods that tolerate it."""

from __future__ import annotations

from collections.abc import Sequence

from api.tolerations import tolerated
from control.scheduler.framework import NodePlugin, Rejection, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo

_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_REJECTION = (Rejection("NodeUnschedulable", "node(s) were unschedulable", final=True),)


class NodeUnschedulable(NodePlugin):
    """Filters by the node's `spec.unschedulable`."""

    name = "NodeUnschedulable"
    wakes = frozenset({Wake.NODE_ADDED, Wake.NODE_TAINTS})

    def filter(self, pod: PodInfo, node: NodeInfo) -> Sequence[Rejection]:
        if not node.unschedulable or tolerated(pod.spec.get("tolerations") or [], _TAINT):
            return ()
        return _REJECTION
