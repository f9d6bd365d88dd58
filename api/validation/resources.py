"""Rules for amounts of resources, wherever an object states them.

Source: the original's validation of ResourceRequirements and ResourceList.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
_WHOLE = {
    "pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers",
}  # fmt: skip


def requirements(
    path: str,
    resources: Mapping[str, Any],
    claims: Iterable[str] = (),
    name_rule: Callable[[str, str], Causes] | None = None,
) -> Causes:
    """Limits and requests of a container: names, amounts, and no request over its limit.

    `claims` are the names of the pod's resource claims, `name_rule` judges a resource's name if it is of no container.
    """
    found: Causes = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, text in amounts.items():
            place = f"{path}.{field}[{name}]"
            found += (name_rule or container_resource_name)(place, name)
            found += whole_amount(place, name, text)
            found += _huge_pages(place, name, text)
    for name, text in requests.items():
        found += _within_limit(path, name, text, limits.get(name))
    asked = {*limits, *requests}
    if any(name.startswith("hugepages-") for name in asked) and not asked & {"cpu", "memory"}:
        found.append(fields.forbidden(path, "HugePages require cpu or memory"))
    return found + _claims(f"{path}.claims", resources.get("claims") or [], sorted(claims))


def _claims(path: str, used: Sequence[Mapping[str, Any]], known: Sequence[str]) -> Causes:
    found: Causes = []
    for index, claim in enumerate(used):
        name = claim.get("name") or ""
        place = f"{path}[{index}]"
        if not name:
            found.append(fields.required(place))
            continue
        if (name, claim.get("request")) in [(one.get("name"), one.get("request")) for one in used[:index]]:
            found.append(fields.duplicate(place, "/".join(filter(None, (name, claim.get("request"))))))
        if name not in known:
            which = ": " + ", ".join(known) if known else " which is empty"
            cause = fields.not_found(place, name)
            detail = f"must be one of the names in pod.spec.resourceClaims{which}"
            found.append(type(cause)(cause.reason, f"{cause.message}: {detail}", cause.field))
    return found


def _within_limit(path: str, name: str, request: Any, limit: Any) -> Causes:
    if limit is None:
        detail = "Limit must be set for non overcommitable resources"
        return [] if is_overcommittable(name) else [fields.required(f"{path}.limits", detail)]
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
    if "/" not in name:
        if name not in _OF_CONTAINERS and not name.startswith("hugepages-"):
            found.append(fields.invalid(path, name, "must be a standard resource for containers"))
    elif "kubernetes.io/" not in name and not _is_extended(name):
        found.append(fields.invalid(path, name, "doesn't follow extended resource name standard"))
    return found


def is_extended_name(name: str) -> bool:
    """Whether the name is one that devices are counted by: of a domain, and not of the cluster's own."""
    return "/" in name and "kubernetes.io/" not in name and _is_extended(name)


def _is_extended(name: str) -> bool:
    return not name.startswith("requests.") and not names.label_key_problems(f"requests.{name}")


def resource_name(path: str, name: str) -> Causes:
    """A standard resource or one with a domain."""
    found = fields.problems(path, name, names.label_key_problems)
    is_standard = name in _STANDARD or name.startswith(("hugepages-", "requests.hugepages-"))
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


def whole_amount(path: str, name: str, text: Any) -> Causes:
    """A quantity that is not negative, and whole where the resource comes in pieces."""
    found = amount(path, text)
    pieces = name in _WHOLE or is_extended_name(name)
    if not found and pieces and quantities.parse(text).nano % 10**9:
        found.append(fields.invalid(path, str(quantities.parse(text)), "must be an integer"))
    return found


def _huge_pages(path: str, name: str, text: Any) -> Causes:
    """As many bytes as fill pages of the size in the resource's name."""
    if not name.startswith("hugepages-"):
        return []
    try:
        asked, page = quantities.parse(text), quantities.parse(name.removeprefix("hugepages-"))
    except ValueError:
        return []
    if page.nano > 0 and asked.nano > 0 and asked.nano % page.nano == 0:
        return []
    return [fields.invalid(path, str(asked), f"{asked} is not positive integer multiple of {name}")]


def resource_list(path: str, amounts: Mapping[str, Any] | None) -> Causes:
    """A map of resources, as nodes, quotas and volumes have it."""
    found: Causes = []
    for name, text in (amounts or {}).items():
        place = f"{path}[{name}]"
        found += resource_name(place, name) + whole_amount(place, name, text)
    return found
