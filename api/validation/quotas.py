"""Rules for ResourceQuota and LimitRange.

Source: the original's validation of ResourceQuota and LimitRange; pkg/apis/core/helper for which scope fits what.
"""

from __future__ import annotations

from api import names
from api.objects import Object
from api.quantities import Quantity, parse
from api.validation import fields, resources
from api.validation.fields import Causes

_SCOPES = {
    "Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
}  # fmt: skip
_EXISTS_ONLY = _SCOPES - {"PriorityClass", "VolumeAttributesClass"}
_EXISTS_DETAIL = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating,"
    " ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_EXCLUSIVE = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_COMPUTE = {
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage",
}  # fmt: skip
_COUNTS = {
    "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers",
}  # fmt: skip
_QUOTA = _COMPUTE | _COUNTS | {"pods", "requests.storage"}
_AMOUNTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
# (lower field, upper field, which of the two is named, which value is shown, their names in the sentence)
_ORDERED = (
    ("min", "max", "min", "min", "min value", "max value"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest", "min value", "default request value"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest", "default request value", "max value"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest", "default request value", "default limit value"),
    ("min", "default", "default", "min", "min value", "default value"),
    ("default", "max", "default", "max", "default value", "max value"),
)


def quota(new: Object, old: Object | None, subresource: str) -> Causes:
    """A ResourceQuota."""
    found: Causes = []
    if subresource == "status" or old is None:
        status = new.get("status") or {}
        found += _amounts("status.hard", status.get("hard")) + _amounts("status.used", status.get("used"))
    if subresource == "status":
        return found
    spec = new["spec"]
    found = _amounts("spec.hard", spec.get("hard")) + _scopes(spec) + _selector(spec) + found
    if old is not None and set(old["spec"].get("scopes") or ()) != set(spec.get("scopes") or ()):
        found.append(fields.invalid("spec.scopes", spec.get("scopes"), fields.IMMUTABLE))
    return found


def _amounts(path: str, amounts: Object | None) -> Causes:
    found: Causes = []
    for name, text in (amounts or {}).items():
        place = f"{path}[{name}]"
        found += resources.resource_name(place, name)
        if "/" not in name and not _is_standard(name):
            found.append(fields.invalid(place, name, "must be a standard resource for quota"))
        found += resources.whole_amount(place, name, text)
    return found


def _is_standard(name: str) -> bool:
    return name in _QUOTA or name.startswith(("hugepages-", "requests.hugepages-"))


def _fits(scope: str, name: str) -> bool:
    """Whether a scope may limit a resource; names that are not standard are not judged."""
    if not _is_standard(name):
        return True
    if scope in ("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass"):
        return name == "pods" or name in _COMPUTE or "hugepages-" in name
    if scope in ("BestEffort", "CrossNamespacePodAffinity"):
        return name == "pods" or (scope != "BestEffort" and (name in _COMPUTE or "hugepages-" in name))
    if scope == "VolumeAttributesClass":
        return name in ("persistentvolumeclaims", "requests.storage")
    return True


def _scopes(spec: Object) -> Causes:
    scopes, found = spec.get("scopes") or [], []
    for scope in scopes:
        if scope not in _SCOPES:
            found.append(fields.invalid("spec.scopes", scopes, "unsupported scope"))
        for name in sorted(spec.get("hard") or {}):
            if not _fits(scope, name):
                found.append(fields.invalid("spec.scopes", scopes, "unsupported scope applied to resource"))
    return found + _conflicts(spec, set(scopes))


def _conflicts(spec: Object, scopes: set[str]) -> Causes:
    return [
        fields.invalid("spec.scopes", spec.get("scopes"), "conflicting scopes") for pair in _EXCLUSIVE if pair <= scopes
    ]


def _selector(spec: Object) -> Causes:
    selector, path = spec.get("scopeSelector"), "spec.scopeSelector.matchExpressions"
    if selector is None:
        return []
    found: Causes = []
    for _, term in fields.each(selector, "matchExpressions", ""):
        scope, operator, values = term.get("scopeName"), term.get("operator"), term.get("values") or []
        if scope not in _SCOPES:
            found.append(fields.invalid(f"{path}.scopeName", scope, "unsupported scope"))
        for name in sorted(spec.get("hard") or {}):
            if not _fits(str(scope), name):
                found.append(fields.invalid(path, selector, "unsupported scope applied to resource"))
        if scope in _EXISTS_ONLY and operator != "Exists":
            found.append(fields.invalid(f"{path}.operator", operator, _EXISTS_DETAIL))
        if operator in ("In", "NotIn"):
            if not values:
                detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                found.append(fields.required(f"{path}.values", detail))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                found.append(fields.invalid(f"{path}.values", values, detail))
        else:
            found.append(fields.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    terms = selector.get("matchExpressions") or []
    return found + _conflicts(spec, {str(term.get("scopeName")) for term in terms})


def limit_range(new: Object, old: Object | None, subresource: str) -> Causes:
    """A LimitRange."""
    found: Causes = []
    seen = set()
    for path, item in fields.each(new["spec"], "limits", "spec"):
        kind = item.get("type") or ""
        found += fields.problems(f"{path}.type", kind, names.label_key_problems)
        if kind and "/" not in kind and kind not in _LIMIT_TYPES:
            detail = "must be a standard limit type or fully qualified"
            found.append(fields.invalid(f"{path}.type", kind, detail))
        if kind in seen:
            found.append(fields.duplicate(f"{path}.type", kind))
        seen.add(kind)
        found += _limit_names(path, item, kind)
        for name in sorted({name for field in _AMOUNTS for name in item.get(field) or {}}):
            found += _ordered(path, item, name) + _ratio(path, item, name)
    return found


def _limit_names(path: str, item: Object, kind: str) -> Causes:
    check = resources.container_resource_name if kind in ("Container", "Pod") else resources.resource_name
    found: Causes = []
    for field in _AMOUNTS:
        if kind == "Pod" and field in ("default", "defaultRequest"):
            if item.get(field):
                found.append(fields.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'"))
            continue
        for name in item.get(field) or {}:
            found += check(f"{path}.{field}[{name}]", name)
    if kind == "PersistentVolumeClaim" and not any("storage" in (item.get(field) or {}) for field in ("min", "max")):
        detail = "either minimum or maximum storage value is required, but neither was provided"
        found.append(fields.required(f"{path}.limits", detail))
    return found


def _given(item: Object, field: str, name: str) -> Quantity | None:
    text = (item.get(field) or {}).get(name)
    return None if text is None else parse(text)


def _ordered(path: str, item: Object, name: str) -> Causes:
    found: Causes = []
    for low, high, named, shown, low_words, high_words in _ORDERED:
        below, above = _given(item, low, name), _given(item, high, name)
        if below is not None and above is not None and below > above:
            detail = f"{low_words} {below} is greater than {high_words} {above}"
            found.append(fields.invalid(f"{path}.{named}[{name}]", str(_given(item, shown, name)), detail))
    default, request = _given(item, "default", name), _given(item, "defaultRequest", name)
    if default is not None and request is not None and default != request and not resources.is_overcommittable(name):
        detail = f"default value {default} must equal to defaultRequest value {request} in {name}"
        found.append(fields.invalid(f"{path}.defaultRequest[{name}]", str(request), detail))
    return found


def _ratio(path: str, item: Object, name: str) -> Causes:
    ratio, low, high = (_given(item, field, name) for field in ("maxLimitRequestRatio", "min", "max"))
    if ratio is None:
        return []
    place = f"{path}.maxLimitRequestRatio[{name}]"
    found: Causes = []
    if ratio.nano < 10**9:
        found.append(fields.invalid(place, str(ratio), f"ratio {ratio} is less than 1"))
    if low is not None and high is not None and low.nano and ratio.nano * low.nano > high.nano * 10**9:
        detail = f"ratio {ratio} is greater than max/min = {high.nano / low.nano:f}"
        found.append(fields.invalid(place, str(ratio), detail))
    return found
