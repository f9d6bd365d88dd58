"""NodeResourcesFit: what a pod requests must be left on the node; emptier nodes are better.

Source: kube-scheduler NodeResourcesFit with the LeastAllocated and MostAllocated strategies over cpu and memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from control.scheduler.framework import NodePlugin, Rejection, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo


class NodeResourcesFit(NodePlugin):
    """Filters by every requested resource and the number of pods; scores by the weights of cpu and memory.

    With `most` the fuller nodes are better, so that others stay empty.
    """

    name = "NodeResourcesFit"
    wakes = frozenset({Wake.NODE_ADDED, Wake.NODE_ALLOCATABLE, Wake.POD_REMOVED})

    def __init__(self, cpu: float = 1.0, memory: float = 1.0, *, most: bool = False) -> None:
        self._cpu, self._memory, self._most = cpu, memory, most

    def filter(self, pod: PodInfo, node: NodeInfo) -> Sequence[Rejection]:
        found = []
        if len(node.pods) + 1 > node.allocatable.get("pods", 0):
            found.append(Rejection(self.name, "Too many pods"))
        for name, value in pod.requests.items():
            offered = node.allocatable.get(name, 0)
            if value > offered - node.requested.get(name, 0):
                found.append(Rejection(self.name, f"Insufficient {name}", final=value > offered))
        return found

    def scores(self, pod: PodInfo) -> bool:
        return True

    def score(self, pod: PodInfo, node: NodeInfo) -> float:
        cpu, memory = fractions(pod, node)
        used = (self._cpu * min(cpu, 1.0) + self._memory * min(memory, 1.0)) / (self._cpu + self._memory)
        return 100.0 * (used if self._most else 1.0 - used)


def fractions(pod: PodInfo, node: NodeInfo) -> tuple[float, float]:
    """The shares of the node's cpu and memory in use with the pod on it; 1 if it offers none."""
    cpu, memory = node.allocatable.get("cpu", 0), node.allocatable.get("memory", 0)
    return (
        (node.score_requested[0] + pod.score_requests[0]) / cpu if cpu else 1.0,
        (node.score_requested[1] + pod.score_requests[1]) / memory if memory else 1.0,
    )
