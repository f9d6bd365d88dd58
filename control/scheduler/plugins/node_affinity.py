"""NodeAffinity: nodeSelector and node affinity, required and preferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.node_selection import matches, node_affinity, wanted
from control.scheduler.framework import NodePlugin, Rejection, Scale, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo

_REJECTION = (Rejection("NodeAffinity", "node(s) didn't match Pod's node affinity/selector", final=True),)
_ENFORCED = (Rejection("NodeAffinity", "node(s) didn't match scheduler-enforced node affinity", final=True),)
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


class NodeAffinity(NodePlugin):
    """Filters by what is required, scores by the weights of what is preferred.

    `added` is a node affinity that every pod of the profile has beside its own.
    """

    name = "NodeAffinity"
    wakes = frozenset({Wake.NODE_ADDED, Wake.NODE_LABELS})
    scale = Scale.MOST

    def __init__(self, added: Mapping[str, Any] | None = None) -> None:
        self._added = {"affinity": {"nodeAffinity": added}} if added else {}
        self._added_terms: Sequence[Mapping[str, Any]] = (added or {}).get(_PREFERRED) or ()

    def applies(self, pod: PodInfo) -> bool:
        return bool(self._added or pod.spec.get("nodeSelector") or node_affinity(pod.spec))

    def filter(self, pod: PodInfo, node: NodeInfo) -> Sequence[Rejection]:
        if self._added and not wanted(self._added, node.name, node.labels):
            return _ENFORCED
        return () if wanted(pod.spec, node.name, node.labels) else _REJECTION

    def scores(self, pod: PodInfo) -> bool:
        return bool(self._added_terms or node_affinity(pod.spec).get(_PREFERRED))

    def score(self, pod: PodInfo, node: NodeInfo) -> float:
        terms = [*self._added_terms, *(node_affinity(pod.spec).get(_PREFERRED) or ())]
        return float(
            sum(term["weight"] for term in terms if matches(term.get("preference") or {}, node.name, node.labels))
        )
