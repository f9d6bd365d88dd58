"""What must hold whatever happens: invariants over every committed revision, and at rest.

The checks read the store itself, not the API, so nothing that the API server does can hide a violation.

Invariant: a violation names its rule, the virtual moment and the objects, and ends the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson
from simulation.virtual_runtime import VirtualRuntime

from api.objects import Object, is_deleting, is_true, key_of, labels_of, uid_of
from api.quantities import parse
from control.kvstore.store import Store, StoreEvent, prefix_end

if TYPE_CHECKING:
    from simulation.world import World

PREFIX = b"/registry/"
HEARTBEATS = ("leases", "events")


class Violation(AssertionError):
    """A rule was broken; the text is the whole report."""


class Checks:
    """Follows the store from its first revision on and holds every rule against every change."""

    def __init__(self, runtime: VirtualRuntime, store: Store) -> None:
        self._runtime = runtime
        self._store = store
        self._objects: dict[str, dict[str, Object]] = defaultdict(dict)
        self._revisions: dict[str, dict[str, int]] = defaultdict(dict)
        self._bound: dict[str, str] = {}
        self._guarded: dict[str, int] = {}
        self.broken: list[str] = []
        self.writes: list[tuple[float, str, str]] = []
        runtime.spawn_in(runtime.root, "checks", self._follow)

    def objects(self, plural: str) -> list[Object]:
        """All committed objects of a resource (`pods`)."""
        return list(self._objects[plural].values())

    def revisions(self, plural: str) -> dict[str, int]:
        """The committed revision of every object of a resource."""
        return self._revisions[plural]

    def guard_availability(self, app: str, fewest: int) -> None:
        """From now on the pods labelled app=`app` that are Ready and stay must never be fewer."""
        self._guarded[app] = fewest

    def wrote(self, client: str, identity: str, lease: str) -> None:
        """Note that a component's write reached the API: only the holder of its Lease may write."""
        spec = self._objects["leases"].get(f"kube-system/{lease}", {}).get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder and holder != identity:
            self.violated("no two leaders act at once", f"{client} wrote while {holder} leads {lease}")

    def violated(self, rule: str, what: str) -> None:
        """Note a broken rule."""
        self.broken.append(f"{rule}: {what} (at {self._runtime.now:.3f} s)")

    def raise_if_broken(self, world: World) -> None:
        """Raise Violation with seed and timeline if a rule was broken or a task failed."""
        failures = [f"task {name} failed:\n{trace}" for name, trace in self._runtime.failures]
        found = self.broken + failures
        if found:
            timeline = "\n".join(world.timeline[-60:])
            raise Violation(f"seed {world.seed}\n" + "\n".join(found) + f"\ntimeline:\n{timeline}")

    def at_rest(self, world: World, quiet_seconds: float = 60.0, within: float = 900.0) -> None:
        """Wait until nothing but heartbeats is written for a while, then hold the rules of rest."""
        began = self._runtime.now
        world.until("rest", lambda: self._quiet_since(began) >= quiet_seconds, seconds=within)
        world.witness.check()
        self._no_orphans()
        self._replicas_as_wanted()
        world.say("at rest")
        self.raise_if_broken(world)

    def idempotent(self, world: World, seconds: float = 60.0) -> None:
        """Restart every control loop at rest: a second look at everything must write nothing."""
        for name in list(world.processes):
            if name.startswith(("scheduler", "controllers")):
                world.crash(name)
                world.restart(name)
        before = len(self.writes)
        world.run(seconds)
        for moment, plural, name in self.writes[before:]:
            self.violated("reconcile is idempotent", f"{plural} {name} was written at {moment:.3f} s")
        self.raise_if_broken(world)

    def _quiet_since(self, began: float) -> float:
        return self._runtime.now - max(began, self.writes[-1][0] if self.writes else 0.0)

    def _follow(self) -> None:
        for batch in self._store.watch(PREFIX, prefix_end(PREFIX), revision=1):
            for event in batch.events:
                self._take(event)

    def _take(self, event: StoreEvent) -> None:
        _, _, _, plural, name = event.current.key.decode().split("/", 4)
        if event.deleted:
            self._objects[plural].pop(name, None)
            self._revisions[plural].pop(name, None)
        else:
            self._objects[plural][name] = orjson.loads(event.current.value)
            self._revisions[plural][name] = event.current.mod_revision
        if plural not in HEARTBEATS and not _only_heartbeat(event, plural):
            self.writes.append((self._runtime.now, plural, name))
        if plural == "pods":
            self._pod_changed(self._objects[plural].get(name))
            self._enough_available()

    def _pod_changed(self, pod: Object | None) -> None:
        if pod is None:
            return
        node = pod["spec"].get("nodeName") or ""
        before = self._bound.setdefault(uid_of(pod), node)
        if before and node != before:
            self.violated("a bound pod is never rebound", f"{key_of(pod)} went from {before} to {node}")
        self._bound[uid_of(pod)] = node
        if node:
            self._not_overcommitted(node)

    def _not_overcommitted(self, name: str) -> None:
        node = self._objects["nodes"].get(name)
        if node is None:
            return
        pods = [pod for pod in self._objects["pods"].values() if pod["spec"].get("nodeName") == name]
        active = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]
        room = node["status"]["allocatable"]
        for resource in ("cpu", "memory"):
            asked = sum(_requests(pod, resource) for pod in active)
            if asked > parse(room[resource]).milli():
                self.violated("no overcommitted node", f"{name}: {resource} {asked}m of {room[resource]}")
        if len(active) > int(room["pods"]):
            self.violated("no overcommitted node", f"{name}: {len(active)} pods of {room['pods']}")

    def _enough_available(self) -> None:
        for app, fewest in self._guarded.items():
            pods = [pod for pod in self.objects("pods") if labels_of(pod).get("app") == app]
            count = sum(1 for pod in pods if is_true(pod, "Ready") and not is_deleting(pod))
            if count < fewest:
                self.violated("never fewer available than maxUnavailable allows", f"{app}: {count} of {fewest}")

    def _everything(self) -> Iterable[tuple[str, Object]]:
        for plural, objects in self._objects.items():
            for obj in objects.values():
                yield plural, obj

    def _no_orphans(self) -> None:
        alive = {uid_of(obj) for _, obj in self._everything()}
        for plural, obj in self._everything():
            owners = obj["metadata"].get("ownerReferences") or []
            if owners and not any(owner["uid"] in alive for owner in owners):
                self.violated("no orphan after its owner is gone", f"{plural} {key_of(obj)}")

    def _replicas_as_wanted(self) -> None:
        for replica_set in self.objects("replicasets"):
            pods = [
                pod
                for pod in self.objects("pods")
                if not is_deleting(pod)
                and any(owner["uid"] == uid_of(replica_set) for owner in pod["metadata"].get("ownerReferences") or [])
                and (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")
            ]
            wanted = replica_set["spec"].get("replicas", 1)
            if len(pods) != wanted:
                self.violated("convergence", f"replicaset {key_of(replica_set)} has {len(pods)} pods of {wanted}")


def _requests(pod: Object, resource: str) -> int:
    containers: list[dict[str, Any]] = pod["spec"]["containers"]
    return sum(
        parse(((container.get("resources") or {}).get("requests") or {}).get(resource, "0")).milli()
        for container in containers
    )


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
