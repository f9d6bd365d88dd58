"""Rules for persistent volumes and their claims.

Source: the original's validation of PersistentVolume and PersistentVolumeClaim.
"""

from __future__ import annotations

from api import names
from api.objects import Object
from api.quantities import parse
from api.validation import fields, resources, scheduling
from api.validation.fields import Causes

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_NOT_SOURCES = {
    "capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions",
    "volumeMode", "nodeAffinity", "volumeAttributesClassName",
}  # fmt: skip
_CLAIM_MUTABLE = ("resources", "volumeAttributesClassName")
_CLAIM_DETAIL = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)


def volume(new: Object, old: Object | None, subresource: str) -> Causes:
    """A PersistentVolume."""
    if subresource == "status":
        return []
    spec = new["spec"]
    found = _access_modes("spec", spec)
    capacity = spec.get("capacity") or {}
    if not capacity:
        found.append(fields.required("spec.capacity"))
    elif set(capacity) != {"storage"}:
        found.append(fields.not_supported("spec.capacity", sorted(capacity), ("storage",)))
    found += resources.resource_list("spec.capacity", capacity)
    policy = spec.get("persistentVolumeReclaimPolicy")
    found += fields.one_of("spec.persistentVolumeReclaimPolicy", policy, ("Delete", "Recycle", "Retain"))
    sources = [field for field in spec if field not in _NOT_SOURCES and isinstance(spec[field], dict)]
    if not sources:
        found.append(fields.required("spec", "must specify a volume type"))
    found += [fields.forbidden(f"spec.{kind}", "may not specify more than 1 volume type") for kind in sources[1:]]
    affinity = (spec.get("nodeAffinity") or {}).get("required")
    if affinity is not None:
        found += scheduling.node_selector("spec.nodeAffinity.required", affinity)
    if old is not None:
        before = {kind: old["spec"].get(kind) for kind in sources}
        if before != {kind: spec.get(kind) for kind in sources}:
            found.append(
                fields.forbidden(
                    "spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation"
                )
            )
        found += fields.unchanged("spec.volumeMode", spec.get("volumeMode"), old["spec"].get("volumeMode"))
    return found


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
    if storage is None:
        found.append(fields.required(place))
    elif parse(storage).nano <= 0:
        found.append(fields.invalid(place, storage, "must be greater than zero"))
    if spec.get("storageClassName"):
        found += fields.problems(f"{path}.storageClassName", spec["storageClassName"], names.dns_subdomain_problems)
    return found + fields.one_of(f"{path}.volumeMode", spec.get("volumeMode"), ("Block", "Filesystem"), False)


def _claim_update(new: Object, old: Object) -> Causes:
    now, before = new["spec"], old["spec"]
    allowed = set(_CLAIM_MUTABLE) if before.get("volumeName") else set()
    if not before.get("volumeName"):
        allowed.add("volumeName")
    if before.get("storageClassName") is None:
        allowed.add("storageClassName")
    changed = {field for field in {*now, *before} if now.get(field) != before.get(field)} - allowed
    if changed:
        lines = "\n".join(f"- {field}: {before.get(field)}\n+ {field}: {now.get(field)}" for field in sorted(changed))
        return [fields.forbidden("spec", f"{_CLAIM_DETAIL}\n{lines}")]
    asked = ((now.get("resources") or {}).get("requests") or {}).get("storage")
    had = ((before.get("resources") or {}).get("requests") or {}).get("storage")
    if asked is not None and had is not None and parse(asked) < parse(had):
        return [fields.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")]
    return []
