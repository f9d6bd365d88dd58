"""DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or not reachable.

Invariant: a pod that says anything of its own about these taints is left as it is.
Source: plugin/pkg/admission/defaulttolerationseconds.
"""

from __future__ import annotations

from api.objects import Object
from control.apiserver.admission.common import is_for
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.operation import CREATE, UPDATE, Operation

_SECONDS = 300
_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(PluginBase):
    """Completes tolerations."""

    def handles(self, operation: Operation) -> bool:
        return operation.verb in (CREATE, UPDATE) and is_for(operation, "", "pods")

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        tolerations = list(new["spec"].get("tolerations") or [])
        for taint in _TAINTS:
            if not any(_speaks_of(toleration, taint) for toleration in tolerations):
                tolerations.append(
                    {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _SECONDS}
                )
        new["spec"]["tolerations"] = tolerations
        return new


def _speaks_of(toleration: Object, taint: str) -> bool:
    return toleration.get("key") in (taint, "", None) and toleration.get("effect") in ("NoExecute", "", None)
