"""PersistentVolumeClaimResize: a claim grows only where its class says that its volumes can.

Invariant: nothing but a bound claim is seen here; the others may not change what they ask for.
Source: plugin/pkg/admission/storage/persistentvolume/resize.
"""

from __future__ import annotations

from api.objects import Object
from api.quantities import Quantity, parse
from control.apiserver.admission.common import forbidden, is_for
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.cache import Cache
from control.apiserver.operation import UPDATE, Operation

_CANNOT = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
)


class ClaimSizes(PluginBase):
    """Looks at claims that ask for more than before."""

    def __init__(self, cache: Cache) -> None:
        self._classes = cache.collection("storage.k8s.io", "storageclasses")

    def handles(self, operation: Operation) -> bool:
        return operation.verb == UPDATE and is_for(operation, "", "persistentvolumeclaims")

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        if old is None or _asked(new) <= _asked(old):
            return
        name, before = (obj["spec"].get("storageClassName") for obj in (new, old))
        found = self._classes.objects.get(name) if name and name == before else None
        if found is None or not found.object().get("allowVolumeExpansion"):
            raise forbidden(operation, _CANNOT)


def _asked(claim: Object) -> Quantity:
    return parse(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", 0))
