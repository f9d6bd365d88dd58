"""StorageObjectInUseProtection: claims, volumes and classes of attributes have their finalizers from the beginning.

Invariant: none of them is ever stored that could be removed under its users.
Source: plugin/pkg/admission/storage/storageobjectinuseprotection.
"""

from __future__ import annotations

from api.objects import Object
from control.apiserver.admission.common import is_for
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.operation import CREATE, Operation

_FINALIZERS = {
    ("", "persistentvolumeclaims"): "kubernetes.io/pvc-protection",
    ("", "persistentvolumes"): "kubernetes.io/pv-protection",
    ("storage.k8s.io", "volumeattributesclasses"): "kubernetes.io/vac-protection",
}


class StorageProtection(PluginBase):
    """What pods, claims and volumes use has its finalizer from the beginning."""

    def handles(self, operation: Operation) -> bool:
        return operation.verb == CREATE and any(is_for(operation, *kind) for kind in _FINALIZERS)

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        finalizer = _FINALIZERS[operation.resource.group, operation.resource.plural]
        present = new["metadata"].get("finalizers") or []
        if finalizer not in present:
            new["metadata"]["finalizers"] = [*present, finalizer]
        return new
