"""Which of the pods bound to the node it takes, and which it ends before their time.

Invariant: a pod is told that the node ends it before anything of it is ended; one that is being ended is not chosen
again.
Source: kubelet's admit handlers, preemption and eviction, which share these questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agents.kubelet import shutdown
from agents.kubelet.admission import refusal, resize_problem, shortfalls, unfit
from agents.kubelet.eviction import refused_by_pressure
from agents.kubelet.heartbeat import Heartbeat
from agents.kubelet.node_pods import NodePods
from agents.kubelet.pods import spec
from agents.kubelet.pods.performer import Recorder
from agents.kubelet.pods.resizes import ResizeProblem
from agents.kubelet.pods.state import PodState
from agents.kubelet.pods.view import Eviction
from agents.kubelet.preemption import Needs, described, making_room
from api.objects import Object, is_deleting, uid_of

_PREEMPTION = Eviction(
    "Preempting",
    "Preempted in order to admit critical pod",
    0.0,
    "Pod was preempted by Kubelet to accommodate a critical pod.",
)


@dataclass(slots=True)
class Judge:
    """Judges the pods of one node. `pressure()` names the node's conditions; `look(uid)` has a pod looked at soon."""

    pods: NodePods
    states: Mapping[str, PodState]
    heartbeat: Heartbeat
    recorder: Recorder
    look: Callable[[str], None]
    pressure: Callable[[], frozenset[str]]
    allowed_sysctls: tuple[str, ...] = ()
    shutting_down: bool = False

    def admit(self, pod: Object, others: list[Object]) -> tuple[str, str] | None:
        """(reason, message) why the node refuses a pod, or None; a critical one may end others for it."""
        if self.shutting_down:
            return shutdown.REFUSAL
        pressed = refused_by_pressure(pod, self.pressure())
        if pressed is not None:
            return pressed
        if not self.heartbeat.node:
            return None
        node = self.heartbeat.node
        short = {entry.resource: entry.missing for entry in shortfalls(pod, others, node)}
        if not short or not spec.is_critical(pod):
            return refusal(pod, others, node, self.allowed_sysctls)
        return unfit(pod, others, node, self.allowed_sysctls) or self._make_room(pod, short)

    def _make_room(self, pod: Object, short: Needs) -> tuple[str, str] | None:
        """End what stands in a critical pod's way; (reason, message) if that cannot be."""
        victims = making_room(pod, self.evictable(), short)
        if victims is None:
            message = (
                "Pod was rejected: Unexpected error while attempting to recover from admission failure: preemption: "
                "error finding a set of pods to preempt: no set of running pods found to reclaim resources: "
                f"{described(short)}"
            )
            return "UnexpectedAdmissionError", message
        for victim in victims:
            self.evict(victim, _PREEMPTION)
        return None

    def admit_resize(self, pod: Object) -> ResizeProblem | None:
        """Why a pod cannot have the resources that it asks for now, or None."""
        return resize_problem(pod, self.pods.items(), self.heartbeat.node)

    def evictable(self) -> list[Object]:
        """Pods that the node has not already begun to end."""
        return [
            pod
            for pod in self.pods.items()
            if not is_deleting(pod) and (state := self.states.get(uid_of(pod))) is not None and state.evicted is None
        ]

    def is_evicting(self) -> bool:
        """Whether a pod that the node ends has not ended yet."""
        return any(
            (state := self.states.get(uid_of(pod))) is not None
            and state.evicted is not None
            and not spec.is_terminal(pod)
            for pod in self.pods.items()
        )

    def evict(self, pod: Object, eviction: Eviction) -> None:
        """End a pod."""
        state = self.states.get(uid_of(pod))
        if state is None:
            return
        state.evicted = eviction
        self.recorder.record(pod, "Warning", eviction.reason, eviction.message)
        self.look(uid_of(pod))

    def has_ended(self, uid: str) -> bool:
        """Whether nothing of a pod is left to wait for."""
        pod = self.pods.get(uid)
        return pod is None or spec.is_terminal(pod)
