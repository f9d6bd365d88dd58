"""PVC, PV and VAC protection: a claim in use by a pod, a volume bound to a claim, and a class of attributes that claims
or volumes have, are not removed under them.

Invariant: the finalizer goes only when nobody uses the object by the server's own, fresh list.
Source: kubernetes pkg/controller/volume/pvcprotection, pvprotection and vacprotection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from api.errors import NotFound
from api.loop import Loop
from api.objects import Object, copy, is_deleting, key_of, name_of, namespace_of
from api.volumes import claim_keys
from control.controllers.context import Context
from control.controllers.pods import phase_of

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
CLASS_FINALIZER = "kubernetes.io/vac-protection"
_CLASSES = "volumeattributesclasses.storage.k8s.io"


def claims_used_by(pod: Object) -> list[str]:
    """Keys of the claims a pod holds; none once it has ended."""
    if phase_of(pod) in ("Succeeded", "Failed"):
        return []
    return claim_keys(pod)


def with_finalizer(obj: Object, finalizer: str, present: bool) -> Object | None:
    """The object with or without the finalizer; None if nothing changes."""
    finalizers = obj["metadata"].get("finalizers") or []
    if (finalizer in finalizers) == present:
        return None
    changed = copy(obj)
    rest = [one for one in finalizers if one != finalizer]
    changed["metadata"]["finalizers"] = [*rest, finalizer] if present else rest
    return changed


class ClaimProtectionController(Loop):
    """PersistentVolumeClaims."""

    name = "pvc-protection-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._claims = self.watch("persistentvolumeclaims")
        self._pods = self.watch("pods", _claim_keys)

    def reconcile(self, key: str) -> float | None:
        """Guard the claim, or let it go."""
        _guard(self, "persistentvolumeclaims", self._claims.get(key), CLAIM_FINALIZER, self._is_used)
        return None

    def _is_used(self, claim: Object) -> bool:
        key, namespace = key_of(claim), namespace_of(claim)
        if any(key in claims_used_by(pod) for pod in self._pods.items(namespace)):
            return True
        return any(key in claims_used_by(pod) for pod in self.client.list("pods", namespace).items)


class VolumeProtectionController(Loop):
    """PersistentVolumes."""

    name = "pv-protection-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._volumes = self.watch("persistentvolumes")

    def reconcile(self, key: str) -> float | None:
        """Guard the volume, or let it go."""
        _guard(self, "persistentvolumes", self._volumes.get(key), VOLUME_FINALIZER, _is_bound)
        return None


class ClassProtectionController(Loop):
    """VolumeAttributesClasses."""

    name = "volumeattributesclass-protection-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._classes = self.watch(_CLASSES)
        self._claims = self.watch("persistentvolumeclaims", classes_of_claim)
        self._volumes = self.watch("persistentvolumes", classes_of_volume)

    def reconcile(self, key: str) -> float | None:
        """Guard the class, or let it go."""
        _guard(self, _CLASSES, self._classes.get(key), CLASS_FINALIZER, self._is_used)
        return None

    def _is_used(self, found: Object) -> bool:
        name = name_of(found)
        seen = (self._claims.items(), self._volumes.items())
        if _have_class(name, *seen):
            return True
        fresh = (self.client.list(kind).items for kind in ("persistentvolumeclaims", "persistentvolumes"))
        return _have_class(name, *fresh)


def _have_class(name: str, claims: Iterable[Object], volumes: Iterable[Object]) -> bool:
    claimed = any(name in classes_of_claim(claim) for claim in claims)
    return claimed or any(name in classes_of_volume(volume) for volume in volumes)


def classes_of_claim(claim: Object) -> list[str]:
    """The classes of attributes that a claim asks for, has, or is on its way to."""
    status = claim.get("status") or {}
    names = (
        claim["spec"].get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return sorted({name for name in names if name})


def classes_of_volume(volume: Object) -> list[str]:
    """The class of attributes that a volume has."""
    name = volume["spec"].get("volumeAttributesClassName")
    return [name] if name else []


def _is_bound(volume: Object) -> bool:
    return (volume.get("status") or {}).get("phase") == "Bound"


def _guard(loop: Loop, resource: str, obj: Object | None, finalizer: str, is_used: Callable[[Object], bool]) -> None:
    """Give an object its finalizer; take it from one that is being deleted once nobody uses it."""
    if obj is None or (is_deleting(obj) and is_used(obj)):
        return
    changed = with_finalizer(obj, finalizer, present=not is_deleting(obj))
    if changed is None:
        return
    try:
        loop.client.update(resource, changed)
    except NotFound:
        return


def _claim_keys(pod: Object) -> Iterable[str]:
    return claims_used_by(pod)
