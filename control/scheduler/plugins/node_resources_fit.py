"""NodeResourcesFit: what a pod requests must be left on the node; emptier nodes are better.

Source: kube-scheduler NodeResourcesFit with the strategies LeastAllocated, MostAllocated and RequestedToCapacityRatio.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from control.scheduler.framework import NodePlugin, Rejection, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo

NATIVE = ("cpu", "memory")


@dataclass(frozen=True, slots=True)
class Shape:
    """Scores (0-100) at certain shares in use (0-1), in rising order; between them they change evenly."""

    shares: tuple[float, ...]
    scores: tuple[float, ...]

    def at(self, share: float) -> float:
        """The score of a share."""
        after = bisect_right(self.shares, share)
        if after in (0, len(self.shares)):
            return self.scores[max(0, after - 1)]
        left, right = self.shares[after - 1 : after + 1]
        low, high = self.scores[after - 1 : after + 1]
        return low + (high - low) * (share - left) / (right - left)


LEAST_ALLOCATED = Shape((0.0, 1.0), (100.0, 0.0))
MOST_ALLOCATED = Shape((0.0, 1.0), (0.0, 100.0))


@dataclass(frozen=True, slots=True)
class Strategy:
    """How the share of each resource that is in use makes a score, and how much the resource weighs in it."""

    shape: Shape
    weights: Mapping[str, float]


DEFAULT_STRATEGY = Strategy(LEAST_ALLOCATED, {"cpu": 1.0, "memory": 1.0})


class NodeResourcesFit(NodePlugin):
    """Filters by every requested resource and the number of pods, scores by a strategy.

    `ignored` are extended resources, `ignored_groups` what stands before the slash of some, that refuse no node.
    """

    name = "NodeResourcesFit"
    wakes = frozenset({Wake.NODE_ADDED, Wake.NODE_ALLOCATABLE, Wake.POD_REMOVED})

    def __init__(
        self,
        strategy: Strategy = DEFAULT_STRATEGY,
        ignored: frozenset[str] = frozenset(),
        ignored_groups: frozenset[str] = frozenset(),
    ) -> None:
        self.strategy, self._ignored, self._ignored_groups = strategy, ignored, ignored_groups

    def filter(self, pod: PodInfo, node: NodeInfo) -> Sequence[Rejection]:
        found = []
        if len(node.pods) + 1 > node.allocatable.get("pods", 0):
            found.append(Rejection(self.name, "Too many pods"))
        for name, value in pod.requests.items():
            offered = node.allocatable.get(name, 0)
            if value > offered - node.requested.get(name, 0) and not self._ignores(name):
                found.append(Rejection(self.name, f"Insufficient {name}", final=value > offered))
        return found

    def scores(self, pod: PodInfo) -> bool:
        return True

    def score(self, pod: PodInfo, node: NodeInfo) -> float:
        total = weighed = 0.0
        for name, weight in self.strategy.weights.items():
            share = share_in_use(pod, node, name)
            if share is not None:
                total += weight * self.strategy.shape.at(share)
                weighed += weight
        return total / weighed if weighed else 0.0

    def _ignores(self, name: str) -> bool:
        group, slash, _ = name.partition("/")
        return bool(slash) and (name in self._ignored or group in self._ignored_groups)


def share_in_use(pod: PodInfo, node: NodeInfo, name: str) -> float | None:
    """The share of the node's resource in use with the pod on it, at most 1; None if it is not to be weighed.

    Of cpu and memory, containers that ask for nothing are taken to use a little, so that they spread, too.
    """
    offered = node.allocatable.get(name, 0)
    if not offered or (name not in NATIVE and not pod.requests.get(name)):
        return None
    if name in NATIVE:
        place = NATIVE.index(name)
        return min(1.0, (node.score_requested[place] + pod.score_requests[place]) / offered)
    return min(1.0, (node.requested.get(name, 0) + pod.requests[name]) / offered)
