"""DynamicResources: a pod that claims devices waits, since nothing here allocates them.

The API keeps ResourceClaims for those who bring a driver; to run such a pod without its devices would be worse than
to say why it does not run.
"""

from __future__ import annotations

from collections.abc import Sequence

from control.scheduler.framework import NodePlugin, Rejection
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo

_REJECTION = (
    Rejection("DynamicResources", "the scheduler of this cluster allocates no devices to resource claims", final=True),
)


class DynamicResources(NodePlugin):
    """Filters by the pod's `spec.resourceClaims`."""

    name = "DynamicResources"

    def applies(self, pod: PodInfo) -> bool:
        return bool(pod.spec.get("resourceClaims"))

    def filter(self, pod: PodInfo, node: NodeInfo) -> Sequence[Rejection]:
        return _REJECTION
