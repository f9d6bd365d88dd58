"""One informer a resource, shared by all loops of a process.

Invariant: a resource is listed and watched at most once, however many loops read it.
"""

from __future__ import annotations

from api.client import Client
from api.informer import Informer
from api.resources import Resource, find
from api.runtime import Event, Runtime


class Informers:
    """Makes informers on first use, and starts, awaits and stops them together."""

    def __init__(self, client: Client, runtime: Runtime) -> None:
        self._client = client
        self._runtime = runtime
        self._informers: dict[Resource, Informer] = {}
        self._running: set[Resource] = set()

    def of(self, resource: Resource | str) -> Informer:
        """The informer of that resource in all namespaces; `start` runs it."""
        found = find(resource) if isinstance(resource, str) else resource
        if found not in self._informers:
            self._informers[found] = Informer(self._client, found, self._runtime)
        return self._informers[found]

    def start(self, stop: Event) -> None:
        """Run those not running yet until `stop` is set and `close` called."""
        for resource, informer in list(self._informers.items()):
            if resource not in self._running:
                self._running.add(resource)
                informer.start(stop)

    def unsynced(self) -> list[str]:
        """The resources whose first list is not in yet."""
        return sorted(resource.name for resource, informer in self._informers.items() if not informer.synced())

    def wait_synced(self, stop: Event) -> bool:
        """Wait for every first list; False if `stop` came first."""
        while self.unsynced():
            if stop.wait(0.02):
                return False
        return True

    def close(self) -> None:
        """Break the open watches, so that stopped informers end at once."""
        for informer in self._informers.values():
            informer.close()
