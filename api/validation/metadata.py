"""Rules that every object's metadata keeps, whatever its kind.

Source: apimachinery's ValidateObjectMeta and ValidateObjectMetaUpdate; "Object Names and IDs" in the documentation.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from api import names
from api.errors import Cause
from api.objects import Object
from api.registry import Entry
from api.validation import fields
from api.validation.fields import Causes

_EXTENDING_GROUPS = frozenset({"apiextensions.k8s.io", "apiregistration.k8s.io"})
_ANNOTATIONS_LIMIT = 256 * 1024
_STANDARD_FINALIZERS = {"orphan", "foregroundDeletion", "kubernetes"}
_IMMUTABLE = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def _ip_problems(value: str) -> list[str]:
    try:
        return [] if str(ipaddress.ip_address(value)) == value else ["must be in canonical form"]
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


_NAME_RULES: dict[str, Callable[[str], list[str]]] = {
    "Namespace": names.dns_label_problems,
    "StatefulSet": names.dns_label_problems,
    "Service": names.dns_1035_label_problems,
    "Role": names.path_segment_problems,
    "ClusterRole": names.path_segment_problems,
    "RoleBinding": names.path_segment_problems,
    "ClusterRoleBinding": names.path_segment_problems,
    "APIService": names.path_segment_problems,
    "ClusterTrustBundle": names.path_segment_problems,
    "IPAddress": _ip_problems,
}


def validate_metadata(entry: Entry, obj: Object) -> Causes:
    """What is wrong with the metadata of a new object."""
    metadata = obj.get("metadata") or {}
    rules = _NAME_RULES if entry.definition else {}
    rule = rules.get(entry.resource.kind, names.dns_subdomain_problems)
    name, prefix = metadata.get("name") or "", metadata.get("generateName") or ""
    found: Causes = []
    if prefix:
        masked = prefix[:-1] + "a" if prefix.endswith("-") else prefix
        found += [fields.invalid("metadata.generateName", prefix, problem) for problem in rule(masked)]
    if name:
        found += fields.problems("metadata.name", name, rule)
    else:
        found.append(fields.required("metadata.name", "name or generateName is required"))
    found += _namespace(entry, metadata)
    return found + _common(entry, metadata)


def validate_metadata_update(entry: Entry, new: Object, old: Object) -> Causes:
    """What is wrong with how the metadata of an object changed."""
    now, before = new.get("metadata") or {}, old.get("metadata") or {}
    found: Causes = []
    if before.get("deletionTimestamp"):
        added = [name for name in now.get("finalizers") or [] if name not in (before.get("finalizers") or [])]
        if added:
            listed = ", ".join(f'"{name}"' for name in added)
            detail = "no new finalizers can be added if the object is being deleted, found new finalizers"
            found.append(fields.forbidden("metadata.finalizers", f"{detail} []string{{{listed}}}"))
    for field in _IMMUTABLE:
        if before.get(field) is not None:
            found += fields.unchanged(f"metadata.{field}", now.get(field), before[field])
    return found + _common(entry, now)


def _namespace(entry: Entry, metadata: Object) -> Causes:
    namespace = metadata.get("namespace") or ""
    if not entry.resource.namespaced:
        return [fields.forbidden("metadata.namespace", "not allowed on this type")] if namespace else []
    return fields.needed("metadata.namespace", namespace, names.dns_label_problems)


def _common(entry: Entry, metadata: Object) -> Causes:
    found = fields.nonnegative("metadata.generation", metadata.get("generation"))
    found += fields.labels("metadata.labels", metadata.get("labels"))
    found += annotation_map("metadata.annotations", metadata.get("annotations"))
    found += _owners(metadata)
    extends = not entry.definition or entry.resource.group in _EXTENDING_GROUPS
    for name in metadata.get("finalizers") or []:
        if extends:
            found += fields.problems("metadata.finalizers", name, names.label_key_problems)
        else:
            found += finalizer("metadata.finalizers", name)
    return found


def annotation_map(path: str, values: Object | None) -> Causes:
    """Keys are qualified names; all together are at most 256 KiB."""
    found: Causes = []
    size = 0
    for key, value in (values or {}).items():
        sentences = names.label_key_problems(key.lower())
        found += [fields.invalid(path, key, sentence) for sentence in sentences]
        size += len(key.encode()) + len(str(value).encode())
    return found + [fields.too_long(path, _ANNOTATIONS_LIMIT)] * (size > _ANNOTATIONS_LIMIT)


def finalizer(path: str, name: str) -> Causes:
    """A standard finalizer, or one with a domain."""
    found = fields.problems(path, name, names.label_key_problems)
    if "/" not in name and name not in _STANDARD_FINALIZERS:
        detail = "name is neither a standard finalizer name nor is it fully qualified"
        found.append(fields.invalid(path, name, detail))
    return found


def _owners(metadata: Object) -> Causes:
    found: Causes = []
    controller = ""
    for path, owner in fields.each(metadata, "ownerReferences", "metadata"):
        group, _, version = str(owner.get("apiVersion") or "").rpartition("/")
        if not version:
            found.append(fields.invalid(f"{path}.apiVersion", owner.get("apiVersion", ""), "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                found.append(fields.invalid(f"{path}.{field}", owner.get(field, ""), f"{field} must not be empty"))
        if owner.get("kind") == "Event" and group in ("", "events.k8s.io"):
            kind = f"{group}/{version}, Kind=Event"
            found.append(fields.invalid(path, owner, f"{kind} is disallowed from being an owner"))
        if owner.get("controller"):
            if controller:
                found.append(_two_controllers(metadata, controller, str(owner.get("name"))))
            controller = str(owner.get("name"))
    return found


def _two_controllers(metadata: Object, first: str, second: str) -> Cause:
    detail = (
        'Only one reference can have Controller set to true. Found "true" in references for'
        f" {first} and {second}"
    )  # fmt: skip
    return fields.invalid("metadata.ownerReferences", metadata["ownerReferences"], detail)
