"""TaintToleration: taints keep away pods that do not tolerate them."""

from __future__ import annotations

from collections.abc import Sequence

from api.tolerations import tolerated
from control.scheduler.framework import NodePlugin, Rejection, Scale, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo


class TaintToleration(NodePlugin):
    """Filters by NoSchedule and NoExecute taints; scores by PreferNoSchedule ones, the fewer the better."""

    name = "TaintToleration"
    wakes = frozenset({Wake.NODE_ADDED, Wake.NODE_TAINTS})
    scale = Scale.LEAST

    def filter(self, pod: PodInfo, node: NodeInfo) -> Sequence[Rejection]:
        for taint in node.taints:
            if taint.get("effect") == "PreferNoSchedule" or tolerated(pod.spec.get("tolerations") or [], taint):
                continue
            text = f"{{{taint.get('key')}: {taint.get('value') or ''}}}"
            return (Rejection(self.name, f"node(s) had untolerated taint {text}", final=True),)
        return ()

    def scores(self, pod: PodInfo) -> bool:
        return True

    def score(self, pod: PodInfo, node: NodeInfo) -> float:
        if not node.taints:
            return 0.0
        tolerations = [
            one for one in pod.spec.get("tolerations") or [] if one.get("effect") in (None, "", "PreferNoSchedule")
        ]
        soft = [taint for taint in node.taints if taint.get("effect") == "PreferNoSchedule"]
        return float(sum(1 for taint in soft if not tolerated(tolerations, taint)))
