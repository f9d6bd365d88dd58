"""A client that only watches, and holds every event against what the store committed.

Each list must be the state of the revision that it claims, and each watch must bring exactly the changes after its
start, once and in order: no gap, no repetition, no step back, and no bookmark ahead of an event.

Invariant: it uses the client that every component uses, through the same network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulation import rules
from simulation.history import Change
from simulation.virtual_runtime import Process

from api import errors
from api.client import Client, WatchEvent
from api.objects import Object, key_of, labels_of
from api.resources import find
from api.transport import TransportError

if TYPE_CHECKING:
    from simulation.world import World

PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Scope:
    """What is watched: a resource, and the selectors with what they mean."""

    resource: str
    label_selector: str = ""
    field_selector: str = ""
    means: Callable[[Object], bool] = lambda obj: True


def _on_first_node(pod: Object) -> bool:
    return bool(pod["spec"].get("nodeName") == "node0-0")


def _of_web(pod: Object) -> bool:
    return labels_of(pod).get("app") == "web"


SCOPES = (
    Scope("pods"),
    Scope("pods", field_selector="spec.nodeName=node0-0", means=_on_first_node),
    Scope("pods", label_selector="app=web", means=_of_web),
    Scope("configmaps"),
    Scope("deployments.apps"),
    Scope("nodes"),
)


class Witness:
    """One follower for each scope, in a process of their own."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._followers: list[_Follower] = []

    def start(self, process: Process) -> None:
        """Watch until the world ends."""
        runtime = self._world.runtime
        self._followers = [_Follower(self._world, self._world.client(process.name), scope) for scope in SCOPES]
        for follower in self._followers:
            runtime.spawn(f"follow-{follower.scope.resource}", follower.run)
        runtime.event().wait()

    def check(self) -> None:
        """At rest: wait until the copies are those of the store, or say which object differs."""
        self._world.runtime.run(lambda: not self._differences(), seconds=PATIENCE_SECONDS)
        self._world.checks.hold(rules.WATCH, self._differences())

    def _differences(self) -> list[str]:
        return [difference for follower in self._followers for difference in follower.differences()]


class _Follower:
    """Lists and watches one scope for ever."""

    def __init__(self, world: World, client: Client, scope: Scope) -> None:
        self.scope = scope
        self._world = world
        self._client = client
        self._resource = find(scope.resource)
        self._plural = self._resource.plural
        self._copy: dict[str, int] = {}
        self._revision = 0

    def run(self) -> None:
        """List where a watch cannot go on, else watch."""
        while True:
            try:
                if not self._revision:
                    self._list()
                self._watch()
            except errors.Expired:
                self._revision = 0
            except (errors.ApiError, TransportError) as error:
                # Too many ways to fail to tell apart: what matters is what arrives.
                if not isinstance(error, TransportError):
                    self._revision = 0
            self._world.runtime.sleep(_PAUSE_SECONDS)

    def differences(self) -> Iterator[str]:
        """What the copy has that the store has not, or otherwise."""
        history = self._world.checks.history
        stored = {
            name: revision
            for name, revision in history.revisions(self._plural).items()
            if self.scope.means(history.get(self._plural, name) or {})
        }
        for name in sorted(self._copy.keys() | stored.keys()):
            if self._copy.get(name) != stored.get(name):
                yield f"{self._plural} {name}: watched at {self._copy.get(name)}, stored at {stored.get(name)}"

    def _list(self) -> None:
        page = self._client.list(
            self._resource, label_selector=self.scope.label_selector, field_selector=self.scope.field_selector
        )
        self._copy = {key_of(obj): _revision(obj) for obj in page.items}
        self._revision = int(page.resource_version)
        expected = {}
        for change in self._world.checks.history.changes[self._plural]:
            if change.revision > self._revision:
                break
            expected.pop(change.name, None)
            if change.new is not None and self.scope.means(change.new):
                expected[change.name] = change.revision
        wrong = f"the list of {self._plural} at {self._revision} has {self._copy}, not {expected}"
        self._world.checks.hold(rules.WATCH, [wrong] if self._copy != expected else ())

    def _watch(self) -> None:
        watch = self._client.watch(
            self._resource,
            resource_version=str(self._revision),
            label_selector=self.scope.label_selector,
            field_selector=self.scope.field_selector,
            timeout_seconds=300,
            read_timeout=90,
        )
        position, start = 0, self._revision
        try:
            for event in watch:
                if event.type == "ERROR":
                    raise errors.from_status(int(event.object.get("code") or 500), event.object)
                position = self._compare(event, position, start)
        finally:
            watch.close()

    def _compare(self, event: WatchEvent, position: int, start: int) -> int:
        """Hold one event against the next change of the history; the position behind it."""
        changes = self._world.checks.history.changes[self._plural]
        position, due = self._next_due(changes, position, start)
        revision = _revision(event.object)
        if event.type == "BOOKMARK":
            early = due is not None and due[2] <= revision
            self._hold(f"a bookmark at {revision} came before {due}", early)
            self._revision = revision
            return position
        seen = (event.type, key_of(event.object), revision)
        self._hold(f"{seen} came where {due} was due, watching from {start}", seen != due)
        if event.type == "DELETED":
            self._copy.pop(seen[1], None)
        else:
            self._copy[seen[1]] = revision
        self._revision = revision
        return position + 1

    def _next_due(self, changes: list[Change], position: int, start: int) -> tuple[int, tuple[str, str, int] | None]:
        """Skip the changes that are not of this scope; (position, what must come next)."""
        while position < len(changes):
            change = changes[position]
            before = change.old is not None and self.scope.means(change.old)
            after = change.new is not None and self.scope.means(change.new)
            if change.revision > start and (before or after):
                kind = ("MODIFIED" if before else "ADDED") if after else "DELETED"
                return position, (kind, change.name, change.revision)
            position += 1
        return position, None

    def _hold(self, sentence: str, broken: bool) -> None:
        self._world.checks.hold(rules.WATCH, [f"{self._plural}: {sentence}"] if broken else ())


def _revision(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])
