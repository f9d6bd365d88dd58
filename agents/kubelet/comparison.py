"""Compares what the runtime, the network and the disk have with what they had and with the API's pods.

What differs is looked at: it finds whatever no event told of, and what the kubelet left behind when it was killed.

Invariant: nothing is changed here; pods are only named to be looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from agents.kubelet.node_pods import NodePods
from agents.kubelet.pods.view import PodView, views
from agents.kubelet.runtime.interface import ContainerRuntime, ContainerRuntimeError, NoSuchContainer
from agents.network.interface import PodNetwork
from api.runtime import Runtime

log = logging.getLogger(__name__)

_HINTS = {"died", "remove", "oom"}
_SANDBOX_PREFIX = "pod-"


class Place(Protocol):
    """Somewhere on the node where pods have things."""

    def known(self) -> Iterable[str]:
        """The uids of the pods that have something here."""


@dataclass(slots=True)
class Comparison:
    """The comparison for one node's pods. `look(uid)` has a pod looked at soon.

    `compared` is when the runtime was last asked, on the monotonic clock, and `problem` why it did not answer, or "".
    """

    clock: Runtime
    runtime: ContainerRuntime
    network: PodNetwork
    pods: NodePods
    places: tuple[Place, ...]
    look: Callable[[str], None]
    compared: float
    problem: str = ""
    _seen: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)

    def relist(self) -> None:
        """Compare what the runtime has with what it had, and look at every pod that changed."""
        self.compared = self.clock.monotonic()
        try:
            found = views(self.runtime.list())
        except NoSuchContainer as error:
            log.info("a container went while all were looked at, which is done again: %s", error)
            return
        except ContainerRuntimeError as error:
            self.problem = str(error)
            log.warning("the container runtime does not answer: %s", error)
            return
        self.problem = ""
        now = {uid: _signature(view) for uid, view in found.items()}
        for uid in now.keys() | self._seen.keys():
            if now.get(uid) != self._seen.get(uid):
                self.look(uid)
        self._seen = now

    def find_leftovers(self) -> None:
        """Look at every pod that has something on the node and is not (any more) bound to it."""
        if not self.pods.synced():
            return
        try:
            uids = set(views(self.runtime.list()))
        except ContainerRuntimeError:
            return
        uids.update(*(place.known() for place in self.places))
        for sandbox in self.network.attached():
            if sandbox.startswith(_SANDBOX_PREFIX):
                uids.add(sandbox.removeprefix(_SANDBOX_PREFIX))
        for uid in uids:
            if self.pods.get(uid) is None:
                self.look(uid)

    def follow_events(self) -> None:
        """Look at the pods that the runtime tells of, until its events end."""
        try:
            for event in self.runtime.events():
                if event.pod_uid and event.what in _HINTS:
                    self.look(event.pod_uid)
        except ContainerRuntimeError as error:
            log.info("the runtime's events ended, asking again: %s", error)


def _signature(view: PodView) -> frozenset[tuple[str, str]]:
    entries = [(container.id, container.state.value) for container in view.containers]
    if view.sandbox is not None:
        entries.append((view.sandbox.id, view.sandbox.state.value))
    return frozenset(entries)
