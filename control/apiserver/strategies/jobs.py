"""Jobs: each finds its pods by a label with its own UID, unless its author chose the selector.

Invariant: no two Jobs with a generated selector select the same pod.
Source: pkg/registry/batch/job/strategy.go (generateSelector).
"""

from __future__ import annotations

from api.objects import Object
from control.apiserver.operation import Operation
from control.apiserver.strategies.base import Strategy

_LEGACY = ("controller-uid", "job-name")
_PREFIX = "batch.kubernetes.io/"


class JobStrategy(Strategy):
    """Jobs."""

    delete_warning = (
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or "
        "set propagationPolicy=Orphan to suppress this warning"
    )

    def prepare_create(self, operation: Operation, obj: Object) -> None:
        super().prepare_create(operation, obj)
        spec = obj["spec"]
        if spec.get("manualSelector"):
            return
        own = dict(zip(_LEGACY, (obj["metadata"]["uid"], obj["metadata"]["name"])))
        labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
        for key, value in own.items():
            labels.setdefault(key, value)
            labels.setdefault(_PREFIX + key, value)
        selector = spec.setdefault("selector", {}).setdefault("matchLabels", {})
        selector.setdefault(_PREFIX + _LEGACY[0], own[_LEGACY[0]])
