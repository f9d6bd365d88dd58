"""NodeResourcesBalancedAllocation: prefer nodes whose cpu and memory fill evenly.

Source: kube-scheduler NodeResourcesBalancedAllocation (what is requested; pods that request nothing do not care).
"""

from __future__ import annotations

from control.scheduler.framework import NodePlugin
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo

_RESOURCES = ("cpu", "memory")


class BalancedAllocation(NodePlugin):
    """Scores 100 minus the standard deviation of the shares in use; resources that a node lacks are left out."""

    name = "NodeResourcesBalancedAllocation"

    def scores(self, pod: PodInfo) -> bool:
        return any(pod.requests.get(name) for name in _RESOURCES)

    def score(self, pod: PodInfo, node: NodeInfo) -> float:
        shares = [
            min(1.0, (node.requested.get(name, 0) + pod.requests.get(name, 0)) / offered)
            for name in _RESOURCES
            if (offered := node.allocatable.get(name, 0))
        ]
        # Of two shares the standard deviation is half of the gap.
        return 100.0 - 50.0 * (max(shares) - min(shares)) if shares else 100.0
