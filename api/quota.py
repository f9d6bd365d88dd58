"""What an object uses of a ResourceQuota: for the server that refuses, and the controller that counts.

Invariant: both count by the same functions, so that a quota's status never swings between two opinions.
Source: pkg/quota/v1/evaluator/core; "Resource Quotas" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api.objects import Object
from api.pod_resources import limits_of, requests_of
from api.quantities import ZERO, Quantity, parse
from api.resources import Resource
from api.runtime import parse_timestamp

Usage = dict[str, Quantity]

ONE = Quantity(10**9)
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_LEGACY_COUNTS = frozenset(
    {
        "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets",
        "services",
    }
)  # fmt: skip
_FINAL = ("Succeeded", "Failed")
_ATTRIBUTES = "VolumeAttributesClass"
_COUNT = "count/"
_DEVICES = ".deviceclass.resource.k8s.io/devices"
# A request for all devices counts as so many as a claim can get at most.
_MOST_DEVICES = 32


def count_name(resource: Resource) -> str:
    """`count/deployments.apps`: the name under which any resource may be counted."""
    return f"{_COUNT}{resource.name}"


def usage_of(resource: Resource, obj: Object, now: float = 0.0) -> Usage:
    """What one object uses, by the names that quotas use; a pod that should be gone by `now` is a mere object."""
    used: Usage = {count_name(resource): ONE}
    if resource.group == "":
        if resource.plural == "pods":
            if not _is_final(obj) and not _is_overdue(obj, now):
                used["pods"] = ONE
                used |= pod_usage(obj)
        elif resource.plural in _LEGACY_COUNTS:
            used[resource.plural] = ONE
        if resource.plural == "services":
            used |= _service_usage(obj)
        elif resource.plural == "persistentvolumeclaims":
            used |= _claim_usage(obj)
    elif (resource.group, resource.plural) == ("resource.k8s.io", "resourceclaims"):
        used |= _device_usage(obj)
    return used


def counted_by(name: str) -> str:
    """The resource whose objects a name of a quota counts, such as `deployments.apps`; "" if others are counted."""
    if name.startswith(_COUNT):
        return name.removeprefix(_COUNT)
    return "resourceclaims.resource.k8s.io" if name.endswith(_DEVICES) else ""


def _is_final(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in _FINAL


def _is_overdue(pod: Object, now: float) -> bool:
    """Whether even twice its grace is over: the node of such a pod is silent."""
    deleted, grace = pod["metadata"].get("deletionTimestamp"), pod["metadata"].get("deletionGracePeriodSeconds")
    return bool(deleted) and grace is not None and parse_timestamp(deleted) + int(grace) < now


def pod_usage(pod: Object) -> Usage:
    """requests.* and limits.* of a pod, and the plain names that mean requests."""
    spec = pod.get("spec") or {}
    used: Usage = {}
    for kind, amounts in (("requests", requests_of(spec)), ("limits", limits_of(spec))):
        for name, amount in amounts.items():
            used[f"{kind}.{name}"] = amount
            if kind == "requests" and (name in _COMPUTE or name.startswith("hugepages-")):
                used[name] = amount
    return used


def _add(total: Usage, more: Mapping[str, Quantity]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, ZERO) + amount


def _service_usage(service: Object) -> Usage:
    spec = service.get("spec") or {}
    kind, ports = spec.get("type"), len(spec.get("ports") or ())
    used = {"services.loadbalancers": ZERO, "services.nodeports": ZERO}
    if kind == "LoadBalancer":
        used["services.loadbalancers"] = ONE
        if spec.get("allocateLoadBalancerNodePorts") is False:
            ports = sum(1 for port in spec.get("ports") or () if port.get("nodePort"))
    if kind in ("LoadBalancer", "NodePort"):
        used["services.nodeports"] = Quantity(ports * ONE.nano)
    return used


def _claim_usage(claim: Object) -> Usage:
    spec = claim.get("spec") or {}
    used: Usage = {}
    asked = parse(((spec.get("resources") or {}).get("requests") or {}).get("storage", 0))
    asked = max(asked, parse(((claim.get("status") or {}).get("allocatedResources") or {}).get("storage", 0)))
    storage = Quantity(asked.value() * ONE.nano, asked.format)
    names = ["persistentvolumeclaims"]
    used["requests.storage"] = storage
    class_name = spec.get("storageClassName")
    if class_name:
        prefix = f"{class_name}.storageclass.storage.k8s.io/"
        used[f"{prefix}requests.storage"] = storage
        names.append(f"{prefix}persistentvolumeclaims")
    return used | dict.fromkeys(names, ONE)


def _device_usage(claim: Object) -> Usage:
    """The devices that a claim may get, by their class; of alternatives the most of each class."""
    used: Usage = {}
    for request in ((claim.get("spec") or {}).get("devices") or {}).get("requests") or ():
        most: Usage = {}
        for one in request.get("firstAvailable") or [request.get("exactly") or {}]:
            name = f"{one.get('deviceClassName')}{_DEVICES}"
            count = one.get("count", 1) if one.get("allocationMode", "ExactCount") == "ExactCount" else _MOST_DEVICES
            most[name] = max(most.get(name, ZERO), Quantity(count * ONE.nano))
        _add(used, most)
    return used


def total(usages: Iterable[Mapping[str, Quantity]]) -> Usage:
    """The sum of several objects' usages."""
    summed: Usage = {}
    for usage in usages:
        _add(summed, usage)
    return summed


def covers(quota_spec: Mapping[str, Any], resource: Resource, obj: Object) -> bool:
    """Whether a quota's scopes include an object: of pods, and of claims by the class of their volume's attributes."""
    terms = [(scope, "Exists", ()) for scope in quota_spec.get("scopes") or ()]
    for expression in (quota_spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        terms.append((expression.get("scopeName"), expression.get("operator"), tuple(expression.get("values") or ())))
    if not terms:
        return True
    if (resource.group, resource.plural) == ("", "persistentvolumeclaims"):
        return all(
            scope == _ATTRIBUTES and _chosen(_classes(obj), operator, values) for scope, operator, values in terms
        )
    if (resource.group, resource.plural) != ("", "pods"):
        return False
    return all(_in_scope(obj.get("spec") or {}, *term) for term in terms)


def moves(old: Object, new: Object) -> bool:
    """Whether an update of a claim may give back what one quota counted, or be counted by another."""
    return _classes(old) != _classes(new) or _claim_usage(old) != _claim_usage(new)


def _classes(claim: Object) -> set[str]:
    """The classes of attributes that a claim asks for, has, and is being given."""
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    target = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    named = (spec.get("volumeAttributesClassName"), status.get("currentVolumeAttributesClassName"), target)
    return {str(name) for name in named if name}


def _chosen(have: set[str], operator: str, values: tuple[str, ...]) -> bool:
    if operator in ("Exists", "DoesNotExist"):
        return bool(have) == (operator == "Exists")
    return bool(have & set(values)) == (operator == "In")


def _in_scope(spec: Mapping[str, Any], scope: str, operator: str, values: tuple[str, ...]) -> bool:
    if scope == "PriorityClass":
        return _chosen({name for name in (spec.get("priorityClassName"),) if name}, operator, values)
    holds = {
        "Terminating": spec.get("activeDeadlineSeconds") is not None,
        "NotTerminating": spec.get("activeDeadlineSeconds") is None,
        "BestEffort": is_best_effort(spec),
        "NotBestEffort": not is_best_effort(spec),
        "CrossNamespacePodAffinity": _crosses_namespaces(spec.get("affinity") or {}),
    }.get(scope, False)
    return holds != (operator in ("DoesNotExist", "NotIn"))


def is_best_effort(spec: Mapping[str, Any]) -> bool:
    """Whether no container asks for or limits cpu or memory."""
    for field in ("containers", "initContainers"):
        for container in (spec, *(spec.get(field) or ())):
            for kind in ("requests", "limits"):
                if any(
                    parse(((container.get("resources") or {}).get(kind) or {}).get(name, 0)) != ZERO
                    for name in ("cpu", "memory")
                ):
                    return False
    return True


def _crosses_namespaces(affinity: Mapping[str, Any]) -> bool:
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [weighted.get("podAffinityTerm") or {} for weighted in preferred]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False
