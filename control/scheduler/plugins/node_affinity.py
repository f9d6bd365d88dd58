"""NodeAffinity: nodeSelector and node affinity, required and preferred."""

from __future__ import annotations

from collections.abc import Sequence

from api.node_selection import matches, node_affinity, wanted
from control.scheduler.framework import NodePlugin, Rejection, Scale, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo

_REJECTION = (Rejection("NodeAffinity", "node(s) didn't match Pod's node affinity/selector", final=True),)
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


class NodeAffinity(NodePlugin):
    """Filters by what is required, scores by the weights of what is preferred."""

    name = "NodeAffinity"
    wakes = frozenset({Wake.NODE_ADDED, Wake.NODE_LABELS})
    scale = Scale.MOST

    def applies(self, pod: PodInfo) -> bool:
        return bool(pod.spec.get("nodeSelector")) or bool(node_affinity(pod.spec))

    def filter(self, pod: PodInfo, node: NodeInfo) -> Sequence[Rejection]:
        return () if wanted(pod.spec, node.name, node.labels) else _REJECTION

    def scores(self, pod: PodInfo) -> bool:
        return bool(node_affinity(pod.spec).get(_PREFERRED))

    def score(self, pod: PodInfo, node: NodeInfo) -> float:
        terms = node_affinity(pod.spec).get(_PREFERRED) or []
        return float(
            sum(term["weight"] for term in terms if matches(term.get("preference") or {}, node.name, node.labels))
        )
