"""PVC and PV protection: a claim in use by a pod, and a volume bound to a claim, are not removed under them.

Invariant: the finalizer goes only when nobody uses the object by the server's own, fresh list.
Source: kubernetes pkg/controller/volume/pvcprotection and pvprotection.
"""

from __future__ import annotations

from collections.abc import Iterable

from api.errors import NotFound
from api.loop import Loop
from api.objects import Object, copy, is_deleting, namespace_of
from api.volumes import claim_keys
from control.controllers.context import Context
from control.controllers.pods import phase_of

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"


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
        claim = self._claims.get(key)
        if claim is None:
            return None
        changed = None
        if not is_deleting(claim):
            changed = with_finalizer(claim, CLAIM_FINALIZER, present=True)
        elif not self._used(key, namespace_of(claim)):
            changed = with_finalizer(claim, CLAIM_FINALIZER, present=False)
        _store(self, "persistentvolumeclaims", changed)
        return None

    def _used(self, key: str, namespace: str) -> bool:
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
        volume = self._volumes.get(key)
        if volume is None:
            return None
        bound = (volume.get("status") or {}).get("phase") == "Bound"
        changed = None
        if not is_deleting(volume):
            changed = with_finalizer(volume, VOLUME_FINALIZER, present=True)
        elif not bound:
            changed = with_finalizer(volume, VOLUME_FINALIZER, present=False)
        _store(self, "persistentvolumes", changed)
        return None


def _store(loop: Loop, resource: str, changed: Object | None) -> None:
    if changed is None:
        return
    try:
        loop.client.update(resource, changed)
    except NotFound:
        return


def _claim_keys(pod: Object) -> Iterable[str]:
    return claims_used_by(pod)
