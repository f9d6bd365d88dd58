"""The shell that all controllers share: keys in a queue, workers that reconcile them, informers to read from.

Invariant: a key is reconciled by one worker at a time, and again after anything it watches has changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from api.client import Client
from api.events import EventRecorder
from api.informer import Informer
from api.informers import Informers
from api.objects import Object, controller_of, key_of, namespace_of
from api.resources import Resource
from api.runtime import Event, Runtime
from api.workqueue import WorkQueue, work

log = logging.getLogger(__name__)

Keys = Callable[[Object], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every loop is made from: the API, time, and the informers it shares with other loops."""

    client: Client
    runtime: Runtime
    informers: Informers


class Loop:
    """A controller. Subclasses watch resources in their constructor and implement `reconcile`."""

    name: ClassVar[str]
    workers: ClassVar[int] = 4

    def __init__(self, context: Surroundings) -> None:
        self.client = context.client
        self.runtime = context.runtime
        self.informers = context.informers
        self.queue = WorkQueue(context.runtime)
        self.events = EventRecorder(context.client, context.runtime, self.name)

    def reconcile(self, key: str) -> float | None:
        """Make the object of that key so; seconds after which to look again, or None."""
        raise NotImplementedError

    def start(self, stop: Event) -> None:
        """Start the workers; all informers are in sync. They end with `close`."""
        self.events.start()
        for _ in range(self.workers):
            self.runtime.spawn(self.name, work, self.queue, self.reconcile, stop, self.name)

    def close(self) -> None:
        """Let the workers end."""
        self.queue.stop()
        self.events.close()

    def watch(self, resource: Resource | str, keys: Keys = lambda obj: (key_of(obj),)) -> Informer:
        """The informer of a resource; a change adds the keys of the old and of the new state."""
        informer = self.informers.of(resource)

        def on_change(old: Object | None, new: Object | None) -> None:
            found = set(keys(old)) if old else set()
            if new:
                found.update(keys(new))
            for key in found:
                self.queue.add(key)

        informer.add_handler(on_change)
        return informer


def owner_keys(kind: str, group: str = "") -> Keys:
    """Keys of the controlling owner, if it is of that kind and API group."""

    def keys(obj: Object) -> Iterable[str]:
        owner = controller_of(obj)
        if owner is None or owner["kind"] != kind or owner["apiVersion"].rpartition("/")[0] != group:
            return ()
        return (f"{namespace_of(obj)}/{owner['name']}",)

    return keys


class Loops:
    """A term of several loops over one set of informers: none acts before everything it looks at is in sync."""

    def __init__(self, informers: Informers, loops: Sequence[Loop]) -> None:
        self._informers = informers
        self._loops = loops

    def unsynced(self) -> list[str]:
        """The resources whose first list is not in yet."""
        return self._informers.unsynced()

    def run(self, stop: Event) -> None:
        """Work until `stop`."""
        self._informers.start(stop)
        if self._informers.wait_synced(stop):
            for loop in self._loops:
                loop.start(stop)
            log.info("%d control loops run", len(self._loops))
            stop.wait()
        for loop in self._loops:
            loop.close()
        self._informers.close()
