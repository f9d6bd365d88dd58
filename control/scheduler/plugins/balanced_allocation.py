"""NodeResourcesBalancedAllocation: prefer nodes whose cpu and memory fill evenly.

Source: kube-scheduler NodeResourcesBalancedAllocation (what is requested; pods that request nothing do not care).
"""

from __future__ import annotations

import math

from control.scheduler.framework import NodePlugin
from control.scheduler.plugins.node_resources_fit import NATIVE
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo


class BalancedAllocation(NodePlugin):
    """Scores 100 minus the standard deviation of the shares in use; resources that a node lacks are left out."""

    name = "NodeResourcesBalancedAllocation"

    def __init__(self, resources: tuple[str, ...] = ("cpu", "memory")) -> None:
        self._resources = resources

    def scores(self, pod: PodInfo) -> bool:
        return any(pod.requests.get(name) for name in self._resources)

    def score(self, pod: PodInfo, node: NodeInfo) -> float:
        shares = [
            min(1.0, (node.requested.get(name, 0) + pod.requests.get(name, 0)) / offered)
            for name in self._resources
            if (offered := node.allocatable.get(name, 0)) and (name in NATIVE or pod.requests.get(name))
        ]
        if len(shares) <= 2:
            # Of two shares the standard deviation is half of the gap.
            return 100.0 - 50.0 * (max(shares) - min(shares)) if shares else 100.0
        mean = sum(shares) / len(shares)
        return 100.0 - 100.0 * math.sqrt(sum((one - mean) ** 2 for one in shares) / len(shares))
