"""NodeName: a pod that names its node fits only there."""

from __future__ import annotations

from collections.abc import Sequence

from control.scheduler.framework import NodePlugin, Rejection, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo

_REJECTION = (Rejection("NodeName", "node(s) didn't match the requested node name", final=True),)


class NodeName(NodePlugin):
    """Filters by `spec.nodeName`."""

    name = "NodeName"
    wakes = frozenset({Wake.NODE_ADDED})

    def applies(self, pod: PodInfo) -> bool:
        return bool(pod.node_name)

    def filter(self, pod: PodInfo, node: NodeInfo) -> Sequence[Rejection]:
        return () if pod.node_name == node.name else _REJECTION
