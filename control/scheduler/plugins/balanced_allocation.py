"""NodeResourcesBalancedAllocation: prefer nodes whose cpu and memory fill evenly."""

from __future__ import annotations

from control.scheduler.framework import NodePlugin
from control.scheduler.plugins.node_resources_fit import fractions
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo


class BalancedAllocation(NodePlugin):
    """Scores 100 minus the standard deviation of the shares in use."""

    name = "NodeResourcesBalancedAllocation"

    def scores(self, pod: PodInfo) -> bool:
        return True

    def score(self, pod: PodInfo, node: NodeInfo) -> float:
        cpu, memory = fractions(pod, node)
        return 100.0 * (1.0 - abs(min(cpu, 1.0) - min(memory, 1.0)) / 2)
