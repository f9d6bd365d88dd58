"""A client that only watches: at rest its copy of a resource must equal what the store holds.

Invariant: it uses the informer that every component uses, through the same network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation.virtual_runtime import Process

from api.informer import Informer
from api.objects import Object, key_of

if TYPE_CHECKING:
    from simulation.world import World

WATCHED = ("pods", "configmaps", "deployments.apps", "replicasets.apps", "nodes")
PATIENCE_SECONDS = 60.0


class Witness:
    """Informers of the resources that scenarios change, in a process of their own."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._informers: list[Informer] = []
        self._went_back: list[str] = []

    def start(self, process: Process) -> None:
        """Watch until the world ends."""
        client = self._world.client(process.name)
        stop = self._world.runtime.event()
        self._informers = [Informer(client, name, self._world.runtime) for name in WATCHED]
        for informer in self._informers:
            informer.add_handler(self._changed)
            informer.start(stop)
        stop.wait()

    def check(self) -> None:
        """At rest: wait until the copies are those of the store, or say which object differs."""
        self._world.until("watch equals list plus deltas", lambda: not self.differences(), seconds=PATIENCE_SECONDS)
        for difference in self.differences():
            self._world.checks.violated("watch equals list plus deltas", difference)
        for step in self._went_back:
            self._world.checks.violated("a watch never goes back in time", step)

    def differences(self) -> list[str]:
        """What a copy has that the store has not, or otherwise."""
        found = []
        for informer in self._informers:
            plural = informer.resource.plural
            copies = {key_of(obj): _revision(obj) for obj in informer.items()}
            stored = self._world.checks.revisions(plural)
            for key in sorted(copies.keys() | stored.keys()):
                if copies.get(key) != stored.get(key):
                    found.append(f"{plural} {key}: watched at {copies.get(key)}, stored at {stored.get(key)}")
        return found

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if old and new and old["metadata"]["uid"] == new["metadata"]["uid"] and _revision(new) < _revision(old):
            self._went_back.append(f"{key_of(new)} from {_revision(old)} to {_revision(new)}")


def _revision(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])
