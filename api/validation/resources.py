"""Rules for amounts of resources, wherever an object states them.

Source: the original's validation of ResourceRequirements and ResourceList.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import names, quantities
from api.validation import fields
from api.validation.fields import Causes

_STANDARD = {
    "cpu", "memory", "ephemeral-storage", "storage", "pods", "services", "replicationcontrollers", "resourcequotas",
    "secrets", "configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    "requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage",
}  # fmt: skip
_OF_CONTAINERS = {"cpu", "memory", "ephemeral-storage"}
_WHOLE = {"pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps"}


def requirements(path: str, resources: Mapping[str, Any]) -> Causes:
    """Limits and requests of a container: names, amounts, and no request over its limit."""
    found: Causes = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, text in amounts.items():
            place = f"{path}.{field}[{name}]"
            found += container_resource_name(place, name)
            found += amount(place, text)
    for name, text in requests.items():
        found += _within_limit(path, name, text, limits.get(name))
    for claim in ("hugepages-",):
        found += [
            fields.required(f"{path}.limits", f"must be specified when {name} is requested")
            for name in requests
            if name.startswith(claim) and name not in limits
        ]
    return found


def _within_limit(path: str, name: str, request: Any, limit: Any) -> Causes:
    if limit is None:
        return []
    try:
        asked, allowed = quantities.parse(request), quantities.parse(limit)
    except ValueError:
        return []
    place = f"{path}.requests"
    if not is_overcommittable(name) and asked != allowed:
        return [fields.invalid(place, str(asked), f"must be equal to {name} limit of {allowed}")]
    if allowed < asked:
        return [fields.invalid(place, str(asked), f"must be less than or equal to {name} limit of {allowed}")]
    return []


def is_overcommittable(name: str) -> bool:
    """Whether requests may be lower than limits: for the kubelet's own resources except huge pages."""
    return ("/" not in name or "kubernetes.io/" in name) and not name.startswith("hugepages-")


def container_resource_name(path: str, name: str) -> Causes:
    """A resource that a container can consume."""
    found = resource_name(path, name)
    if not found and "/" not in name and name not in _OF_CONTAINERS and not name.startswith("hugepages-"):
        found.append(fields.invalid(path, name, "must be a standard resource for containers"))
    return found


def resource_name(path: str, name: str) -> Causes:
    """A standard resource or one with a domain."""
    found = fields.problems(path, name, names.label_key_problems)
    is_standard = name in _STANDARD or name.startswith(("hugepages-", "requests.", "count/"))
    if not found and "/" not in name and not is_standard:
        found.append(fields.invalid(path, name, "must be a standard resource type or fully qualified"))
    return found


def amount(path: str, text: Any) -> Causes:
    """A quantity that is not negative."""
    try:
        quantity = quantities.parse(text)
    except (ValueError, TypeError) as error:
        return [fields.invalid(path, text, str(error))]
    return [fields.invalid(path, str(quantity), fields.NEGATIVE)] if quantity.nano < 0 else []


def resource_list(path: str, amounts: Mapping[str, Any] | None) -> Causes:
    """A map of resources, as nodes, quotas and volumes have it."""
    found: Causes = []
    for name, text in (amounts or {}).items():
        place = f"{path}[{name}]"
        found += resource_name(place, name) + amount(place, text)
        if name in _WHOLE and not found and quantities.parse(text).milli() % 1000:
            found.append(fields.invalid(place, text, "must be an integer"))
    return found
