"""Garbage collector: follows owner references over every resource that the server can list.

The informers' indices are the graph: by owner UID one finds dependents, by UID the object itself.

A resource that cannot be listed (its conversion webhook is gone, say) holds up the others for `_PATIENCE` only.

Invariant: an owner counts as absent only after the server itself said so, and dependents are let go only when all of
them are seen: those that were overlooked would be collected later.
Source: kubernetes pkg/controller/garbagecollector.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from api.client import MERGE_PATCH
from api.discovery import discover
from api.errors import Conflict, NotFound
from api.informer import Informer
from api.loop import Loop
from api.objects import Object, is_deleting, key_of, name_of, namespace_of, uid_of
from api.resources import Resource
from api.runtime import Event
from control.controllers import garbage
from control.controllers.context import Context
from control.controllers.garbage import OwnerState

log = logging.getLogger(__name__)

# Nobody owns anything through these, and they change all the time.
_IGNORED = frozenset({"events", "events.events.k8s.io"})
_REDISCOVER = 30.0
_PATIENCE = 30.0
_LOOK_AGAIN = 0.2
_DISCOVER = ""
_REMEMBERED_ABSENT = 4096
_INDEX = "owner-uids"


class GarbageCollector(Loop):
    """The shell. Keys are `resource key`; the empty key asks what there is to follow.

    Keys that come while some resource is not listed yet are held until it is.
    """

    name = "garbage-collector-controller"
    workers = 16

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._stop: Event | None = None
        self._followed: dict[str, Informer] = {}
        self._handled: set[str] = set()
        self._since: dict[str, float] = {}
        self._next_discovery = float("-inf")
        self._unseen: set[str] = set()
        self._passed_over: set[str] = set()
        self._held: set[str] = set()
        self._kinds: dict[tuple[str, str], Resource] = {}
        self._present: dict[str, tuple[str, str]] = {}
        # Owners that are not there, by the namespace in which they were looked for.
        self._absent: dict[tuple[str, str], None] = {}
        self._of_unknown_kinds: set[str] = set()

    def start(self, stop: Event) -> None:
        """Discover what there is, wait until all of it is listed, then collect."""
        self._stop = stop
        self.queue.add(_DISCOVER)
        super().start(stop)

    def reconcile(self, key: str) -> float | None:
        """Look what there is, or decide about one object."""
        if key == _DISCOVER:
            return self._look_around()
        if self._unseen - self._passed_over:
            self._held.add(key)
            return None
        resource_name, _, object_key = key.partition(" ")
        informer = self._followed.get(resource_name)
        obj = informer.get(object_key) if informer else None
        if informer is None or obj is None or not garbage.concerns(obj):
            return None
        if self._unseen and garbage.lets_go(obj):
            return _PATIENCE
        action = garbage.decide(obj, lambda one: self._state(one, obj), self._dependents)
        try:
            self._carry_out(informer.resource, obj, action)
        except NotFound:
            return None
        except Conflict:
            return 0.05
        return None

    def _look_around(self) -> float:
        """Discover when it is time to, see what is listed by now, and let go of the keys that waited for it."""
        now = self.runtime.monotonic()
        if now >= self._next_discovery:
            self._discover()
            self._next_discovery = now + _REDISCOVER
        self._unseen = {name for name, informer in self._followed.items() if not informer.synced()}
        self._passed_over &= self._unseen
        late = {name for name in self._unseen if now - self._since[name] >= _PATIENCE}
        for name in sorted(late - self._passed_over):
            log.warning("collecting without %s, which could not be listed for %.0f s", name, _PATIENCE)
        self._passed_over |= late
        if self._unseen - self._passed_over:
            return _LOOK_AGAIN
        held, self._held = self._held, set()
        for key in held:
            self.queue.add(key)
        return self._next_discovery - now

    def _discover(self) -> None:
        discovery = discover(self.client)
        for found in discovery.found:
            self._kinds[found.resource.group, found.resource.kind] = found.resource
        collectable = discovery.with_verbs("list", "watch", "delete", "patch")
        wanted = {one.name: one for one in collectable if one.name not in _IGNORED}
        if not discovery.failed:
            # A resource that is served no more can never be in sync, and must not hold up the others.
            self._followed = {name: one for name, one in self._followed.items() if name in wanted}
        for name, resource in wanted.items():
            if name not in self._followed:
                self._follow(resource)
        if self._stop is not None:
            self.informers.start(self._stop)
        # An owner may have come and gone before its kind was discovered.
        waiting, self._of_unknown_kinds = self._of_unknown_kinds, set()
        for key in waiting:
            self.queue.add(key)

    def _follow(self, resource: Resource) -> None:
        self._since[resource.name] = self.runtime.monotonic()
        self._unseen.add(resource.name)
        informer = self._followed[resource.name] = self.informers.of(resource)
        if resource.name in self._handled:
            return
        self._handled.add(resource.name)
        informer.add_index(_INDEX, _owner_uids)

        def on_change(old: Object | None, new: Object | None) -> None:
            self._on_change(resource, old, new)

        informer.add_handler(on_change)

    def _on_change(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or uid_of(old) != uid_of(new)):
            self._present.pop(uid_of(old), None)
            for dependent in self._dependents(uid_of(old)):
                self._enqueue(dependent)
            self._enqueue_owners(old)
        if new is not None:
            self._present[uid_of(new)] = (resource.name, key_of(new))
            if old is not None and garbage.references(old) != garbage.references(new):
                self._enqueue_owners(old)
            if garbage.concerns(new) and (old is None or _decisive(old) != _decisive(new)):
                self.queue.add(f"{resource.name} {key_of(new)}")
            if old is not None and garbage.waits_for_dependents(new) and not garbage.waits_for_dependents(old):
                for dependent in self._dependents(uid_of(new)):
                    self._enqueue(dependent)

    def _enqueue(self, obj: Object) -> None:
        place = self._present.get(uid_of(obj))
        if place is not None:
            self.queue.add(" ".join(place))

    def _enqueue_owners(self, obj: Object) -> None:
        for reference in garbage.references(obj):
            place = self._present.get(reference["uid"])
            if place is not None:
                self.queue.add(" ".join(place))

    def _dependents(self, uid: str) -> list[Object]:
        return [obj for informer in list(self._followed.values()) for obj in informer.by_index(_INDEX, uid)]

    def _state(self, reference: Object, dependent: Object) -> OwnerState:
        owner = self._shown(reference["uid"])
        if owner is None:
            return self._ask(reference, dependent)
        if namespace_of(owner) and namespace_of(owner) != namespace_of(dependent):
            return self._elsewhere(reference, dependent)
        return OwnerState.WAITING if garbage.waits_for_dependents(owner) else OwnerState.PRESENT

    def _shown(self, uid: str) -> Object | None:
        resource_name, key = self._present.get(uid, ("", ""))
        informer = self._followed.get(resource_name)
        owner = informer.get(key) if informer else None
        return owner if owner is not None and uid_of(owner) == uid else None

    def _ask(self, reference: Object, dependent: Object) -> OwnerState:
        uid = reference["uid"]
        looked_for = (namespace_of(dependent), uid)
        if looked_for in self._absent:
            return OwnerState.ABSENT
        resource = self._kinds.get((reference["apiVersion"].rpartition("/")[0], reference["kind"]))
        if resource is None:
            # A kind nobody serves now may be served again: its objects are not known to be gone.
            self._of_unknown_kinds.add(" ".join(self._present[uid_of(dependent)]))
            return OwnerState.PRESENT
        if resource.namespaced and not namespace_of(dependent):
            return self._elsewhere(reference, dependent)
        try:
            owner = self.client.get(resource, reference["name"], namespace_of(dependent) if resource.namespaced else "")
        except NotFound:
            owner = None
        if owner is not None and uid_of(owner) == uid:
            return OwnerState.WAITING if garbage.waits_for_dependents(owner) else OwnerState.PRESENT
        self._absent[looked_for] = None
        if len(self._absent) > _REMEMBERED_ABSENT:
            self._absent.pop(next(iter(self._absent)))
        return OwnerState.ABSENT

    def _elsewhere(self, reference: Object, dependent: Object) -> OwnerState:
        """Tell of an owner in a namespace where the object cannot have one.

        It counts as absent; but of what is in no namespace nobody can say which one was meant, and it stays.
        """
        namespace = namespace_of(dependent)
        named = f"{reference['apiVersion']}/{reference['kind']}"
        owner = f"[{named}, namespace: {namespace}, name: {reference['name']}, uid: {reference['uid']}]"
        why = f'ownerRef {owner} does not exist in namespace "{namespace}"'
        self.events.warning(dependent, "OwnerRefInvalidNamespace", why)
        return OwnerState.ABSENT if namespace else OwnerState.PRESENT

    def _carry_out(self, resource: Resource, obj: Object, action: garbage.Action) -> None:
        match action:
            case garbage.Delete(propagation):
                self._delete(resource, obj, propagation)
            case garbage.Disown(uids):
                self._disown(resource, obj, uids)
            case garbage.Finish(finalizer):
                self._finish(resource, obj, finalizer)
            case garbage.Unblock():
                unblocking = [one | {"blockOwnerDeletion": False} for one in garbage.references(obj)]
                self._patch(resource, obj, {"ownerReferences": unblocking})
            case garbage.Wait(dependents):
                for dependent in dependents:
                    if not is_deleting(dependent):
                        self._enqueue(dependent)
            case garbage.ReleaseDependents(dependents):
                self._release(obj, dependents)
                self._finish(resource, obj, garbage.ORPHAN)
            case garbage.Keep():
                return

    def _delete(self, resource: Resource, obj: Object, propagation: str) -> None:
        self.client.delete(
            resource,
            name_of(obj),
            namespace_of(obj),
            uid=uid_of(obj),
            resource_version=obj["metadata"]["resourceVersion"],
            propagation=propagation,
        )

    def _disown(self, resource: Resource, obj: Object, uids: Iterable[str]) -> None:
        gone = set(uids)
        rest = [one for one in garbage.references(obj) if one["uid"] not in gone]
        self._patch(resource, obj, {"ownerReferences": rest})

    def _finish(self, resource: Resource, obj: Object, finalizer: str) -> None:
        rest = [one for one in obj["metadata"].get("finalizers") or [] if one != finalizer]
        self._patch(resource, obj, {"finalizers": rest})

    def _release(self, owner: Object, dependents: Iterable[Object]) -> None:
        for dependent in dependents:
            place = self._present.get(uid_of(dependent))
            if place is None:
                continue
            try:
                self._disown(self._followed[place[0]].resource, dependent, [uid_of(owner)])
            except NotFound:
                continue

    def _patch(self, resource: Resource, obj: Object, metadata: Object) -> None:
        """Replace parts of the metadata, if the object is still as it was seen."""
        version = {"uid": uid_of(obj), "resourceVersion": obj["metadata"]["resourceVersion"]}
        self.client.patch(
            resource, name_of(obj), {"metadata": metadata | version}, namespace_of(obj), content_type=MERGE_PATCH
        )


def _owner_uids(obj: Object) -> Iterable[str]:
    return [reference["uid"] for reference in garbage.references(obj)]


def _decisive(obj: Object) -> tuple[object, ...]:
    metadata = obj["metadata"]
    return metadata.get("ownerReferences"), metadata.get("finalizers"), metadata.get("deletionTimestamp")
