"""DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or not reachable. And how two lists of
tolerations become one.

Invariant: a pod that says anything of its own about these taints is left as it is.
Source: plugin/pkg/admission/defaulttolerationseconds; pkg/util/tolerations.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def merged(first: Sequence[Object], second: Sequence[Object]) -> list[Object]:
    """Both lists without what another toleration covers; of equal ones the first stays."""
    everything, kept = [*first, *second], list[Object]()
    for index, one in enumerate(everything):
        later = [other for other in everything[index + 1 :] if other != one]
        if not any(_covers(other, one) for other in (*kept, *later)):
            kept.append(one)
    return kept


def _covers(wide: Object, one: Object) -> bool:
    """Whether one toleration tolerates all that another does."""
    if wide == one:
        return True
    exists = wide.get("operator") == "Exists"
    if (one.get("key") or "") != (wide.get("key") or "") and (wide.get("key") or not exists):
        return False
    if wide.get("effect") and wide["effect"] != one.get("effect"):
        return False
    seconds, others = wide.get("tolerationSeconds"), one.get("tolerationSeconds")
    if wide.get("effect") == "NoExecute" and seconds is not None and (others is None or others > seconds):
        return False
    if exists:
        return True
    equal = wide.get("operator") in (None, "", "Equal") and one.get("operator") in (None, "", "Equal")
    return equal and (one.get("value") or "") == (wide.get("value") or "")
