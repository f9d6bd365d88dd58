"""What is peculiar to custom resources when they are written: their definition decides.

Invariant: what is stored has been judged by the schema of the version in which it was sent.
Source: apiextensions-apiserver/pkg/registry/customresource/strategy.go.
"""

from __future__ import annotations

from api import errors
from api.errors import Cause
from api.objects import Object
from control.apiserver.custom.served import CustomVersion
from control.apiserver.operation import CREATE, Operation
from control.apiserver.strategies.base import Strategy


class CustomStrategy(Strategy):
    """The strategy of one version."""

    def __init__(self, version: CustomVersion) -> None:
        self._version = version
        self.has_status = "status" in version.subresources
        self.has_generation = True

    def prepare_create(self, operation: Operation, obj: Object) -> None:
        if self._version.is_terminating:
            raise errors.MethodNotAllowed(
                f"create not allowed while custom resource definition is terminating: {operation.resource.name}"
            )
        super().prepare_create(operation, obj)

    def prepare_update(self, operation: Operation, new: Object, old: Object) -> None:
        if self.has_status:
            super().prepare_update(operation, new, old)
            return
        generation = old["metadata"].get("generation", 1)
        changed = _without_metadata(new) != _without_metadata(old)
        new["metadata"]["generation"] = generation + 1 if changed else generation

    def prepare_status_update(self, operation: Operation, new: Object, old: Object) -> None:
        managed = new["metadata"].get("managedFields")
        super().prepare_status_update(operation, new, old)
        new["metadata"] = dict(old["metadata"])
        if managed is not None:
            new["metadata"]["managedFields"] = managed

    def validate(self, operation: Operation, new: Object, old: Object | None) -> list[Cause]:
        schema = self._version.schema
        if operation.verb == CREATE:
            return schema.validate(new)
        return schema.validate(new, old)


def _without_metadata(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("metadata", "apiVersion")}
