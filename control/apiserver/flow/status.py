"""Tells in each FlowSchema's status whether its priority level exists.

Source: apiserver/pkg/util/flowcontrol/apf_controller.go, condition Dangling.
"""

from __future__ import annotations

from contextlib import suppress

from api import errors, objects
from api.objects import Object
from api.runtime import Event
from api.workqueue import WorkQueue, work
from control.apiserver.cached import CachedObject
from control.apiserver.flow.control import GROUP, LEVELS, SCHEMAS
from control.apiserver.handlers.updating import update_object
from control.apiserver.identity import SERVER
from control.apiserver.operation import UPDATE, Operation
from control.apiserver.server import ApiServer


class FlowController:
    """Looks at a schema after it or any level has changed."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._queue = WorkQueue(server.runtime)
        self._schemas = server.cache.collection(GROUP, SCHEMAS)
        self._levels = server.cache.collection(GROUP, LEVELS)

    def start(self, stop: Event) -> None:
        """Work in a task of its own until `close`."""
        self._schemas.observe(self._schema_changed)
        self._levels.observe(lambda old, new: self._all() if old is None or new is None else None)
        self._server.runtime.spawn("flowschemas", work, self._queue, self.reconcile, stop, "flowschemas")

    def close(self) -> None:
        """Let the worker end."""
        self._queue.stop()

    def _schema_changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        if new is not None:
            self._queue.add(new.key)

    def _all(self) -> None:
        for name in list(self._schemas.objects):
            self._queue.add(name)

    def reconcile(self, name: str) -> float | None:
        """Set one schema's condition."""
        found = self._schemas.objects.get(name)
        if found is None:
            return None
        schema = found.object()
        level = schema["spec"]["priorityLevelConfiguration"]["name"]
        head = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
        wanted = {"type": "Dangling", "status": "False", "reason": "Found", "message": f"{head} and it exists"}
        if level not in self._levels.objects:
            wanted |= {"status": "True", "reason": "NotFound", "message": f"{head} but there is no such object"}
        present = objects.condition(schema, "Dangling") or {}
        if all(present.get(field) == value for field, value in wanted.items()):
            return None

        def changed(current: Object) -> Object:
            conditions = current.setdefault("status", {}).setdefault("conditions", [])
            objects.set_condition(conditions, wanted, self._server.now())
            return current

        endpoint = self._server.endpoint(GROUP, "v1", SCHEMAS)
        operation = Operation(self._server, endpoint, UPDATE, SERVER, name=name, subresource="status")
        with suppress(errors.NotFound):
            update_object(operation, changed)
        return None
