"""Carries what the informers see into the snapshot and the queue.

Invariant: the snapshot is changed before the queue is woken, so a woken pod sees what woke it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from api.informers import Informers
from api.objects import Object, condition, is_deleting, key_of, labels_of, name_of, namespace_of, uid_of
from api.pod_resources import given, taken_by
from control.scheduler.cycle import Profile, first_rejections
from control.scheduler.framework import Wake
from control.scheduler.pod import PodInfo, controller_uid
from control.scheduler.queue import Helps, SchedulingQueue
from control.scheduler.snapshot import Snapshot

Handler = Callable[[Object | None, Object | None], None]


class Observer:
    """Handlers for nodes, pods, and what decides where they go.

    `assumed` are pods placed by us of which the API does not tell yet; `hindered` are keys of pods that might end one
    of those, once it is told of.
    """

    def __init__(self, snapshot: Snapshot, queue: SchedulingQueue, profiles: Mapping[str, Profile]) -> None:
        self._snapshot = snapshot
        self._queue = queue
        self._profiles = profiles
        self.assumed: dict[str, PodInfo] = {}
        self.hindered: set[str] = set()

    def register(self, informers: Informers) -> None:
        """Ask the informers to call."""
        informers.of("nodes").add_handler(self.on_node)
        informers.of("namespaces").add_handler(self.on_namespace)
        informers.of("services").add_handler(self.on_service)
        informers.of("pods").add_handler(self.on_pod)
        volumes = self._snapshot.volumes
        for resource, take in (
            ("persistentvolumeclaims", volumes.set_claim),
            ("persistentvolumes", volumes.set_volume),
            ("storageclasses.storage.k8s.io", volumes.set_class),
            ("csinodes.storage.k8s.io", volumes.set_csi_node),
        ):
            informers.of(resource).add_handler(self._on_volume(take))

    def on_node(self, old: Object | None, new: Object | None) -> None:
        """A node came, changed or went."""
        if new is None:
            self._snapshot.remove_node(name_of(old or {}))
            return
        self._snapshot.set_node(new)
        name = name_of(new)
        for event in _node_events(old, new):
            self._queue.wake(event, self._by_node(name))

    def on_namespace(self, old: Object | None, new: Object | None) -> None:
        """A namespace came, changed its labels or went."""
        self._snapshot.set_namespace(name_of(new or old or {}), labels_of(new) if new else None)
        if old and new and labels_of(old) != labels_of(new):
            self._queue.wake(Wake.POD_ADDED)

    def on_service(self, old: Object | None, new: Object | None) -> None:
        """A Service came, changed what it selects, or went: the pods of one are spread if they do not say how."""
        service = new or old or {}
        selector = (new or {}).get("spec", {}).get("selector") or {}
        self._snapshot.set_service(namespace_of(service), name_of(service), selector)

    def _on_volume(self, take: Handler) -> Handler:
        def on_change(old: Object | None, new: Object | None) -> None:
            take(old, new)
            if new is not None:
                self._queue.wake(Wake.VOLUME, lambda pod, _: bool(pod.claims))

        return on_change

    def on_pod(self, old: Object | None, new: Object | None) -> None:
        """A pod came, changed or went."""
        if old is not None and (new is None or uid_of(old) != uid_of(new)):
            self._gone(key_of(old))
        if new is None:
            return
        phase = (new.get("status") or {}).get("phase")
        if phase in ("Succeeded", "Failed"):
            self._gone(key_of(new))
        elif new["spec"].get("nodeName"):
            self._placed(old, new)
        else:
            self._pending(new)

    def forget(self, pod: PodInfo) -> None:
        """Our assumption did not come true."""
        if self.assumed.pop(pod.key, None) is not None:
            self._free(pod.key)

    def _gone(self, key: str) -> None:
        self.assumed.pop(key, None)
        self._queue.remove(key)
        self._free(key)

    def _free(self, key: str) -> None:
        place = self._snapshot.place_of(key)
        if place:
            pod = self._snapshot.remove_pod(key)
            self._queue.wake(Wake.POD_REMOVED, self._by_node(place, pod))

    def _placed(self, old: Object | None, new: Object) -> None:
        key = key_of(new)
        self._queue.remove(key)
        assumed = self.assumed.pop(key, None)
        place = self._snapshot.place_of(key)
        before = assumed.pod if assumed else old
        if place == new["spec"]["nodeName"] and before is not None and not _moved(before, new):
            if assumed is not None:
                placed = assumed.bound(new)
                self._snapshot.renew(placed)
                self._queue.wake(Wake.POD_ADDED, self._by_pod(placed))
        else:
            placed = PodInfo(new)
            self._snapshot.place(placed, new["spec"]["nodeName"])
            # One that was there before is another for others now: it may let in whom it kept out, or give up room.
            self._queue.wake(Wake.POD_ADDED, None if place else self._by_pod(placed))
            if place:
                self._queue.wake(Wake.POD_REMOVED, self._by_node(place))
        if self.hindered:
            hindered, self.hindered = self.hindered, set()
            self._queue.wake(Wake.POD_REMOVED, lambda pod, _: pod.key in hindered)

    def _pending(self, pod: Object) -> None:
        key = key_of(pod)
        if key in self.assumed or pod["spec"].get("schedulerName", "default-scheduler") not in self._profiles:
            return
        if is_deleting(pod) or pod["spec"].get("schedulingGates"):
            self._queue.remove(key)
        else:
            self._queue.add(PodInfo(pod))

    def _by_node(self, node_name: str, gone: PodInfo | None = None) -> Helps:
        """Whom it helps that the node changed, or lost the pod `gone`."""

        def helps(pod: PodInfo, plugins: frozenset[str]) -> bool:
            if self._snapshot.place_of(pod.key) == node_name:
                # Others were ended there for it: its own claim to the place must not keep it from trying.
                return True
            refusing = [one for one in self._profile(pod).cluster_plugins if one.name in plugins]
            if any(one.concerned(pod, gone, self._snapshot) if gone else one.looks_beyond for one in refusing):
                return True
            # The node plugins would have to take it there.
            node = self._snapshot.node(node_name)
            return node is not None and not first_rejections(self._profile(pod).node_filters(pod), pod, node)

        return helps

    def _by_pod(self, placed: PodInfo) -> Helps:
        """Whom it helps that the pod has its place."""

        def helps(pod: PodInfo, plugins: frozenset[str]) -> bool:
            refusing = (one for one in self._profile(pod).cluster_plugins if one.name in plugins)
            return any(one.concerned(pod, placed, self._snapshot) for one in refusing)

        return helps

    def _profile(self, pod: PodInfo) -> Profile:
        return self._profiles[pod.spec.get("schedulerName", "default-scheduler")]


def _moved(old: Object, new: Object) -> bool:
    """Whether anything that counts in the snapshot differs between two states of a placed pod."""
    return (
        labels_of(old) != labels_of(new)
        or is_deleting(old) != is_deleting(new)
        or controller_uid(old) != controller_uid(new)
        or any(old["spec"].get(name) != new["spec"].get(name) for name in ("containers", "initContainers", "resources"))
        or (_standing(old) != _standing(new) and taken_by(old) != taken_by(new))
    )


def _standing(pod: Object) -> object:
    """What tells, at little cost, that a pod takes what it took."""
    return given(pod), (condition(pod, "PodResizePending") or {}).get("reason")


def _node_events(old: Object | None, new: Object) -> list[Wake]:
    if old is None:
        return [Wake.NODE_ADDED]
    events = []
    if (old.get("status") or {}).get("allocatable") != (new.get("status") or {}).get("allocatable"):
        events.append(Wake.NODE_ALLOCATABLE)
    if labels_of(old) != labels_of(new):
        events.append(Wake.NODE_LABELS)
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if any(before.get(field) != after.get(field) for field in ("taints", "unschedulable")):
        # A new node helped nobody while it was tainted: to pods that wait for nodes it is new now.
        events += [Wake.NODE_TAINTS, Wake.NODE_ADDED]
    return events
