"""Lifecycle hooks: what a container asks to be done right after its start and right before its end.

Invariant: what a hook said is in the node's log only; events are read by more people, and it may be a secret.
Source: kubelet's lifecycle handlers; core/v1 Lifecycle.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from agents.kubelet.pods import spec
from agents.kubelet.pods.performer import Recorder
from agents.kubelet.probes.actions import Actions
from agents.kubelet.probes.http import call
from agents.kubelet.probes.target import Answer, Target
from agents.kubelet.runtime.interface import Container
from api.objects import Object, uid_of

log = logging.getLogger(__name__)

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
        answer = self._perform(handler, target, _LONGEST_POST_START)
        if answer.ok:
            return ""
        log.warning("the postStart hook of %s of pod %s failed: %s", container["name"], uid_of(pod), answer.text)
        return "PostStartHook failed"

    def pre_stop(self, pod: Object, container: Container, seconds: float) -> None:
        """Run the preStop hook, if there is one, for at most `seconds`; a failure is an event."""
        wanted = spec.find_container(pod, container.name)
        handler = ((wanted or {}).get("lifecycle") or {}).get("preStop")
        if not handler or wanted is None:
            return
        answer = self._perform(handler, Target(container.id, self.address(pod), wanted), seconds)
        if not answer.ok:
            log.warning("the preStop hook of %s of pod %s failed: %s", container.name, uid_of(pod), answer.text)
            path = spec.field_path(pod, container.name)
            self.recorder.record(pod, "Warning", "FailedPreStopHook", "PreStopHook failed", path)

    def _perform(self, handler: Object, target: Target, seconds: float) -> Answer:
        if handler.get("httpGet") is not None:
            return call(self.actions.clock, handler["httpGet"], target, seconds)
        return self.actions.perform(handler, target, seconds)
