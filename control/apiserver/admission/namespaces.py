"""NamespaceLifecycle: objects are created in namespaces that exist and are not going away.

Invariant: the namespaces that the cluster cannot do without are never deleted; after a deletion was answered, the same
server creates nothing in that namespace.
Source: plugin/pkg/admission/namespace/lifecycle.
"""

from __future__ import annotations

from api import errors
from api.errors import Cause
from api.objects import Object
from control.apiserver.admission.common import forbidden, is_for
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.cache import Cache
from control.apiserver.cached import CachedObject
from control.apiserver.operation import CREATE, DELETE, Operation

_LOOK_AGAIN_SECONDS = 30.0

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle(PluginBase):
    """Keeps the phase of every namespace at hand."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._phases: dict[str, str] = {}
        self._ending: dict[str, float] = {}
        cache.collection("", "namespaces").observe(self._changed)

    def _changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        if new is not None:
            self._phases[new.key] = new.fields["status.phase"]
        elif old is not None:
            self._phases.pop(old.key, None)
            self._ending.pop(old.key, None)

    def handles(self, operation: Operation) -> bool:
        if operation.verb == CREATE:
            return operation.resource.namespaced
        return operation.verb == DELETE and is_for(operation, "", "namespaces")

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        if operation.verb == CREATE:
            self._check(operation)
        return new

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        if operation.verb != DELETE:
            return
        if operation.name in IMMORTAL:
            raise forbidden(operation, "this namespace may not be deleted")
        self._ending[operation.name] = operation.server.runtime.monotonic() + _LOOK_AGAIN_SECONDS

    def _check(self, operation: Operation) -> None:
        name = operation.namespace
        if name not in self._phases or self._may_have_ended(operation, name):
            self._cache.catch_up()
        phase = self._phases.get(name)
        if phase is None:
            raise errors.not_found("namespaces", "", name)
        if phase == "Terminating":
            cause = Cause("NamespaceTerminating", f"namespace {name} is being terminated", "metadata.namespace")
            why = f"unable to create new content in namespace {name} because it is being terminated"
            raise forbidden(operation, why, [cause])

    def _may_have_ended(self, operation: Operation, name: str) -> bool:
        """Whether somebody has lately asked here for the end of a namespace that still looks alive."""
        until = self._ending.get(name)
        if until is None:
            return False
        if self._phases.get(name) == "Active" and operation.server.runtime.monotonic() < until:
            return True
        self._ending.pop(name, None)
        return False
