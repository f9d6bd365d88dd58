"""From a CustomResourceDefinition to what is served for it: entries, names, conditions, scale.

Invariant: pure functions of the definition; the server decides when to serve and what to store.
Source: "CustomResourceDefinition" in the API reference; apiextensions-apiserver's naming and establishing controllers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api import objects
from api.custom import CustomSchema, json_path
from api.objects import Object
from api.registry import Entry, SubresourceInfo, version_priority
from api.resources import Resource

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CHANGES = ("get", "patch", "update")
_CONFLICTS = (
    ("plural", "PluralConflict"), ("singular", "SingularConflict"), ("shortNames", "ShortNamesConflict"),
    ("kind", "KindConflict"), ("listKind", "ListKindConflict"),
)  # fmt: skip


def entries(definition: Object) -> list[Entry]:
    """One entry for each served version, the preferred one (storage order aside, the highest) first."""
    versions = [version for version in definition["spec"]["versions"] if version.get("served")]
    versions.sort(key=lambda version: version_priority(version["name"]), reverse=True)
    return [entry(definition, version) for version in versions]


def entry(definition: Object, version: Object) -> Entry:
    """The entry of one version."""
    spec = definition["spec"]
    names = (definition.get("status") or {}).get("acceptedNames") or {}
    names = names if names.get("plural") else spec["names"]
    resource = Resource(
        spec["group"], version["name"], names["plural"], names["kind"], spec.get("scope") == "Namespaced"
    )
    subresources = {}
    declared = version.get("subresources") or {}
    if declared.get("status") is not None:
        subresources["status"] = SubresourceInfo(resource.kind, resource.group, resource.version, _CHANGES)
    if declared.get("scale") is not None:
        subresources["scale"] = SubresourceInfo("Scale", "autoscaling", "v1", _CHANGES)
    return Entry(
        resource=resource,
        singular=names.get("singular") or resource.kind.lower(),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        verbs=_VERBS,
        subresources=subresources,
    )


def first_served(definition: Object) -> str:
    """A version in which the objects can be reached; the storage version if none is served."""
    served = [str(version["name"]) for version in definition["spec"]["versions"] if version.get("served")]
    return served[0] if served else storage_version(definition)


def version_named(definition: Object, name: str) -> Object | None:
    """A version of the definition's spec."""
    return next((version for version in definition["spec"]["versions"] if version.get("name") == name), None)


def storage_version(definition: Object) -> str:
    """The version in which objects are kept."""
    return next(str(version["name"]) for version in definition["spec"]["versions"] if version.get("storage"))


def schema_of(definition: Object, version: str) -> CustomSchema:
    """The compiled schema of a version; keep it as long as the definition's generation stays."""
    found = version_named(definition, version) or {}
    preserve = bool(definition["spec"].get("preserveUnknownFields"))
    return CustomSchema((found.get("schema") or {}).get("openAPIV3Schema"), preserve)


def status(definition: Object, others: Iterable[Object], now: str) -> Object:
    """The status of a definition among the other definitions: accepted names, conditions, stored versions."""
    wanted = definition["spec"]["names"]
    current: Object = objects.copy(definition.get("status") or {})
    conditions: list[Object] = current.setdefault("conditions", [])
    reason, message = _conflict(definition, wanted, others)
    if reason:
        objects.set_condition(conditions, _condition("NamesAccepted", "False", reason, message), now)
    else:
        current["acceptedNames"] = objects.copy(wanted)
        accepted = _condition("NamesAccepted", "True", "NoConflicts", "no conflicts found")
        objects.set_condition(conditions, accepted, now)
    if not reason:
        message = "the initial names have been accepted"
        objects.set_condition(conditions, _condition("Established", "True", "InitialNamesAccepted", message), now)
    elif not objects.is_true({"status": current}, "Established"):
        current.setdefault("acceptedNames", {"plural": "", "kind": ""})
        refused = _condition("Established", "False", "NotAccepted", "not all names are accepted")
        objects.set_condition(conditions, refused, now)
    stored = current.setdefault("storedVersions", [])
    if storage_version(definition) not in stored:
        stored.append(storage_version(definition))
    return current


def _condition(kind: str, value: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": value, "reason": reason, "message": message}


def _conflict(definition: Object, wanted: Mapping[str, Any], others: Iterable[Object]) -> tuple[str, str]:
    """(reason, sentence) of the first name that another definition of the group has taken; ("", "") without one."""
    name, group = objects.name_of(definition), definition["spec"]["group"]
    plurals: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        accepted = (other.get("status") or {}).get("acceptedNames") or {}
        if objects.name_of(other) != name and other["spec"]["group"] == group:
            plurals |= {accepted.get("plural", ""), accepted.get("singular", ""), *(accepted.get("shortNames") or [])}
            kinds |= {accepted.get("kind", ""), accepted.get("listKind", "")}
    for field, reason in _CONFLICTS:
        taken = kinds if "ind" in field else plurals
        values = wanted.get(field) or []
        for value in [values] if isinstance(values, str) else values:
            if value and value in taken:
                return reason, f'"{value}" is already in use'
    return "", ""


def scale_of(definition: Object, version: str, obj: Object) -> Object:
    """The Scale of a custom resource with a scale subresource."""
    paths = ((version_named(definition, version) or {}).get("subresources") or {})["scale"]
    metadata = {
        field: obj["metadata"][field]
        for field in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if field in obj["metadata"]
    }
    selector = json_path.first(paths["labelSelectorPath"], obj) if paths.get("labelSelectorPath") else None
    scale: Object = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": json_path.first(paths["specReplicasPath"], obj) or 0},
        "status": {"replicas": json_path.first(paths["statusReplicasPath"], obj) or 0},
    }
    return scale | ({"status": scale["status"] | {"selector": selector}} if selector else {})


def with_replicas(definition: Object, version: str, obj: Object, replicas: int) -> Object:
    """The object with another number of replicas, where its scale subresource has them."""
    paths = ((version_named(definition, version) or {}).get("subresources") or {})["scale"]
    steps = [step for step in paths["specReplicasPath"].split(".") if step]
    result = objects.copy(obj)
    holder = result
    for step in steps[:-1]:
        holder = holder.setdefault(step, {})
    holder[steps[-1]] = replicas
    return result


def selectable_fields(definition: Object, version: str) -> list[str]:
    """The names by which field selectors may choose objects, besides metadata.name and metadata.namespace."""
    found = version_named(definition, version) or {}
    return [str(field["jsonPath"]).removeprefix(".") for field in found.get("selectableFields") or []]
