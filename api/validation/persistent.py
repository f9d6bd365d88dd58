"""Rules for persistent volumes and their claims.

Source: the original's validation of PersistentVolume and PersistentVolumeClaim.
"""

from __future__ import annotations

import posixpath

from api import names
from api.objects import Object
from api.quantities import parse
from api.validation import fields, scheduling, volume_sources
from api.validation.fields import Causes

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_NOT_SOURCES = {
    "capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions",
    "volumeMode", "nodeAffinity", "volumeAttributesClassName",
}  # fmt: skip
_CLASS = "volume.beta.kubernetes.io/storage-class"
_CLAIM_DETAIL = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)


def volume(new: Object, old: Object | None, subresource: str) -> Causes:
    """A PersistentVolume."""
    if subresource == "status":
        return []
    spec = new["spec"]
    found = _access_modes("spec", spec)
    found += _capacity(spec.get("capacity") or {})
    policy = spec.get("persistentVolumeReclaimPolicy")
    found += fields.one_of("spec.persistentVolumeReclaimPolicy", policy, ("Delete", "Recycle", "Retain"))
    affinity = spec.get("nodeAffinity")
    if affinity is not None and affinity.get("required") is None:
        found.append(fields.required("spec.nodeAffinity.required", "must specify required node constraints"))
    elif affinity is not None:
        found += scheduling.node_selector("spec.nodeAffinity.required", affinity["required"])
    told, kind = volume_sources.chosen("spec", spec, persistent=True)
    found += told
    if kind == "local" and affinity is None:
        found.append(fields.required("spec.nodeAffinity", "Local volume requires node affinity"))
    if kind == "hostPath" and policy == "Recycle" and posixpath.normpath(spec[kind].get("path") or "") == "/":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        found.append(fields.forbidden("spec.persistentVolumeReclaimPolicy", detail))
    found += _class_and_mode("spec", spec)
    if old is not None:
        found += _volume_update(spec, old["spec"])
    return found


def _capacity(capacity: Object) -> Causes:
    found = [] if capacity else [fields.required("spec.capacity")]
    if set(capacity) != {"storage"}:
        found.append(fields.not_supported("spec.capacity", capacity or None, ("storage",)))
    for name, text in capacity.items():
        found += _positive(f"spec.capacity[{name}]", text)
    return found


def _positive(path: str, text: str) -> Causes:
    amount = parse(text)
    return [fields.invalid(path, str(amount), "must be greater than zero")] if amount.nano <= 0 else []


def _class_and_mode(path: str, spec: Object) -> Causes:
    """What a volume and a claim say of their kind alike."""
    found: Causes = []
    if spec.get("storageClassName"):
        found += fields.problems(f"{path}.storageClassName", spec["storageClassName"], names.dns_subdomain_problems)
    mode = spec.get("volumeMode")
    if mode is not None and mode not in ("Block", "Filesystem"):
        found.append(fields.not_supported(f"{path}.volumeMode", mode, ("Block", "Filesystem")))
    return found


def _volume_update(now: Object, before: Object) -> Causes:
    found: Causes = []
    was, is_now = _source(before), _source(now)
    if "csi" in was and "csi" in is_now and not was["csi"].get("controllerExpandSecretRef"):
        is_now = {"csi": {name: value for name, value in is_now["csi"].items() if name != "controllerExpandSecretRef"}}
    if was != is_now:
        lines = f"- {fields.shown(was)}\n+ {fields.shown(is_now)}"
        detail = f"spec.persistentvolumesource is immutable after creation\n{lines}"
        found.append(fields.forbidden("spec.persistentvolumesource", detail))
    found += fields.unchanged("volumeMode", now.get("volumeMode"), before.get("volumeMode"))
    if before.get("nodeAffinity") is not None:
        found += fields.unchanged("nodeAffinity", now.get("nodeAffinity"), before["nodeAffinity"])
    if before.get("volumeAttributesClassName") is not None and now.get("volumeAttributesClassName") is None:
        place = "spec.volumeAttributesClassName"
        found.append(fields.forbidden(place, "update from non-nil value to nil is forbidden"))
    return found


def _source(spec: Object) -> Object:
    return {name: value for name, value in spec.items() if name not in _NOT_SOURCES and isinstance(value, dict)}


def _access_modes(path: str, spec: Object) -> Causes:
    modes = spec.get("accessModes") or []
    if not modes:
        return [fields.required(f"{path}.accessModes", "at least 1 access mode is required")]
    found = [fields.not_supported(f"{path}.accessModes", mode, _MODES) for mode in modes if mode not in _MODES]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        detail = "may not use ReadWriteOncePod with other access modes"
        found.append(fields.forbidden(f"{path}.accessModes", detail))
    return found


def claim(new: Object, old: Object | None, subresource: str) -> Causes:
    """A PersistentVolumeClaim."""
    if subresource == "status":
        return []
    spec = new["spec"]
    found = claim_spec("spec", spec)
    return found if old is None else found + _claim_update(new, old)


def claim_spec(path: str, spec: Object) -> Causes:
    """The spec of a claim, also inside templates."""
    found = _access_modes(path, spec)
    found += fields.label_selector(f"{path}.selector", spec.get("selector"))
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    place = f"{path}.resources[storage]"
    found += [fields.required(place)] if storage is None else _positive(place, storage)
    found += _class_and_mode(path, spec) + _data_sources(path, spec)
    attributes = spec.get("volumeAttributesClassName")
    if attributes:
        found += fields.problems(f"{path}.volumeAttributesClassName", attributes, names.dns_subdomain_problems)
    return found


def _data_sources(path: str, spec: Object) -> Causes:
    found: Causes = []
    plain, full = spec.get("dataSource"), spec.get("dataSourceRef")
    for field, source in (("dataSource", plain), ("dataSourceRef", full)):
        if source is None:
            continue
        place, group = f"{path}.{field}", source.get("apiGroup") or ""
        found += [fields.required(f"{place}.{name}") for name in ("name", "kind") if not source.get(name)]
        if not group and source.get("kind") != "PersistentVolumeClaim":
            detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
            found.append(fields.invalid(place, source.get("kind") or "", detail))
        found += fields.problems(f"{place}.apiGroup", group, names.dns_subdomain_problems) if group else []
        if source.get("namespace"):
            found += fields.problems(f"{place}.namespace", source["namespace"], names.dns_label_problems)
    if plain is not None and full is not None:
        if full.get("namespace"):
            detail = "may not be specified when dataSourceRef.namespace is specified"
            found.append(fields.invalid(path, f"{path}.dataSource", detail))
        elif any(plain.get(name) != full.get(name) for name in ("apiGroup", "kind", "name")):
            found.append(fields.invalid(path, f"{path}.dataSource", "must match dataSourceRef"))
    return found


def _claim_update(new: Object, old: Object) -> Causes:
    now, before = new["spec"], old["spec"]
    bound = (new.get("status") or {}).get("phase") == "Bound"
    allowed = {"volumeName"} if not before.get("volumeName") else set()
    was, is_now, chosen = _annotated_class(old), _annotated_class(new), now.get("storageClassName")
    moved = bool(was) and is_now in ("", was) and chosen == was
    if before.get("storageClassName") is None and chosen is not None and (moved or not (was or is_now)):
        allowed.add("storageClassName")
    if bound and now.get("volumeAttributesClassName") is not None:
        allowed.add("volumeAttributesClassName")
    changed = {field for field in {*now, *before} if now.get(field) != before.get(field)} - allowed
    if bound and "resources" in changed and _without_size(now) == _without_size(before):
        changed.remove("resources")
    found: Causes = []
    if changed:
        lines = fields.difference(now, before, sorted(changed))
        found.append(fields.forbidden("spec", f"{_CLAIM_DETAIL}\n{lines}"))
    have = ((old.get("status") or {}).get("capacity") or {}).get("storage") or "0"
    if parse(_size(now)) < parse(_size(before)) and parse(_size(now)) <= parse(have):
        place = "spec.resources.requests.storage"
        found.append(fields.forbidden(place, "field can not be less than status.capacity"))
    found += fields.unchanged("volumeMode", now.get("volumeMode"), before.get("volumeMode"))
    found += [] if moved else fields.unchanged(f"metadata.annotations.{_CLASS}", is_now, was)
    return found + _attributes_update(now, before)


def _annotated_class(claim: Object) -> str:
    """The class by the annotation that was there before the field."""
    return str((claim["metadata"].get("annotations") or {}).get(_CLASS) or "")


def _size(spec: Object) -> str:
    return str(((spec.get("resources") or {}).get("requests") or {}).get("storage") or "0")


def _without_size(spec: Object) -> Object:
    resources = spec.get("resources") or {}
    requests = {name: text for name, text in (resources.get("requests") or {}).items() if name != "storage"}
    return {**resources, "requests": requests}


def _attributes_update(now: Object, before: Object) -> Causes:
    path, given = "spec.volumeAttributesClassName", now.get("volumeAttributesClassName")
    if before.get("volumeAttributesClassName") is None:
        return []
    if given is None:
        return [fields.forbidden(path, "update from non-nil value to nil is forbidden")]
    if not given:
        return [fields.forbidden(path, "update from non-nil value to an empty string is forbidden")]
    return []
