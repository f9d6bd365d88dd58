"""Rules for the policy group.

Source: the original's validation of PodDisruptionBudget.
"""

from __future__ import annotations

from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes


def _disruption_budget(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    spec = new["spec"]
    found: Causes = []
    low, high = spec.get("minAvailable"), spec.get("maxUnavailable")
    if low is not None and high is not None:
        detail = "minAvailable and maxUnavailable cannot be both set"
        found.append(fields.invalid("spec", spec, detail))
    for field, value in (("minAvailable", low), ("maxUnavailable", high)):
        found += fields.int_or_percent(f"spec.{field}", value)
        found += fields.at_most_all(f"spec.{field}", value)
    found += fields.label_selector("spec.selector", spec.get("selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    return found + fields.one_of(
        "spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget"), is_required=False
    )


VALIDATORS = {"PodDisruptionBudget": _disruption_budget}
