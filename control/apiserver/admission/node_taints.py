"""TaintNodesByCondition: a new node repels pods until somebody has seen that it is ready.

Invariant: between its birth and its first good report a node gets no pod that does not tolerate this.
Source: plugin/pkg/admission/nodetaint.
"""

from __future__ import annotations

from api.objects import Object
from control.apiserver.admission.common import is_for
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.operation import CREATE, Operation

_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodes(PluginBase):
    """Taints nodes as they are created."""

    def handles(self, operation: Operation) -> bool:
        return operation.verb == CREATE and is_for(operation, "", "nodes")

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        spec = new.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(taint.get("key") == _NOT_READY["key"] and taint.get("effect") == "NoSchedule" for taint in taints):
            spec["taints"] = [*taints, dict(_NOT_READY)]
        return new
