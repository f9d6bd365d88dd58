"""The scheduler's loop: takes a pod, decides, assumes, and lets others write the binding.

Invariant: from the decision until the API shows the binding (or refuses it) the pod is assumed on its node, so
the next decision already counts it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from api.client import STRATEGIC_MERGE_PATCH, Client
from api.errors import ApiError, Conflict, NotFound
from api.events import EventRecorder
from api.informers import Informers
from api.objects import Object, is_deleting, key_of
from api.pool import Pool
from api.runtime import Event, Runtime, timestamp
from api.transport import TransportError
from control.scheduler import preemption
from control.scheduler.cycle import Decider, Profile
from control.scheduler.framework import Decision, Wake
from control.scheduler.metrics import Metrics
from control.scheduler.observer import Observer
from control.scheduler.permit import Wait
from control.scheduler.pod import PodInfo
from control.scheduler.profiles import bind_seconds, wakes
from control.scheduler.queue import SchedulingQueue, Waiting
from control.scheduler.snapshot import Snapshot
from control.scheduler.volume_binder import VolumeBinder, VolumesNotBound
from control.scheduler.volumes import Bindings

log = logging.getLogger(__name__)

BINDINGS_AT_ONCE = 16


class Scheduler:
    """One term of the scheduler."""

    def __init__(self, client: Client, runtime: Runtime, profiles: Mapping[str, Profile], metrics: Metrics) -> None:
        self._client = client
        self._runtime = runtime
        self._metrics = metrics
        self._informers = Informers(client, runtime)
        self._snapshot = Snapshot()
        self._queue = SchedulingQueue(runtime, wakes(profiles))
        self._observer = Observer(self._snapshot, self._queue, profiles)
        self._observer.register(self._informers)
        self._deciders = {name: Decider(profile, runtime.random()) for name, profile in profiles.items()}
        self._recorders = {name: EventRecorder(client, runtime, name) for name in profiles}
        self._profiles = profiles
        self._budgets = self._informers.of("poddisruptionbudgets.policy")
        # Pods for which others were ended, and where: they hold their place in the snapshot meanwhile.
        self._nominated: dict[str, str] = {}
        # Pods that are about to be ended for others, until the API shows them going.
        self._ending: set[str] = set()
        self._informers.of("pods").add_handler(self._forget_nomination)
        self._writers = Pool(runtime, "scheduler-bind", BINDINGS_AT_ONCE)
        self._volumes = VolumeBinder(client, runtime, self._snapshot.volumes)
        # Pods that have a place and wait for others to get one.
        self._gates: dict[str, Event] = {}
        self._stop = runtime.event()

    def unsynced(self) -> list[str]:
        """The resources whose first list is not in yet."""
        return self._informers.unsynced()

    def run(self, stop: Event) -> None:
        """Schedule until `stop`."""
        self._stop = stop
        self._metrics.follow(self._queue)
        self._informers.start(stop)
        if self._informers.wait_synced(stop):
            for recorder in self._recorders.values():
                recorder.start()
            loop = self._runtime.spawn("scheduler", self._schedule, stop)
            stop.wait()
            self._queue.stop()
            for gate in list(self._gates.values()):
                gate.set()
            loop.join()
        self._writers.close()
        for recorder in self._recorders.values():
            recorder.close()
        self._informers.close()

    def _schedule(self, stop: Event) -> None:
        while not stop.is_set():
            entry = self._queue.pop()
            if entry is None:
                return
            started = self._runtime.monotonic()
            decision = self._decide(entry.pod)
            self._metrics.decided(bool(decision.node), self._runtime.monotonic() - started)
            if decision.node:
                self._assume(entry, decision)
            else:
                self._refuse(entry, decision)
            # Informers and bindings run in tasks of this process: let them.
            self._runtime.sleep(0)

    def _decide(self, pod: PodInfo) -> Decision:
        """Decide about the pod as if it did not hold the place that others were ended for."""
        nominated = self._nominated.get(pod.key)
        if nominated is not None:
            self._snapshot.remove_pod(pod.key)
        decider = self._deciders[_scheduler_name(pod)]
        decision = decider.decide(pod, self._snapshot)
        if not decision.node and (holders := preemption.weaker(pod, self._snapshot, self._nominated)):
            with preemption.set_aside(holders, self._snapshot):
                found = decider.decide(pod, self._snapshot)
            decision = found if found.node else decision
        if decision.node:
            self._nominated.pop(pod.key, None)
        elif nominated is not None:
            self._snapshot.place(pod, nominated)
        return decision

    def _assume(self, entry: Waiting, decision: Decision) -> None:
        pod = entry.pod
        log.debug("%s: %s", pod.key, decision.reason)
        self._snapshot.place(pod, decision.node)
        self._observer.assumed[pod.key] = pod
        bindings = self._reserve(pod, decision.node)
        for gate in self._gates.values():
            gate.set()
        wait = self._permit(pod)
        if wait is not None:
            self._event(pod).normal(
                pod.pod, "WaitingOnPermit", f"{wait.reason}: waiting for {wait.seconds:.0f} s at most"
            )
            self._runtime.spawn("scheduler-permit", self._hold, entry, decision.node, bindings, wait.seconds)
            permits = self._profiles[_scheduler_name(pod)].permits
            self._queue.activate(lambda other: any(one.awaits(pod, other) for one in permits))
        else:
            self._bind_soon(entry, decision.node, bindings)

    def _bind_soon(self, entry: Waiting, node: str, bindings: Bindings) -> None:
        if bindings:
            self._runtime.spawn("scheduler-volumes", self._bind_with_volumes, entry, node, bindings)
        else:
            self._writers.submit(lambda: self._bind(entry, node))

    def _permit(self, pod: PodInfo) -> Wait | None:
        """What the pod has to wait for although it has a place."""
        plugins = self._profiles[_scheduler_name(pod)].permits
        return next((wait for one in plugins if (wait := one.permit(pod, self._snapshot)) is not None), None)

    def _hold(self, entry: Waiting, node: str, bindings: Bindings, seconds: float) -> None:
        """Let the pod wait at its place: each pod that gets one is a reason to ask again."""
        pod, until = entry.pod, self._runtime.monotonic() + seconds
        gate = self._gates[pod.key] = self._runtime.event()
        try:
            while (wait := self._permit(pod)) is not None and pod.key in self._observer.assumed:
                left = until - self._runtime.monotonic()
                if left <= 0 or self._stop.is_set():
                    why = f"rejected after waiting for {seconds:.0f} s at its place: {wait.reason}"
                    self._event(pod).warning(pod.pod, "FailedScheduling", why)
                    self._snapshot.volumes.release(bindings)
                    self._unassume(entry)
                    return
                gate.wait(left)
                gate.clear()
        finally:
            del self._gates[pod.key]
        self._bind_soon(entry, node, bindings)

    def _reserve(self, pod: PodInfo, node: str) -> Bindings:
        """Pick volumes for the claims that waited for the pod to have a node."""
        place = self._snapshot.node(node)
        return self._snapshot.volumes.reserve(pod, place) if pod.claims and place else Bindings()

    def _bind_with_volumes(self, entry: Waiting, node: str, bindings: Bindings) -> None:
        """Volumes may take minutes to be made: a task of its own waits for them."""
        pod = entry.pod
        try:
            self._volumes.bind(bindings, node, bind_seconds(self._profiles[_scheduler_name(pod)]), self._stop)
        except (VolumesNotBound, ApiError, TransportError) as error:
            log.warning("volumes of %s were not bound on %s: %s", pod.key, node, error)
            message = f'running PreBind plugin "VolumeBinding": binding volumes: {error}'
            self._event(pod).warning(pod.pod, "FailedScheduling", message)
            self._unassume(entry)
        else:
            self._bind(entry, node)
        finally:
            self._snapshot.volumes.release(bindings)

    def _bind(self, entry: Waiting, node: str) -> None:
        pod = entry.pod
        try:
            self._client.create("pods", _binding(pod, node), subresource="binding")
        except (NotFound, Conflict) as error:
            # Gone, or bound by another: the informer tells which; until then it must not count where it is not.
            log.info("%s was not bound to %s: %s", pod.key, node, error)
            self._unassume(entry)
        except (ApiError, TransportError) as error:
            log.warning("%s could not be bound to %s and will be tried again: %s", pod.key, node, error)
            self._unassume(entry)
        else:
            self._queue.remove(pod.key)
            self._metrics.bound(self._runtime.monotonic() - entry.since)
            self._event(pod).normal(pod.pod, "Scheduled", f"Successfully assigned {pod.key} to {node}")

    def _unassume(self, entry: Waiting) -> None:
        self._observer.forget(entry.pod)
        self._queue.retry(entry)

    def _refuse(self, entry: Waiting, decision: Decision) -> None:
        pod = entry.pod
        reason = decision.reason
        if len(self._snapshot):
            reason = f"{reason} {self._preempt(pod, decision)}".rstrip()
        self._queue.park(entry, decision.plugins)
        self._event(pod).warning(pod.pod, "FailedScheduling", reason)
        wanted = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": reason}
        if not _says(pod.pod, wanted):
            self._writers.submit(self._condition_writer(pod, wanted))

    def _preempt(self, pod: PodInfo, decision: Decision) -> str:
        """Make room for the pod if pods of lower priority stand in its way; else the sentence why not."""
        nominated = self._nominated.get(pod.key, "")
        hopeful = self._snapshot.node(nominated) if nominated in decision.resolvable else None
        obstacle = preemption.eligible(pod, hopeful, self._ending)
        if obstacle:
            return f"preemption: {obstacle}"
        budgets = [preemption.budget(pdb) for pdb in self._budgets.items()]
        profile = self._profiles[_scheduler_name(pod)]
        chosen = preemption.choose(pod, self._snapshot, profile, decision.resolvable, budgets, self._nominated)
        if chosen is None:
            if any(other.priority < pod.priority for other in self._observer.assumed.values()):
                self._observer.hindered.add(pod.key)
            return preemption.explain(decision, len(self._snapshot))
        self._metrics.preempted(len(chosen.victims))
        for other in list(node.pods.values()) if (node := self._snapshot.node(chosen.node)) else ():
            if other.key in self._nominated and other.priority < pod.priority:
                del self._nominated[other.key]
                self._snapshot.remove_pod(other.key)
        self._nominated[pod.key] = chosen.node
        self._ending |= {victim.key for victim in chosen.victims}
        self._snapshot.place(pod, chosen.node)
        self._writers.submit(lambda: self._make_room(pod, chosen))
        return ""

    def _make_room(self, pod: PodInfo, chosen: preemption.Preemption) -> None:
        nomination = {"metadata": {"uid": pod.uid}, "status": {"nominatedNodeName": chosen.node}}
        try:
            self._client.patch("pods", pod.name, nomination, pod.namespace, subresource="status")
        except (ApiError, TransportError) as error:
            log.info("the nomination of %s was not written: %s", pod.key, error)
        awaited = bool(chosen.victims)
        for victim in chosen.victims:
            try:
                self._end(victim, pod, chosen.node)
            except NotFound:
                log.info("%s had ended before it could be ended for %s", victim.key, pod.key)
                self._ending.discard(victim.key)
            except (ApiError, TransportError) as error:
                log.warning("%s was not ended for %s: %s", victim.key, pod.key, error)
                self._ending.discard(victim.key)
                awaited = False
        if not awaited:
            # Only holders of places gave way, or a victim may stay: no deletion will come that wakes the pod.
            self._queue.wake(Wake.POD_REMOVED)

    def _end(self, victim: PodInfo, pod: PodInfo, node: str) -> None:
        why = preemption.ENDED | {
            "message": f"{_scheduler_name(pod)}: preempting to accommodate a higher priority pod",
            "lastTransitionTime": timestamp(self._runtime.time()),
        }
        patch = {"metadata": {"uid": victim.uid}, "status": {"conditions": [why]}}
        self._client.patch(
            "pods", victim.name, patch, victim.namespace, subresource="status", content_type=STRATEGIC_MERGE_PATCH
        )
        self._client.delete("pods", victim.name, victim.namespace, uid=victim.uid)
        self._event(pod).normal(victim.pod, "Preempted", f"Preempted by pod {pod.uid} on node {node}")

    def _forget_nomination(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or new["spec"].get("nodeName")):
            self._nominated.pop(key_of(old), None)
        if new is None or is_deleting(new):
            self._ending.discard(key_of(new or old or {}))

    def _condition_writer(self, pod: PodInfo, wanted: Object) -> Callable[[], None]:
        def write() -> None:
            moved = {"lastTransitionTime": timestamp(self._runtime.time()), "lastProbeTime": None}
            patch = {"metadata": {"uid": pod.uid}, "status": {"conditions": [wanted | moved]}}
            try:
                self._client.patch(
                    "pods", pod.name, patch, pod.namespace, subresource="status", content_type=STRATEGIC_MERGE_PATCH
                )
            except (ApiError, TransportError) as error:
                log.info("the condition of %s was not written: %s", pod.key, error)

        return write

    def _event(self, pod: PodInfo) -> EventRecorder:
        return self._recorders[_scheduler_name(pod)]


def _scheduler_name(pod: PodInfo) -> str:
    return str(pod.spec.get("schedulerName") or "default-scheduler")


def _binding(pod: PodInfo, node: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }


def _says(pod: Object, wanted: Object) -> bool:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == wanted["type"]:
            return all(condition.get(name) == value for name, value in wanted.items())
    return False
