"""Rules for flow schemas and priority levels.

Source: the original's pkg/apis/flowcontrol/validation.
"""

from __future__ import annotations

from collections.abc import Sequence

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_KINDS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
_MOST_PRECEDENCE, _MOST_QUEUES = 10_000, 10_000_000
_NAMESPACE_WORDS = "each member of this list must be '*' or a DNS-1123 label; "


def _flow_schema(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    spec, name = new["spec"], new["metadata"].get("name")
    precedence, path = spec.get("matchingPrecedence") or 0, "spec.matchingPrecedence"
    found: Causes = []
    if precedence <= 0:
        found.append(fields.invalid(path, precedence, "must be a positive value"))
    if precedence > _MOST_PRECEDENCE:
        found.append(fields.invalid(path, precedence, f"must not be greater than {_MOST_PRECEDENCE}"))
    if precedence == 1 and name != "exempt":
        detail = "only the schema named 'exempt' may have matchingPrecedence 1"
        found.append(fields.invalid(path, precedence, detail))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
        found.append(fields.not_supported("spec.distinguisherMethod.type", method, ("ByNamespace", "ByUser")))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name")
    if level:
        found += fields.problems("spec.priorityLevelConfiguration.name", level, names.dns_subdomain_problems)
    else:
        found.append(fields.required("spec.priorityLevelConfiguration.name", "must reference a priority level"))
    for place, rule in fields.each(spec, "rules", "spec"):
        found += _rule(place, rule)
    return found


def _rule(path: str, rule: Object) -> Causes:
    found: Causes = []
    if not rule.get("subjects"):
        found.append(fields.required(f"{path}.subjects", "subjects must contain at least one value"))
    for place, subject in fields.each(rule, "subjects", path):
        found += _subject(place, subject)
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        detail = "at least one of resourceRules and nonResourceRules has to be non-empty"
        found.append(fields.required(path, detail))
    for place, inner in fields.each(rule, "resourceRules", path):
        found += _resource_rule(place, inner)
    for place, inner in fields.each(rule, "nonResourceRules", path):
        found += _verbs(place, inner)
        urls = inner.get("nonResourceURLs") or []
        if not urls:
            detail = "nonResourceURLs must contain at least one value"
            found.append(fields.required(f"{place}.nonResourceURLs", detail))
        found += _alone(f"{place}.nonResourceURLs", urls, "non-resource URLs")
    return found


def _subject(path: str, subject: Object) -> Causes:
    kind = subject.get("kind") or ""
    if kind not in _KINDS:
        return [fields.not_supported(f"{path}.kind", kind, tuple(_KINDS))]
    found: Causes = []
    own = subject.get(_KINDS[kind])
    place = f"{path}.{_KINDS[kind]}"
    if own is None:
        found.append(fields.required(place, f"{_KINDS[kind]} is required when subject kind is '{kind}'"))
    else:
        name, namespace = own.get("name") or "", own.get("namespace") or ""
        if not name:
            found.append(fields.required(f"{place}.name"))
        elif kind == "ServiceAccount" and name != "*":
            found += fields.problems(f"{place}.name", name, names.dns_subdomain_problems)
        if kind == "ServiceAccount":
            found += fields.problems(f"{place}.namespace", namespace, names.dns_label_problems) if namespace else [
                fields.required(f"{place}.namespace", "must specify namespace for service account")
            ]  # fmt: skip
    for other, field in (("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")):
        if other != kind and subject.get(field) is not None:
            detail = f"{field} is forbidden when subject kind is not '{other}'"
            found.append(fields.forbidden(f"{path}.{field}", detail))
    return found


def _verbs(path: str, rule: Object) -> Causes:
    verbs = rule.get("verbs") or []
    if not verbs:
        return [fields.required(f"{path}.verbs", "verbs must contain at least one value")]
    if "*" in verbs:
        return _alone(f"{path}.verbs", verbs, "verbs")
    return [] if set(verbs) <= set(_VERBS) else [fields.not_supported(f"{path}.verbs", verbs, _VERBS)]


def _alone(path: str, values: Sequence[str], words: str) -> Causes:
    if "*" not in values or len(values) < 2:
        return []
    return [fields.invalid(path, values, f"if '*' is present, must not specify other {words}")]


def _resource_rule(path: str, rule: Object) -> Causes:
    found = _verbs(path, rule)
    for field, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        if not rule.get(field):
            found.append(fields.required(f"{path}.{field}", f"resource rules must supply at least one {one}"))
        found += _alone(f"{path}.{field}", rule.get(field) or [], many)
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        found.append(fields.required(f"{path}.namespaces", detail))
    found += _alone(f"{path}.namespaces", namespaces, "namespaces")
    for index, namespace in enumerate(namespaces if "*" not in namespaces else ()):
        for sentence in names.dns_label_problems(namespace):
            found.append(fields.invalid(f"{path}.namespaces[{index}]", namespace, _NAMESPACE_WORDS + sentence))
    return found


def _priority_level(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    spec, kind = new["spec"], new["spec"].get("type") or ""
    found: Causes = []
    if (new["metadata"].get("name") == "exempt") != (kind == "Exempt"):
        detail = "type must be 'Exempt' if and only if name is 'exempt'"
        found.append(fields.invalid("spec.type", kind, detail))
    for field, owner in (("limited", "Limited"), ("exempt", "Exempt")):
        if kind != owner and kind in ("Limited", "Exempt") and spec.get(field) is not None:
            found.append(fields.forbidden(f"spec.{field}", f"must be nil if the type is not {owner}"))
    if kind not in ("Limited", "Exempt"):
        found.append(fields.not_supported("spec.type", kind, ("Exempt", "Limited")))
    elif kind == "Limited" and spec.get("limited") is None:
        found.append(fields.required("spec.limited", "must not be empty when type is Limited"))
    own = spec.get(kind.lower())
    return found + _shares(f"spec.{kind.lower()}", own, kind) if own is not None else found


def _shares(path: str, shares: Object, kind: str) -> Causes:
    found: Causes = []
    nominal, lendable = shares.get("nominalConcurrencyShares"), shares.get("lendablePercent")
    if nominal is not None and nominal < 0:
        detail = "must be a non-negative integer"
        found.append(fields.invalid(f"{path}.nominalConcurrencyShares", nominal, detail))
    if lendable is not None and not 0 <= lendable <= 100:
        found.append(fields.invalid(f"{path}.lendablePercent", lendable, "must be between 0 and 100, inclusive"))
    if kind == "Exempt":
        return found
    borrowed = shares.get("borrowingLimitPercent")
    if borrowed is not None and borrowed < 0:
        detail = "if specified, must be a non-negative integer"
        found.append(fields.invalid(f"{path}.borrowingLimitPercent", borrowed, detail))
    return found + _response(f"{path}.limitResponse", shares.get("limitResponse") or {})


def _response(path: str, response: Object) -> Causes:
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind == "Reject" and queuing is not None:
        detail = "must be nil if limited.limitResponse.type is not Limited"
        return [fields.forbidden(f"{path}.queuing", detail)]
    if kind == "Queue" and queuing is None:
        detail = "must not be empty if limited.limitResponse.type is Limited"
        return [fields.required(f"{path}.queuing", detail)]
    if kind not in ("Queue", "Reject"):
        return [fields.not_supported(f"{path}.type", kind, ("Queue", "Reject"))]
    return _queuing(f"{path}.queuing", queuing) if queuing is not None else []


def _queuing(path: str, queuing: Object) -> Causes:
    found: Causes = []
    for field in ("queueLengthLimit", "queues", "handSize"):
        if (queuing.get(field) or 0) <= 0:
            found.append(fields.invalid(f"{path}.{field}", queuing.get(field) or 0, "must be positive"))
    queues, hand = queuing.get("queues") or 0, queuing.get("handSize") or 0
    if queues > _MOST_QUEUES:
        found.append(fields.invalid(f"{path}.queues", queues, f"must not be greater than {_MOST_QUEUES}"))
    if hand > queues:
        found.append(fields.invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})"))
    return found


VALIDATORS = {"FlowSchema": _flow_schema, "PriorityLevelConfiguration": _priority_level}
