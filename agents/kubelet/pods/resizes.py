"""What users are told of a pod whose resources change while it runs.

Invariant: pure; each turn is told once, in the original's words.
Source: kubelet's allocation manager and PodResizePendingMsg, PodResizeStartedMsg, PodResizeCompletedMsg.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from agents.kubelet.pods import spec
from agents.kubelet.pods.view import PodView
from agents.kubelet.runtime.interface import State
from api.objects import Object


class ResizeProblem(NamedTuple):
    """Why the resources asked for cannot be given: Infeasible or Deferred, the sentence, and what is short."""

    reason: str
    message: str
    short: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the change of a pod's resources is; `changing` are the containers that do not have theirs yet."""

    problem: ResizeProblem | None = None
    changing: frozenset[str] = frozenset()


def changing(view: PodView, pending: frozenset[str], before: Standing) -> frozenset[str]:
    """The containers that do not have their new resources: those whose they differ, and those that restart for it."""
    restarting = (name for name in before.changing if not _runs(view, name))
    return pending.union(restarting)


def _runs(view: PodView, name: str) -> bool:
    latest = view.latest(name)
    return latest is not None and latest.state is State.RUNNING


def told(pod: Object, before: Standing, now: Standing) -> Iterator[tuple[str, str, str]]:
    """The events (kind, reason, message) of the way from one standing to the next."""
    if now.problem is not None:
        if before.problem is None or before.problem[:2] != now.problem[:2]:
            said = message(pod, now.problem.short, error=now.problem.message)
            yield "Warning", f"Resize{now.problem.reason}", said
    elif now.changing and (not before.changing or before.problem is not None):
        yield "Normal", "ResizeStarted", message(pod, "started")
    elif before.changing and before.problem is None and not now.changing:
        yield "Normal", "ResizeCompleted", message(pod, "completed")


def too_little(whose: str, limit: int, used: int) -> str:
    """Why a running container, or its pod, cannot have that limit of memory, of which 0 is none, or "".

    The kernel would end processes for it. Source: kuberuntime's validateMemoryResizeAction.
    """
    if not 0 < limit <= used:
        return ""
    below = f"attempting to set {whose} memory limit ({limit}) below current usage ({used})"
    return f"cannot decrease memory limits: {below}"


def message(pod: Object, what: str, error: str = "") -> str:
    """The sentence, with the resources that the pod asks for."""
    details: dict[str, Any] = {}
    for name, containers in (("initContainers", spec.init_containers(pod)), ("containers", spec.containers(pod))):
        if containers:
            details[name] = [{"name": entry["name"], "resources": entry.get("resources") or {}} for entry in containers]
    details["generation"] = int(pod["metadata"].get("generation") or 0)
    if error:
        details["error"] = error
    return f"Pod resize {what}: {_json(details)}"


def _json(details: dict[str, Any]) -> str:
    """Members in their order, but those of resources sorted, as Go writes maps."""
    for entry in (*details.get("initContainers", ()), *details.get("containers", ())):
        entry["resources"] = orjson.loads(orjson.dumps(entry["resources"], option=orjson.OPT_SORT_KEYS))
    return orjson.dumps(details).decode()
