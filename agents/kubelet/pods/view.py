"""What the runtime says of one pod, and what the kubelet remembers beside it.

Invariant: values only. All in `PodView` comes from the runtime and its labels; `Memory` holds what may be lost
at a restart without harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agents.kubelet.runtime.interface import Container, Inventory, Sandbox, State

# Why a container waits that could not be started.
RUN_ERROR = "RunContainerError"


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod's sandbox and containers; `containers` has the newest attempt of each name first."""

    sandbox: Sandbox | None = None
    old_sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()

    def latest(self, name: str) -> Container | None:
        """The newest attempt of that container."""
        return next((found for found in self.containers if found.name == name), None)

    def previous(self, name: str) -> Container | None:
        """The attempt before the newest."""
        attempts = [found for found in self.containers if found.name == name]
        return attempts[1] if len(attempts) > 1 else None

    def running(self) -> list[Container]:
        """Containers with a process."""
        return [found for found in self.containers if found.state is State.RUNNING]

    @property
    def empty(self) -> bool:
        """Whether the runtime has nothing of the pod."""
        return self.sandbox is None and not self.old_sandboxes and not self.containers


def views(inventory: Inventory) -> dict[str, PodView]:
    """The views of all pods in an inventory, by uid."""
    uids = {sandbox.pod.uid for sandbox in inventory.sandboxes} | {found.pod.uid for found in inventory.containers}
    return {uid: view_of(inventory, uid) for uid in uids}


def view_of(inventory: Inventory, uid: str) -> PodView:
    """The view of one pod."""
    sandboxes = sorted(
        (found for found in inventory.sandboxes if found.pod.uid == uid),
        key=lambda found: (found.attempt, found.created),
        reverse=True,
    )
    containers = sorted(
        (found for found in inventory.containers if found.pod.uid == uid),
        key=lambda found: (found.name, found.attempt, found.created),
        reverse=True,
    )
    return PodView(sandboxes[0] if sandboxes else None, tuple(sandboxes[1:]), tuple(containers))


def with_unstarted(view: PodView, unstarted: Iterable[Container]) -> PodView:
    """The view with attempts that never came to run, of which the runtime has nothing, as ended ones."""
    known = {(found.name, found.attempt) for found in view.containers}
    more = [found for found in unstarted if (found.name, found.attempt) not in known]
    ordered = sorted((*view.containers, *more), key=lambda found: (found.name, found.attempt), reverse=True)
    return replace(view, containers=tuple(ordered)) if more else view


@dataclass(frozen=True, slots=True)
class Reading:
    """What the probes say of one running container."""

    started: bool = True
    ready: bool = True
    live: bool = True
    failed_probe: str = ""
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long a failing container waits before it is started again, and since when it does."""

    delay: float
    updated: float


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a container could not be started: a waiting reason and a sentence; tried again at `retry`."""

    reason: str
    message: str
    retry: float


@dataclass(frozen=True, slots=True)
class Eviction:
    """Why the node ends a pod for good, and within how many seconds.

    `disruption` is what its DisruptionTarget condition says, if not the message; without one if it is "".
    """

    reason: str
    message: str
    grace: float
    disruption: str | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What the kubelet knows of a pod beyond the runtime. `readings` is by container id, the rest by name.

    `seen` is when the kubelet first saw the pod; `evicted` says that the node ends it. `resized` is what a container's
    resources are by now, by id; `resize_problem` says why the resources asked for cannot be given yet; `resizing` that
    they are being given, and `resize_error` what the runtime said when they could not. `starting_over` is the id of the
    container for whose end the whole pod is being started over. `restarting` are the ids of those that were ended
    to run again.
    """

    readings: Mapping[str, Reading] = field(default_factory=dict)
    backoffs: Mapping[str, BackOff] = field(default_factory=dict)
    problems: Mapping[str, Problem] = field(default_factory=dict)
    rejected: tuple[str, str] | None = None
    evicted: Eviction | None = None
    addresses: tuple[str, ...] = ()
    seen: float = 0.0
    resized: Mapping[str, str] = field(default_factory=dict)
    resize_problem: tuple[str, ...] | None = None
    unresized: frozenset[str] = frozenset()
    resizing: bool = False
    resize_error: str = ""
    starting_over: str = ""
    restarting: frozenset[str] = frozenset()
