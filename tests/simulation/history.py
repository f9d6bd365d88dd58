"""Every committed revision in order, as the store itself tells it: what all rules are held against.

Invariant: read from the store, not from the API, so nothing that the API server does can hide a violation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import orjson
from simulation.virtual_runtime import VirtualRuntime

from api.objects import Object, controller_of, uid_of
from control.kvstore.store import Store, StoreEvent, prefix_end

PREFIX = b"/registry/"
_HEARTBEATS = ("leases", "events")


@dataclass(frozen=True, slots=True)
class Change:
    """One object that became something else, came (`old` is None) or went (`new` is None) at a revision."""

    revision: int
    moment: float
    plural: str
    name: str
    old: Object | None
    new: Object | None


class History:
    """What was committed, and what is there now. `follow` runs for ever in a task."""

    def __init__(self, runtime: VirtualRuntime, store: Store) -> None:
        self._runtime = runtime
        self._store = store
        self._objects: dict[str, dict[str, Object]] = defaultdict(dict)
        self._revisions: dict[str, dict[str, int]] = defaultdict(dict)
        self.changes: dict[str, list[Change]] = defaultdict(list)
        self.committed: set[int] = set()
        self.writes: list[Change] = []

    def objects(self, plural: str) -> list[Object]:
        """All committed objects of a resource (`pods`)."""
        return list(self._objects[plural].values())

    def get(self, plural: str, name: str) -> Object | None:
        """One object by `namespace/name`, or by its name if it has no namespace."""
        return self._objects[plural].get(name)

    def revisions(self, plural: str) -> dict[str, int]:
        """The committed revision of every object of a resource."""
        return self._revisions[plural]

    def everything(self) -> Iterator[tuple[str, Object]]:
        """Every committed object with its plural."""
        for plural, objects in self._objects.items():
            for obj in objects.values():
                yield plural, obj

    def owned(self, plural: str, owner: Object) -> list[Object]:
        """The objects of a resource that `owner` controls."""
        return [one for one in self.objects(plural) if (controller_of(one) or {}).get("uid") == uid_of(owner)]

    def follow(self) -> Iterator[Change]:
        """Every change, each after it shows in `objects`."""
        for batch in self._store.watch(PREFIX, prefix_end(PREFIX), revision=1):
            for event in batch.events:
                yield self._take(event)

    def _take(self, event: StoreEvent) -> Change:
        _, _, _, plural, name = event.current.key.decode().split("/", 4)
        revision, new = event.current.mod_revision, None
        objects, revisions = self._objects[plural], self._revisions[plural]
        if not event.deleted:
            new = orjson.loads(event.current.value)
        change = Change(revision, self._runtime.now, plural, name, objects.get(name), new)
        if new is None:
            objects.pop(name, None)
            revisions.pop(name, None)
        else:
            objects[name] = new
            revisions[name] = revision
        self.committed.add(revision)
        self.changes[plural].append(change)
        if plural not in _HEARTBEATS and not _only_heartbeat(event, plural):
            self.writes.append(change)
        return change


def names_of(changes: Iterable[Change]) -> str:
    """A few words about changes, for a report."""
    return ", ".join(f"{one.plural} {one.name}" for one in changes)


def _only_heartbeat(event: StoreEvent, plural: str) -> bool:
    """Whether a Node changed in nothing but its heartbeat times."""
    if plural != "nodes" or event.deleted or event.previous is None:
        return False
    return _without_heartbeats(event.current.value) == _without_heartbeats(event.previous.value)


def _without_heartbeats(text: bytes) -> Object:
    node: Object = orjson.loads(text)
    node["metadata"].pop("managedFields", None)
    for condition in (node.get("status") or {}).get("conditions") or []:
        condition.pop("lastHeartbeatTime", None)
    return node
