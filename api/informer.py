"""A local copy of one resource, kept true by list and watch, that calls back with keys.

Consumers read `get`/`items` and are told which key changed; they never act on the event's content. After any
break the copy is rebuilt from a list, so nothing depends on having seen every event.

Invariant: a handler is called after the copy shows the change, and always with (old, new), at most one None.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from api import errors
from api.client import Client, Watch
from api.objects import Object, key_of, namespace_of
from api.resources import Resource, find
from api.runtime import Event, Runtime
from api.transport import TransportError

log = logging.getLogger(__name__)

Handler = Callable[[Object | None, Object | None], None]
IndexFunction = Callable[[Object], Iterable[str]]

_LONGEST_PAUSE = 30.0
# The server sends a bookmark about every minute: a stream that is silent for longer has lost its other end.
_LONGEST_SILENCE = 120.0


class Informer:
    """List, then watch, for ever. Objects handed out are shared: copy before changing one."""

    def __init__(
        self,
        client: Client,
        resource: Resource | str,
        runtime: Runtime,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> None:
        self.resource = find(resource) if isinstance(resource, str) else resource
        self._client = client
        self._runtime = runtime
        self._scope: dict[str, Any] = {
            "namespace": namespace,
            "label_selector": label_selector,
            "field_selector": field_selector,
        }
        self._objects: dict[str, Object] = {}
        self._indexers: dict[str, IndexFunction] = {}
        self._indices: dict[str, dict[str, dict[str, Object]]] = {}
        self._handlers: list[Handler] = []
        self._synced = runtime.event()
        self._lock = runtime.lock()
        self._watch: Watch | None = None
        self.resource_version = ""

    def add_handler(self, handler: Handler) -> None:
        """Call `handler(old, new)` after each change; called for what is already there, too."""
        with self._lock:
            self._handlers.append(handler)
            present = list(self._objects.values())
        for obj in present:
            handler(None, obj)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Keep objects findable by the values that `function` gives for them."""
        with self._lock:
            self._indexers[name] = function
            self._indices[name] = {}
            for key, obj in self._objects.items():
                for value in function(obj):
                    self._indices[name].setdefault(value, {})[key] = obj

    def get(self, key: str) -> Object | None:
        """The object of that key (`namespace/name`), or None."""
        return self._objects.get(key)

    def items(self, namespace: str = "") -> list[Object]:
        """All objects, or those of one namespace."""
        objects = list(self._objects.values())
        return [obj for obj in objects if namespace_of(obj) == namespace] if namespace else objects

    def by_index(self, name: str, value: str) -> list[Object]:
        """Objects for which the index function gave `value`."""
        with self._lock:
            return list(self._indices[name].get(value, {}).values())

    def synced(self) -> bool:
        """Whether the first list is in."""
        return self._synced.is_set()

    def wait_synced(self, timeout: float | None = None) -> bool:
        """Wait for the first list; whether it came."""
        return self._synced.wait(timeout)

    def start(self, stop: Event) -> None:
        """Run in a task of its own until `stop` is set and `close` called."""
        self._runtime.spawn(f"informer-{self.resource.name}", self.run, stop)

    def close(self) -> None:
        """Break a watch that waits for events, so that a stopped informer ends at once."""
        watch = self._watch
        if watch is not None:
            watch.close()

    def run(self, stop: Event) -> None:
        """List and watch until `stop`; failures are retried with growing pauses and said once each."""
        failures = 0
        while not stop.is_set():
            try:
                if not self.resource_version:
                    self._list()
                self._follow(stop)
                failures = 0
            except errors.Expired:
                self.resource_version = ""
            except (errors.ApiError, TransportError) as error:
                if stop.is_set():
                    return
                failures += 1
                pause = min(_LONGEST_PAUSE, 0.1 * 2 ** min(failures, 10)) * self._runtime.random().uniform(0.5, 1.0)
                log.warning("watching %s failed, trying again in %.1f s: %s", self.resource.name, pause, error)
                if not isinstance(error, TransportError):
                    self.resource_version = ""
                stop.wait(pause)

    def _list(self) -> None:
        page = self._client.list(self.resource, **self._scope)
        fresh = {key_of(obj): obj for obj in page.items}
        gone = [obj for key, obj in self._objects.items() if key not in fresh]
        for obj in gone:
            self._change(obj, None)
        for obj in fresh.values():
            old = self._objects.get(key_of(obj))
            if old is None or old["metadata"].get("resourceVersion") != obj["metadata"].get("resourceVersion"):
                self._change(old, obj)
        self.resource_version = page.resource_version
        self._synced.set()

    def _follow(self, stop: Event) -> None:
        seconds = int(self._runtime.random().uniform(300, 600))
        self._watch = watch = self._client.watch(
            self.resource,
            resource_version=self.resource_version,
            timeout_seconds=seconds,
            read_timeout=_LONGEST_SILENCE,
            **self._scope,
        )
        try:
            for event in watch:
                if stop.is_set():
                    return
                self._take(event.type, event.object)
        finally:
            self._watch = None
            watch.close()

    def _take(self, kind: str, obj: Object) -> None:
        if kind == "ERROR":
            raise errors.from_status(int(obj.get("code") or 500), obj)
        if kind != "BOOKMARK":
            old = self._objects.get(key_of(obj))
            if kind == "DELETED":
                self._change(old or obj, None)
            else:
                self._change(old, obj)
        self.resource_version = obj["metadata"]["resourceVersion"]

    def _change(self, old: Object | None, new: Object | None) -> None:
        key = key_of(new or old or {})
        if new is not None:
            # A third of an object's memory, which no loop reads; an update without them leaves them as they are.
            new["metadata"].pop("managedFields", None)
        with self._lock:
            if new is None:
                self._objects.pop(key, None)
            else:
                self._objects[key] = new
            for name, function in self._indexers.items():
                index = self._indices[name]
                for value in function(old) if old else ():
                    held = index.get(value, {})
                    held.pop(key, None)
                    if not held:
                        index.pop(value, None)
                for value in function(new) if new else ():
                    index.setdefault(value, {})[key] = new or {}
            handlers = list(self._handlers)
        for handler in handlers:
            handler(old, new)
