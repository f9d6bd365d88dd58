"""Lifecycle hooks: what a container asks to be done right after its start and right before its end.

Source: kubelet's lifecycle handlers; core/v1 Lifecycle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agents.kubelet.pods import spec
from agents.kubelet.pods.performer import Recorder
from agents.kubelet.probes.actions import Actions, Target
from agents.kubelet.runtime.interface import Container
from api.objects import Object

_LONGEST_POST_START = 600.0


@dataclass(frozen=True, slots=True)
class Hooks:
    """Runs the hooks of one node's containers."""

    actions: Actions
    recorder: Recorder
    address: Callable[[Object], str]

    def post_start(self, pod: Object, container: Object, container_id: str) -> str:
        """Run the postStart hook, if there is one; why it failed, or ""."""
        handler = (container.get("lifecycle") or {}).get("postStart")
        if not handler:
            return ""
        target = Target(container_id, self.address(pod), container)
        answer = self.actions.perform(handler, target, _LONGEST_POST_START)
        return "" if answer.ok else f"PostStartHook failed: {answer.text}"

    def pre_stop(self, pod: Object, container: Container, seconds: float) -> None:
        """Run the preStop hook, if there is one, for at most `seconds`; a failure is an event."""
        wanted = spec.find_container(pod, container.name)
        handler = ((wanted or {}).get("lifecycle") or {}).get("preStop")
        if not handler or wanted is None:
            return
        answer = self.actions.perform(handler, Target(container.id, self.address(pod), wanted), seconds)
        if not answer.ok:
            path = spec.field_path(pod, container.name)
            self.recorder.record(pod, "Warning", "FailedPreStopHook", f"PreStopHook failed: {answer.text}", path)
