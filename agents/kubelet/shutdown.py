"""Ends the node's pods in order when the machine goes down, before it takes their processes away.

The init system stops the kubelet's service first of all; that it does so because the machine goes down, it says
when asked. Regular pods go first, critical ones after them, each within their part of the time.

Invariant: an ordinary stop of the kubelet ends no pod.
Source: kubelet/nodeshutdown nodeshutdown_manager_linux.go; systemctl(1) is-system-running.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from agents.kubelet.pods import spec
from agents.kubelet.pods.view import Eviction
from api.objects import Object, uid_of
from api.runtime import Runtime

REASON = "Terminated"
MESSAGE = "Pod was terminated in response to imminent node shutdown."
REFUSAL = ("NodeShutdown", "Pod was rejected as the node is shutting down.")
_POLL = 0.2
# After the last SIGKILL the statuses must still be written.
_AFTERWARDS = 5.0


@dataclass(frozen=True, slots=True)
class Grace:
    """Seconds for all pods together, and how many of them are for critical ones at the end."""

    total: float = 0.0
    critical: float = 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """Pods that are ended together, within so many seconds."""

    pods: tuple[Object, ...]
    seconds: float


def groups(pods: list[Object], grace: Grace) -> list[Group]:
    """Which pods are ended when."""
    running = [pod for pod in pods if not spec.is_terminal(pod)]
    regular = tuple(pod for pod in running if not spec.is_critical(pod))
    critical = tuple(pod for pod in running if spec.is_critical(pod))
    parts = (Group(regular, max(0.0, grace.total - grace.critical)), Group(critical, grace.critical))
    return [group for group in parts if group.pods]


def is_machine_stopping() -> bool:
    """Whether the init system is taking the machine down."""
    try:
        answer = subprocess.run(["systemctl", "is-system-running"], capture_output=True, text=True, timeout=5.0)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.strip() == "stopping"


def end_pods(
    clock: Runtime,
    chosen: list[Group],
    end: Callable[[Object, Eviction], None],
    has_ended: Callable[[str], bool],
) -> None:
    """End each group and wait for it, as long as its time lasts."""
    for group in chosen:
        for pod in group.pods:
            end(pod, Eviction(REASON, MESSAGE, min(spec.grace_period(pod), group.seconds)))
        deadline = clock.monotonic() + group.seconds + _AFTERWARDS
        while clock.monotonic() < deadline and not all(has_ended(uid_of(pod)) for pod in group.pods):
            clock.sleep(_POLL)
