"""Namespaces: they stay, Terminating, until their finalizers say that their content is gone.

Invariant: a namespace leaves the store only when `spec.finalizers` is empty.
Source: pkg/registry/core/namespace/strategy.go and storage/storage.go.
"""

from __future__ import annotations

from api.objects import Object
from control.apiserver.operation import Operation
from control.apiserver.strategies.base import Strategy


class NamespaceStrategy(Strategy):
    """Namespaces."""

    def prepare_create(self, operation: Operation, obj: Object) -> None:
        super().prepare_create(operation, obj)
        finalizers = (obj.get("spec") or {}).get("finalizers") or []
        obj["spec"] = {"finalizers": list(dict.fromkeys([*finalizers, "kubernetes"]))}
        obj["status"] = {"phase": "Active"}
        _set_label(obj)

    def prepare_update(self, operation: Operation, new: Object, old: Object) -> None:
        super().prepare_update(operation, new, old)
        new["spec"] = old.get("spec") or {}
        _set_label(new)

    def prepare_subresource_update(self, operation: Operation, new: Object, old: Object) -> None:
        new["status"] = old.get("status") or {}

    def prepare_delete(self, operation: Operation, obj: Object) -> None:
        obj["status"] = (obj.get("status") or {}) | {"phase": "Terminating"}
        obj["metadata"].pop("deletionGracePeriodSeconds", None)

    def may_be_removed(self, obj: Object) -> bool:
        return not (obj.get("spec") or {}).get("finalizers")


def _set_label(obj: Object) -> None:
    """The label by which selectors name a namespace."""
    metadata = obj["metadata"]
    metadata["labels"] = (metadata.get("labels") or {}) | {"kubernetes.io/metadata.name": metadata["name"]}
