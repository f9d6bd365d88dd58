"""Looks at one pod: reads the runtime, decides, performs, and writes the status if it changed.

Workers take uids from a queue, so a pod is looked at by one of them at a time while pods go on in parallel.
What is known before a look may be lost at any time; the runtime and the API hold all that matters.

Invariant: a pod's object is removed from the API only after its status says how its containers ended and
nothing of it is left on the node.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from agents.kubelet.pods import backoff, resizes, spec
from agents.kubelet.pods.performer import NotReadyToStart, Performer
from agents.kubelet.pods.plan import Plan, SandboxAction
from agents.kubelet.pods.state import PodState
from agents.kubelet.pods.status import NodeFacts, deadline_exceeded_in, pod_status, status_patch
from agents.kubelet.pods.sync import decide, decide_orphan, resize_of, starts_over
from agents.kubelet.pods.view import PodView, Reading, view_of, with_unstarted
from agents.kubelet.runtime.interface import ContainerRuntimeError, State
from agents.network.interface import NetworkError
from api.client import STRATEGIC_MERGE_PATCH, Client
from api.errors import Conflict, NotFound
from api.objects import Object, is_deleting, name_of, namespace_of, uid_of
from api.runtime import Runtime

log = logging.getLogger(__name__)

_STEPS = 8
_AFTER_FAILURE = 2.0


class PodSource(Protocol):
    """The pods that the API binds to this node."""

    def get(self, uid: str) -> Object | None:
        """The pod, or None if it is not bound here."""

    def shown(self, pod: Object) -> Object | None:
        """The API's object that carries the pod's status, or None if there is none yet."""

    def items(self) -> list[Object]:
        """All pods of this node."""

    def finished(self, uid: str) -> None:
        """Forget a pod of which nothing is left."""

    def synced(self) -> bool:
        """Whether the API's word is known at all."""


class Probes(Protocol):
    """Watches the running containers of pods."""

    def readings(self, pod: Object, view: PodView) -> dict[str, Reading]:
        """What the probes say, by container id; begins probing containers that have just appeared."""

    def forget(self, uid: str) -> None:
        """Stop probing a pod."""


Admission = Callable[[Object, list[Object]], tuple[str, str] | None]
Results = Callable[[Object, PodView], PodView]


@dataclass(frozen=True, slots=True)
class Worker:
    """Looks at pods of one node.

    `admit(pod, others)` says why the node refuses a pod (reason, message) beside those that it has taken, or None;
    `turn` lets one pod at a time ask. `admit_resize` says why a pod cannot have the resources that it asks for now;
    `regular_look` is in seconds; `results(pod, view)` fills in what the runtime does not tell of ended containers.
    """

    clock: Runtime
    client: Client
    pods: PodSource
    performer: Performer
    probes: Probes
    admit: Admission
    facts: Callable[[], NodeFacts]
    results: Results
    states: dict[str, PodState]
    turn: AbstractContextManager[object]
    admit_resize: Callable[[Object], resizes.ResizeProblem | None] = lambda pod: None
    regular_look: float = 60.0

    def look(self, uid: str) -> float | None:
        """Bring one pod nearer to what it should be; seconds until the next look, None if it is gone.

        Raises ApiError or TransportError if the status could not be written.
        """
        pod = self.pods.get(uid)
        if pod is None:
            return self._look_at_orphan(uid) if self.pods.synced() else _AFTER_FAILURE
        state = self.states.setdefault(uid, PodState(seen=self.clock.time()))
        return self._advance(_up_to_date(pod, state), state)

    def _advance(self, pod: Object, state: PodState) -> float | None:
        uid = pod["metadata"]["uid"]
        failed = False
        for _ in range(_STEPS):
            view = self.results(pod, self._view(uid, state))
            plan = self._plan(pod, view, state)
            if plan.gone:
                return self._finish(pod, view, state)
            if plan.sandbox is SandboxAction.CREATE and (left := state.resume - self.clock.monotonic()) > 0:
                # The runtime tells of what the failed try made and removed, which is no reason for another.
                self._publish(pod, view, state)
                return left
            if plan.sandbox is SandboxAction.CREATE and plan.removals:
                # What has ended well must be known before its record goes, or it would run again.
                self._publish(pod, view, state)
                pod = _up_to_date(pod, state)
            try:
                acted = self._perform(pod, plan, view, state)
            except NotReadyToStart as problem:
                self.performer.recorder.record(pod, "Warning", problem.reason, problem.message)
                failed = True
                break
            if not acted:
                self._refresh(pod, plan, view, state)
                break
            log.debug("pod %s/%s: %s", namespace_of(pod), name_of(pod), plan.because)
        else:
            plan = Plan(again=0.1)
        self._publish(pod, self._view(uid, state) if plan.starts or plan.stops or failed else view, state)
        if failed:
            state.pause = backoff.pause(state.pause)
            state.resume = self.clock.monotonic() + state.pause
            return state.pause
        state.pause = 0.0
        return min(self.regular_look, plan.again or self.regular_look)

    def _plan(self, pod: Object, view: PodView, state: PodState) -> Plan:
        if not state.admitted and not is_deleting(pod) and not spec.is_terminal(pod):
            self._admit(pod, view, state)
        readings = self.probes.readings(pod, view)
        memory = state.memory(readings)
        cause = starts_over(pod, view, memory)
        state.starting_over = cause.id if cause is not None else ""
        pending = frozenset(
            found.name
            for found in view.running()
            if (container := spec.find_container(pod, found.name)) and resize_of(pod, container, found, memory)
        )
        problem = self.admit_resize(pod) if pending and not is_deleting(pod) else None
        now = resizes.Standing(problem, resizes.changing(view, pending, state.resize))
        if not is_deleting(pod):
            for event in resizes.told(pod, state.resize, now):
                self.performer.recorder.record(pod, *event)
        state.resize = now
        state.unresized = pending
        return decide(pod, view, state.memory(readings), self.clock.time())

    def _admit(self, pod: Object, view: PodView, state: PodState) -> None:
        """Pods bound at the same moment are taken one after the other, so that the last ones are too many, not all."""
        with self.turn:
            if view.empty:
                state.rejected = self.admit(pod, [other for other in self.pods.items() if self._taken(other)])
            state.admitted = True
        if state.rejected is not None:
            self.performer.recorder.record(pod, "Warning", *state.rejected)

    def _taken(self, pod: Object) -> bool:
        """Whether the pod has its place on this node, be it from an earlier kubelet."""
        state = self.states.get(uid_of(pod))
        if state is not None and state.admitted:
            return state.rejected is None
        return bool((pod.get("status") or {}).get("startTime"))

    def _perform(self, pod: Object, plan: Plan, view: PodView, state: PodState) -> bool:
        uid = pod["metadata"]["uid"]
        running = view.sandbox is not None and view.sandbox.state is State.RUNNING
        try:
            if running and not state.addresses and plan.sandbox is SandboxAction.KEEP:
                state.addresses = self.performer.addresses(pod)
            return self.performer.perform(
                pod, plan, view, state, lambda: self._publish(pod, self._view(uid, state), state)
            )
        except (ContainerRuntimeError, NetworkError) as error:
            raise NotReadyToStart("FailedSync", f"error syncing pod: {error}") from error

    def _refresh(self, pod: Object, plan: Plan, view: PodView, state: PodState) -> None:
        """Bring the content of a running pod's volumes up to date."""
        if is_deleting(pod) or spec.is_terminal(pod) or plan.starts or not view.running():
            return
        try:
            self.performer.builder.prepare(pod, state.addresses)
        except NotReadyToStart as problem:
            self.performer.recorder.record(pod, "Warning", problem.reason, problem.message)

    def _look_at_orphan(self, uid: str) -> float | None:
        view = self._view(uid)
        self.probes.forget(uid)
        plan = decide_orphan(view)
        for stop in plan.stops:
            self.performer.stopper.stop(None, stop.container, stop.grace)
        if not plan.gone:
            return plan.again
        try:
            self.performer.remove(uid, view)
        except (ContainerRuntimeError, NetworkError, NotReadyToStart) as error:
            log.warning("what is left of pod %s could not be removed: %s", uid, error)
            return _AFTER_FAILURE
        self.states.pop(uid, None)
        return None

    def _finish(self, pod: Object, view: PodView, state: PodState) -> float | None:
        """The last status, then the node's things, then the object."""
        uid = pod["metadata"]["uid"]
        self.probes.forget(uid)
        if not view.empty or (pod.get("status") or {}).get("containerStatuses") or pod["metadata"].get("finalizers"):
            # Nobody reads of one that never began, unless its object stays for somebody who waits for its end.
            self._publish(pod, view, state)
        try:
            self.performer.remove(uid, view)
        except (ContainerRuntimeError, NetworkError, NotReadyToStart) as error:
            self.performer.recorder.record(pod, "Warning", "FailedKillPod", f"error killing pod: {error}")
            return _AFTER_FAILURE
        shown = uid_of(self.pods.shown(pod) or pod)
        try:
            self.client.delete("pods", name_of(pod), namespace_of(pod), uid=shown, grace_period_seconds=0)
        except (NotFound, Conflict) as error:
            log.debug("pod %s/%s was gone before: %s", namespace_of(pod), name_of(pod), error)
        self.pods.finished(uid)
        self.states.pop(uid, None)
        return None

    def _publish(self, pod: Object, view: PodView, state: PodState) -> None:
        """Write the status if it differs from what the API has."""
        view = self.results(pod, view)
        pod = _up_to_date(pod, state)
        readings = self.probes.readings(pod, view)
        fresh = pod_status(pod, view, state.memory(readings), self.facts(), self.clock.time())
        patch, shown = status_patch(pod, fresh), self.pods.shown(pod)
        if patch is None or shown is None:
            return
        patch["metadata"] = {"uid": uid_of(shown)}
        try:
            state.reported = self.client.patch(
                "pods",
                name_of(pod),
                patch,
                namespace_of(pod),
                subresource="status",
                content_type=STRATEGIC_MERGE_PATCH,
            )
        except (NotFound, Conflict) as error:
            log.debug("pod %s/%s was deleted meanwhile: %s", namespace_of(pod), name_of(pod), error)
            return
        if deadline_exceeded_in(fresh) and not deadline_exceeded_in(pod.get("status") or {}):
            self.performer.recorder.record(pod, "Normal", fresh["reason"], fresh["message"])

    def _view(self, uid: str, state: PodState | None = None) -> PodView:
        found = view_of(self.performer.runtime.list(uid), uid)
        return found if state is None else with_unstarted(found, state.unstarted.values())


def _up_to_date(pod: Object, state: PodState) -> Object:
    """The pod with the status that the API answered to our last write, if the watch has not brought a newer one."""
    reported = state.reported
    if reported is None:
        return pod
    newer = int(reported["metadata"]["resourceVersion"]) > int(pod["metadata"].get("resourceVersion") or 0)
    return pod | {"status": reported["status"]} if newer else pod
