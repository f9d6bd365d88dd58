"""Rules for the apps group.

Source: the original's validation of Deployment, ReplicaSet, DaemonSet, StatefulSet and ControllerRevision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from api import names
from api.objects import Object
from api.validation import fields, pods
from api.validation.fields import Causes

_ALWAYS = ("Always",)
_STATEFUL_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip
_DAEMON_COUNTS = (
    "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
    "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
)  # fmt: skip
_STATEFUL_DETAIL = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',"
    " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def selector_and_template(
    spec: Object,
    policies: tuple[str, ...] = _ALWAYS,
    judge: Callable[[str, Object | None], Causes] = pods.template,
) -> Causes:
    """What all controllers of pods share: a selector that chooses the pods of the template."""
    selector, template = spec.get("selector"), spec.get("template") or {}
    found: Causes = []
    if selector is None:
        found.append(fields.required("spec.selector"))
    else:
        found += fields.label_selector("spec.selector", selector)
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            found.append(fields.invalid("spec.selector", selector, "empty selector is invalid for deployment"))
        else:
            found += fields.matches_labels("spec", selector, (template.get("metadata") or {}).get("labels"))
    found += judge("spec.template", spec.get("template"))
    found += pods.restart_policy("spec.template", template, policies)
    if (template.get("spec") or {}).get("activeDeadlineSeconds") is not None:
        detail = "activeDeadlineSeconds in {} is not Supported"
        found.append(fields.forbidden("spec.template.spec.activeDeadlineSeconds", detail))
    return found


def _named(causes: Causes, kind: str) -> Causes:
    """The sentences of `selector_and_template` in the words for one kind."""
    swaps = (("for deployment", f"for {kind.lower()}"), ("in {} is", f"in {kind} is"))
    out = []
    for cause in causes:
        message = cause.message
        for old, new in swaps:
            message = message.replace(old, new)
        out.append(type(cause)(cause.reason, message, cause.field))
    return out


def _counts(spec: Object, *names_of_counts: str) -> Causes:
    found: Causes = []
    for field in names_of_counts:
        found += fields.nonnegative(f"spec.{field}", spec.get(field))
    return found


def _deployment(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        others = ("unavailableReplicas", "terminatingReplicas")
        found = fields.status_counts(new, "updatedReplicas", "readyReplicas", "availableReplicas", others=others)
        return found + _counter(new, old)
    spec = new["spec"]
    found = _counts(spec, "replicas") + _named(selector_and_template(spec), "Deployment")
    found += _deployment_strategy(spec.get("strategy") or {})
    found += _counts(spec, "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
    if deadline is not None and deadline <= ready:
        detail = "must be greater than minReadySeconds"
        found.append(fields.invalid("spec.progressDeadlineSeconds", deadline, detail))
    if old is not None:
        found += fields.unchanged("spec.selector", spec.get("selector"), old["spec"].get("selector"))
    return found


def _deployment_strategy(strategy: Object) -> Causes:
    path = "spec.strategy"
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate" and rolling is not None:
        detail = "may not be specified when strategy `type` is 'Recreate'"
        return [fields.forbidden(f"{path}.rollingUpdate", detail)]
    if kind == "RollingUpdate":
        if rolling is None:
            return [fields.required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")]
        return _rolling_update(f"{path}.rollingUpdate", rolling)
    return [] if kind == "Recreate" else [fields.not_supported(path, strategy, ("Recreate", "RollingUpdate"))]


def _rolling_update(path: str, rolling: Object) -> Causes:
    surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
    found = fields.int_or_percent(f"{path}.maxUnavailable", unavailable)
    found += fields.int_or_percent(f"{path}.maxSurge", surge)
    if _is_zero(unavailable) and _is_zero(surge):
        found.append(fields.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    return found + fields.at_most_all(f"{path}.maxUnavailable", unavailable)


def _is_zero(value: Any) -> bool:
    return value in (0, "0%", None)


def _replica_set(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        counts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
        return fields.status_counts(new, *counts, others=("terminatingReplicas",))
    spec = new["spec"]
    found = _counts(spec, "replicas", "minReadySeconds") + _named(selector_and_template(spec), "ReplicaSet")
    if old is not None:
        found += fields.unchanged("spec.selector", spec.get("selector"), old["spec"].get("selector"))
    return found


def _daemon_set(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        status = new.get("status") or {}
        found = []
        for field in _DAEMON_COUNTS:
            found += fields.nonnegative(f"status.{field}", status.get(field))
        return found + _counter(new, old)
    spec = new["spec"]
    found = _named(selector_and_template(spec), "DaemonSet") + _counts(spec, "minReadySeconds", "revisionHistoryLimit")
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") not in ("RollingUpdate", "OnDelete"):
        found.append(fields.not_supported("spec.updateStrategy", strategy, ("RollingUpdate", "OnDelete")))
    if strategy.get("type") == "RollingUpdate":
        rolling, path = strategy.get("rollingUpdate") or {}, "spec.updateStrategy.rollingUpdate"
        surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
        found += fields.int_or_percent(f"{path}.maxUnavailable", unavailable)
        found += fields.int_or_percent(f"{path}.maxSurge", surge)
        if _is_zero(surge) and _is_zero(unavailable):
            found.append(fields.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
        elif not _is_zero(surge) and not _is_zero(unavailable):
            found.append(fields.invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    if old is not None:
        found += fields.unchanged("spec.selector", spec.get("selector"), old["spec"].get("selector"))
    return found


def _stateful_set(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        counts = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
        return fields.status_counts(new, *counts, ready="status.readyReplicas") + _counter(new, old)
    spec = new["spec"]
    if old is not None and _identity(spec) != _identity(old["spec"]):
        return [fields.forbidden("spec", _STATEFUL_DETAIL)]
    found = _stateful_policies(spec)
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for field in ("whenDeleted", "whenScaled"):
        path = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
        found += fields.one_of(path, retention.get(field), ("Retain", "Delete"))
    found += _counts(spec, "replicas", "minReadySeconds")
    found += fields.nonnegative("spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    # What its pods are made of is judged once they are made: their volumes come from the claims too.
    template = selector_and_template(spec, judge=pods.template_metadata)
    found += _counts(spec, "revisionHistoryLimit") + _named(template, "StatefulSet")
    if spec.get("serviceName"):
        found += fields.problems("spec.serviceName", spec["serviceName"], names.dns_1035_label_problems)
    return found


def _stateful_policies(spec: Object) -> Causes:
    found: Causes = []
    policy, strategy = spec.get("podManagementPolicy"), spec.get("updateStrategy") or {}
    if not policy:
        found.append(fields.required("spec.podManagementPolicy"))
    elif policy not in ("OrderedReady", "Parallel"):
        detail = "must be 'OrderedReady' or 'Parallel'"
        found.append(fields.invalid("spec.podManagementPolicy", policy, detail))
    kind, rolling, path = strategy.get("type"), strategy.get("rollingUpdate"), "spec.updateStrategy"
    if not kind:
        found.append(fields.required(path))
    elif kind == "OnDelete" and rolling is not None:
        detail = "only allowed for updateStrategy 'RollingUpdate'"
        found.append(fields.invalid(f"{path}.rollingUpdate", rolling, detail))
    elif kind == "RollingUpdate":
        found += _stateful_rolling(f"{path}.rollingUpdate", rolling or {})
    elif kind != "OnDelete":
        found.append(fields.invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'"))
    return found


def _stateful_rolling(path: str, rolling: Object) -> Causes:
    found = fields.nonnegative(f"{path}.partition", rolling.get("partition"))
    most = rolling.get("maxUnavailable")
    if most is not None:
        found += fields.int_or_percent(f"{path}.maxUnavailable", most)
        if _is_zero(most):
            found.append(fields.invalid(f"{path}.maxUnavailable", most, "cannot be 0"))
        found += fields.at_most_all(f"{path}.maxUnavailable", most)
    return found


def _counter(new: Object, old: Object | None) -> Causes:
    """The count of colliding revisions is not negative and never goes down."""
    now, before = ((obj.get("status") or {}).get("collisionCount") or 0 for obj in (new, old or {}))
    found = fields.nonnegative("status.collisionCount", now)
    return [*found, fields.invalid("status.collisionCount", now, "cannot be decremented")] if now < before else found


def _identity(spec: Object) -> Object:
    kept = {field: value for field, value in spec.items() if field not in _STATEFUL_MUTABLE}
    claims = [
        {"metadata": claim.get("metadata"), "spec": claim.get("spec")}
        for claim in spec.get("volumeClaimTemplates") or []
    ]
    return kept | {"volumeClaimTemplates": claims}


def _controller_revision(new: Object, old: Object | None, subresource: str) -> Causes:
    found = fields.nonnegative("revision", new.get("revision"))
    if new.get("data") is None:
        found.append(fields.required("data", "data is mandatory"))
    if old is not None:
        found += fields.unchanged("data", new.get("data"), old.get("data"))
    return found


VALIDATORS = {
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "DaemonSet": _daemon_set,
    "StatefulSet": _stateful_set,
    "ControllerRevision": _controller_revision,
}
