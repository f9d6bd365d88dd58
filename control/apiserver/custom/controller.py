"""Settles the status of definitions: names, conditions, and the end of their objects when they are deleted.

Invariant: decides by level; a definition leaves only after the last of its objects has left.
Source: apiextensions-apiserver/pkg/controller/{status,establish,finalizer,nonstructuralschema}.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from api import errors, objects
from api.custom import definitions
from api.objects import Object
from api.runtime import Event
from api.workqueue import WorkQueue, work
from control.apiserver.cached import CachedObject
from control.apiserver.custom.catalog import GROUP, PLURAL
from control.apiserver.handlers.deleting import DeleteOptions, delete_object
from control.apiserver.handlers.updating import update_object
from control.apiserver.identity import SERVER
from control.apiserver.operation import DELETE, UPDATE, Operation
from control.apiserver.server import ApiServer
from control.apiserver.strategies.definitions import FINALIZER

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0


class DefinitionController:
    """Looks at each definition after any of them has changed."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._queue = WorkQueue(server.runtime)
        self._collection = server.cache.collection(GROUP, PLURAL)

    def start(self, stop: Event) -> None:
        """Work in a task of its own until `close`."""
        self._collection.observe(self._changed)
        self._server.runtime.spawn("definitions", work, self._queue, self.reconcile, stop, "definitions")

    def close(self) -> None:
        """Let the worker end."""
        self._queue.stop()

    def _changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        # Names that one definition gives up may be what another waits for.
        for name in list(self._collection.objects) if new is None else [new.key]:
            self._queue.add(name)

    def reconcile(self, name: str) -> float | None:
        """Settle one definition; seconds after which to look again."""
        found = self._collection.objects.get(name)
        if found is None:
            return None
        definition = found.object()
        if objects.is_deleting(definition):
            return self._clean(definition)
        others = [one.object() for one in self._collection.select("")]

        def settled(current: Object) -> Object:
            return current | {"status": definitions.status(current, others, self._server.now())}

        if settled(definition).get("status") != definition.get("status"):
            with suppress(errors.NotFound):
                update_object(self._operation(name, UPDATE), settled)
        return None

    def _operation(self, name: str, verb: str, subresource: str = "status") -> Operation:
        endpoint = self._server.endpoint(GROUP, "v1", PLURAL)
        return Operation(self._server, endpoint, verb, SERVER, name=name, subresource=subresource)

    def _clean(self, definition: Object) -> float | None:
        name = objects.name_of(definition)
        if FINALIZER not in (definition["metadata"].get("finalizers") or []):
            return None
        left = self._delete_all(definition) if objects.is_true(definition, "Established") else 0
        if left:
            message = "CustomResource deletion is in progress"
            self._set_terminating(name, "True", "InstanceDeletionInProgress", message)
            return _AGAIN_SECONDS
        self._set_terminating(name, "False", "InstanceDeletionCompleted", "removed all instances")

        def finished(current: Object) -> Object:
            kept = [one for one in current["metadata"].get("finalizers") or [] if one != FINALIZER]
            return current | {"metadata": current["metadata"] | {"finalizers": kept}}

        with suppress(errors.NotFound):
            update_object(self._operation(name, UPDATE, ""), finished)
        return None

    def _set_terminating(self, name: str, status: str, reason: str, message: str) -> None:
        def changed(current: Object) -> Object:
            conditions = (current.get("status") or {}).setdefault("conditions", [])
            condition = {"type": "Terminating", "status": status, "reason": reason, "message": message}
            objects.set_condition(conditions, condition, self._server.now())
            return current

        with suppress(errors.NotFound):
            update_object(self._operation(name, UPDATE), changed)

    def _delete_all(self, definition: Object) -> int:
        """Delete every object; how many there were."""
        spec = definition["spec"]
        endpoint = self._server.endpoint(spec["group"], definitions.first_served(definition), spec["names"]["plural"])
        self._server.cache.catch_up()
        present = endpoint.collection.select("")
        for found in present:
            namespace, name = found.fields["metadata.namespace"], found.fields["metadata.name"]
            operation = Operation(self._server, endpoint, DELETE, SERVER, namespace, name)
            with suppress(errors.NotFound):
                delete_object(operation, DeleteOptions(propagation="Background"))
        return len(present)
