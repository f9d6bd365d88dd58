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
from api.objects import Object
from api.pool import Pool
from api.runtime import Event, Runtime, timestamp
from api.transport import TransportError
from control.scheduler.cycle import Decider, Profile
from control.scheduler.framework import Decision
from control.scheduler.metrics import Metrics
from control.scheduler.observer import Observer
from control.scheduler.pod import PodInfo
from control.scheduler.profiles import wakes
from control.scheduler.queue import SchedulingQueue, Waiting
from control.scheduler.snapshot import Snapshot

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
        self._writers = Pool(runtime, "scheduler-bind", BINDINGS_AT_ONCE)

    def unsynced(self) -> list[str]:
        """The resources whose first list is not in yet."""
        return self._informers.unsynced()

    def run(self, stop: Event) -> None:
        """Schedule until `stop`."""
        self._metrics.follow(self._queue)
        self._informers.start(stop)
        if self._informers.wait_synced(stop):
            for recorder in self._recorders.values():
                recorder.start()
            loop = self._runtime.spawn("scheduler", self._schedule, stop)
            stop.wait()
            self._queue.stop()
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
            decision = self._decider(entry.pod).decide(entry.pod, self._snapshot)
            self._metrics.decided(bool(decision.node), self._runtime.monotonic() - started)
            if decision.node:
                self._assume(entry, decision)
            else:
                self._refuse(entry, decision)
            # Informers and bindings run in tasks of this process: let them.
            self._runtime.sleep(0)

    def _decider(self, pod: PodInfo) -> Decider:
        return self._deciders[_scheduler_name(pod)]

    def _assume(self, entry: Waiting, decision: Decision) -> None:
        pod = entry.pod
        log.debug("%s: %s", pod.key, decision.reason)
        self._snapshot.place(pod, decision.node)
        self._observer.assumed[pod.key] = pod
        self._writers.submit(lambda: self._bind(entry, decision.node))

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
        self._queue.park(entry, decision.plugins)
        self._event(pod).warning(pod.pod, "FailedScheduling", decision.reason)
        wanted = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": decision.reason}
        if not _says(pod.pod, wanted):
            self._writers.submit(self._condition_writer(pod, wanted))

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
