"""Namespace deletion: everything in a namespace that is being deleted goes, then the namespace itself.

Invariant: the finalizer is removed only after a full discovery and an empty list of every resource.
Source: kubernetes pkg/controller/namespace/deletion (conditions, order, retries).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from api.discovery import discover
from api.errors import ApiError, Conflict, MethodNotAllowed, NotFound
from api.loop import Loop
from api.objects import Object, copy, is_deleting, name_of, set_condition
from api.resources import Resource
from api.runtime import timestamp
from control.controllers.context import Context

_FINALIZER = "kubernetes"
_RETRY = 1.0


@dataclass(slots=True)
class Remains:
    """What is still in the namespace: instances a resource, instances a finalizer, and what went wrong."""

    instances: Counter[str] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    undiscovered: list[str] = field(default_factory=list)

    @property
    def none(self) -> bool:
        """Whether the namespace is known to be empty."""
        return not (self.instances or self.errors or self.undiscovered)


def conditions(remains: Remains) -> list[Object]:
    """The conditions of the namespace's status, without times."""
    listed = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(remains.instances.items()))
    waiting = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(remains.finalizers.items()))
    discovery = f"Discovery failed for some groups, {len(remains.undiscovered)} failing: "
    return [
        _condition(
            "NamespaceDeletionDiscoveryFailure",
            discovery + ", ".join(remains.undiscovered) if remains.undiscovered else "",
            ("DiscoveryFailed", "ResourcesDiscovered", "All resources successfully discovered"),
        ),
        _condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            "",
            ("GroupVersionParsingFailed", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        _condition(
            "NamespaceDeletionContentFailure",
            "Failed to delete all resource types, " + ", ".join(remains.errors) if remains.errors else "",
            (
                "ContentDeletionFailed",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
        ),
        _condition(
            "NamespaceContentRemaining",
            f"Some resources are remaining: {listed}" if listed else "",
            ("SomeResourcesRemain", "ContentRemoved", "All content successfully removed"),
        ),
        _condition(
            "NamespaceFinalizersRemaining",
            f"Some content in the namespace has finalizers remaining: {waiting}" if waiting else "",
            ("SomeFinalizersRemain", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ]


def _condition(kind: str, problem: str, words: tuple[str, str, str]) -> Object:
    bad, good, fine = words
    if problem:
        return {"type": kind, "status": "True", "reason": bad, "message": problem}
    return {"type": kind, "status": "False", "reason": good, "message": fine}


class NamespaceController(Loop):
    """The shell."""

    name = "namespace-controller"
    workers = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._namespaces = self.watch("namespaces")

    def reconcile(self, key: str) -> float | None:
        """Empty and finalize the namespace if it is being deleted."""
        namespace = self._namespaces.get(key)
        if namespace is None or not is_deleting(namespace):
            return None
        if _FINALIZER not in ((namespace.get("spec") or {}).get("finalizers") or []):
            return None
        remains = self._empty(name_of(namespace))
        try:
            if remains.none:
                self._finalize(namespace)
                return None
            self._report(namespace, remains)
        except NotFound:
            return None
        except Conflict:
            return 0.05
        return _RETRY

    def _empty(self, namespace: str) -> Remains:
        discovery = discover(self.client)
        remains = Remains(undiscovered=[f"{name}: {why}" for name, why in discovery.failed.items()])
        deletable = [one for one in discovery.with_verbs("list", "delete") if one.namespaced]
        # What pods rely on (policies, claims, accounts) stays until the last of them is gone.
        deletable.sort(key=lambda one: (one.name != "pods", one.name))
        for resource in deletable:
            try:
                self._delete_all(resource, namespace, remains)
            except (MethodNotAllowed, NotFound):
                continue
            except ApiError as error:
                remains.errors.append(f"{resource.name}: {error.message}")
            if resource.name == "pods" and (remains.instances or remains.errors):
                break
        return remains

    def _delete_all(self, resource: Resource, namespace: str, remains: Remains) -> None:
        for obj in self.client.list(resource, namespace).items:
            if not is_deleting(obj):
                try:
                    self.client.delete(resource, name_of(obj), namespace, propagation="Background")
                except NotFound:
                    continue
        for obj in self.client.list(resource, namespace).items:
            # The original names the resource with a dot before its group, also where that is empty.
            remains.instances[f"{resource.plural}.{resource.group}"] += 1
            for finalizer in obj["metadata"].get("finalizers") or []:
                remains.finalizers[finalizer] += 1

    def _report(self, namespace: Object, remains: Remains) -> None:
        changed = copy(namespace)
        status = changed.setdefault("status", {})
        status["phase"] = "Terminating"
        present = status.setdefault("conditions", [])
        now = timestamp(self.runtime.time())
        moved = [set_condition(present, one, now) for one in conditions(remains)]
        if any(moved):
            self.client.update_status("namespaces", changed)

    def _finalize(self, namespace: Object) -> None:
        changed = copy(namespace)
        changed["spec"]["finalizers"] = [one for one in changed["spec"]["finalizers"] if one != _FINALIZER]
        self.client.update("namespaces", changed, subresource="finalize")
