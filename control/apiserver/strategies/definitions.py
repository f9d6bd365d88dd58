"""CustomResourceDefinitions: they stay, Terminating, until their objects are gone.

Invariant: a definition that is deleted carries the cleanup finalizer; each version that ever stored objects is in
`status.storedVersions`.
Source: apiextensions-apiserver/pkg/registry/customresourcedefinition/{strategy,etcd}.go.
"""

from __future__ import annotations

from api import objects
from api.custom import definitions
from api.objects import Object
from control.apiserver.operation import Operation
from control.apiserver.strategies.base import Strategy

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


class DefinitionStrategy(Strategy):
    """CustomResourceDefinitions."""

    def prepare_create(self, operation: Operation, obj: Object) -> None:
        super().prepare_create(operation, obj)
        obj["status"] = _with_stored_version(obj, {})

    def prepare_update(self, operation: Operation, new: Object, old: Object) -> None:
        super().prepare_update(operation, new, old)
        new["status"] = _with_stored_version(new, old.get("status") or {})

    def prepare_status_update(self, operation: Operation, new: Object, old: Object) -> None:
        managed = new["metadata"].get("managedFields")
        super().prepare_status_update(operation, new, old)
        # Only the status, and finalizers by way of the cleanup, change here.
        new["metadata"] = dict(old["metadata"])
        if managed is not None:
            new["metadata"]["managedFields"] = managed

    def prepare_delete(self, operation: Operation, obj: Object) -> None:
        metadata = obj["metadata"]
        finalizers = metadata.setdefault("finalizers", [])
        if FINALIZER in finalizers or objects.is_true(obj, "Terminating"):
            return
        finalizers.append(FINALIZER)
        condition = {
            "type": "Terminating",
            "status": "True",
            "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        }
        objects.set_condition(obj.setdefault("status", {}).setdefault("conditions", []), condition, operation.now)

    def may_be_removed(self, obj: Object) -> bool:
        return bool(obj["metadata"].get("deletionTimestamp"))


def _with_stored_version(definition: Object, status: Object) -> Object:
    versions = list(status.get("storedVersions") or [])
    storage = next((one.get("name") for one in definition["spec"].get("versions") or [] if one.get("storage")), None)
    if storage is not None and definitions.version_named(definition, storage) and storage not in versions:
        versions.append(storage)
    empty = {"conditions": [], "acceptedNames": {"plural": "", "kind": ""}}
    return empty | status | {"storedVersions": versions}
