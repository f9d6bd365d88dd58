"""Rules for leases, priorities and runtime classes; requests for certificates have files of their own.

Source: the original's validation of the coordination, scheduling and node groups.
"""

from __future__ import annotations

from api import names
from api.objects import Object
from api.validation import fields, pod_certificates, resources, scheduling, signing_requests, trust_bundles
from api.validation.fields import Causes

_SYSTEM_PRIORITY = 1_000_000_000
_SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def _lease(new: Object, old: Object | None, subresource: str) -> Causes:
    spec = new["spec"]
    found: Causes = []
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        found.append(fields.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    found += fields.nonnegative("spec.leaseTransitions", spec.get("leaseTransitions"))
    if spec.get("holderIdentity") == "":
        found.append(fields.invalid("spec.holderIdentity", "", "must not be empty"))
    return found


def _priority_class(new: Object, old: Object | None, subresource: str) -> Causes:
    name, value = str(new["metadata"].get("name") or ""), new.get("value") or 0
    found: Causes = []
    if name.startswith("system-"):
        known = _SYSTEM_CLASSES.get(name)
        if known != value:
            why = f"value of {name} PriorityClass must be {known}" if known else (
                f"{name} is not a known system priority class"
            )  # fmt: skip
            detail = f"priority class names with 'system-' prefix are reserved for system use only. error: {why}"
            found.append(fields.forbidden("metadata.name", detail))
    elif value > _SYSTEM_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {_SYSTEM_PRIORITY}"
        found.append(fields.forbidden("value", detail))
    policy = new.get("preemptionPolicy")
    found += fields.one_of("preemptionPolicy", policy, ("Never", "PreemptLowerPriority"), False)
    if old is not None:
        if value != (old.get("value") or 0):
            found.append(fields.forbidden("value", "may not be changed in an update."))
        found += fields.unchanged("preemptionPolicy", policy, old.get("preemptionPolicy"))
    return found


def _runtime_class(new: Object, old: Object | None, subresource: str) -> Causes:
    found = fields.problems("handler", new.get("handler") or "", names.dns_label_problems)
    overhead, placement = new.get("overhead"), new.get("scheduling") or {}
    if overhead is not None:
        found += resources.requirements("overhead", {"limits": overhead.get("podFixed") or {}})
    found += fields.labels("scheduling.nodeSelector", placement.get("nodeSelector"))
    found += scheduling.tolerations("scheduling.tolerations", placement)
    seen = []
    for path, toleration in fields.each(placement, "tolerations", "scheduling"):
        key = {field: value for field, value in toleration.items() if field != "tolerationSeconds"}
        if key in seen:
            found.append(fields.duplicate(path, toleration))
        seen.append(key)
    if old is not None:
        found += fields.unchanged("handler", new.get("handler"), old.get("handler"))
    return found


VALIDATORS = {
    "Lease": _lease,
    "PriorityClass": _priority_class,
    "RuntimeClass": _runtime_class,
    "CertificateSigningRequest": signing_requests.judged,
    "PodCertificateRequest": pod_certificates.request,
    "ClusterTrustBundle": trust_bundles.bundle,
}
