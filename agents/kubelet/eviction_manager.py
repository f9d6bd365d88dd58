"""Watches the node's memory, disk and processes, and ends pods before the kernel has to.

One look: what is short? For disk, first remove what nobody uses and look at the node again; if that is not enough, or
it is memory or processes, one pod goes. Pods that use more disk than they may go whatever the node has left.

Invariant: at most one pod a look is ended for the node's sake, and none while the last one still ends; what is decided
follows from one reading of the node, and the conditions told are those that new pods are judged by.
Source: kubelet/eviction eviction_manager.synchronize.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from agents.kubelet.eviction import Use, limits_disk, over_own_limit, victim
from agents.kubelet.machine import Pressure
from agents.kubelet.pods import spec
from agents.kubelet.pods.view import Eviction
from agents.kubelet.thresholds import CONDITIONS, Conditions, Patience, Shortage, Signal, Threshold, shortages
from api.objects import Object, name_of, namespace_of
from api.runtime import Runtime

log = logging.getLogger(__name__)

_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Node:
    """What the manager reads of the node and does to it; `ending()` says whether an evicted pod still takes room.

    `use(pod, images_apart)` measures a pod on a node whose images lie on a disk of their own, or not.
    """

    pressure: Callable[[], Pressure]
    pods: Callable[[], list[Object]]
    use: Callable[[Object, bool], Use]
    reclaim: Callable[[], None]
    evict: Callable[[Object, Eviction], None]
    ending: Callable[[], bool] = lambda: False


class EvictionManager:
    """The watch over one node. `changed()` is called when the conditions are others than before.

    `longest_grace` is what a pod gets at most, in seconds, when a soft threshold ends it.
    """

    def __init__(
        self,
        clock: Runtime,
        node: Node,
        thresholds: tuple[Threshold, ...],
        transition: float,
        changed: Callable[[], None],
        longest_grace: float = 0.0,
    ) -> None:
        self._clock = clock
        self._node = node
        self._thresholds = thresholds
        self._conditions = Conditions(transition)
        self._changed = changed
        self._longest_grace = longest_grace
        self._patience = Patience()
        self._evicted = float("-inf")
        self.conditions: frozenset[str] = frozenset()

    def look(self) -> None:
        """Look once, and act."""
        pressure = self._node.pressure()
        found = shortages(pressure, self._thresholds, self._patience.since)
        self._tell(found)
        found = self._patience.over(found, self._clock.monotonic())
        if any(_helps(shortage.signal, pressure) for shortage in found):
            log.warning("the node is short of disk: unused images and ended containers are removed")
            self._node.reclaim()
            now = shortages(self._node.pressure(), self._thresholds, [entry.key for entry in found])
            left = {entry.key for entry in now}
            found = [shortage for shortage in found if shortage.key in left]
        use = partial(self._use, pressure.images_apart)
        waits = self._node.ending() and self._clock.monotonic() - self._evicted < _PATIENCE
        if found and not waits:
            self._evict_one(found[0], use)
        for pod in self._node.pods():
            if limits_disk(pod) and not spec.is_terminal(pod):
                excess = over_own_limit(pod, use(pod))
                if excess is not None:
                    self._evict(pod, excess)

    def _use(self, images_apart: bool, pod: Object) -> Use:
        return self._node.use(pod, images_apart)

    def _tell(self, found: list[Shortage]) -> None:
        conditions = self._conditions.update(found, self._clock.monotonic())
        if conditions != self.conditions:
            log.warning("the node's pressure: %s", ", ".join(sorted(conditions)) or "none")
            self.conditions = conditions
            self._changed()

    def _evict_one(self, shortage: Shortage, use: Callable[[Object], Use]) -> None:
        chosen = victim(shortage, self._node.pods(), use, self._longest_grace)
        if chosen is None:
            log.warning("the node is short of %s and has no pod that may be evicted", shortage.signal)
            return
        self._evicted = self._clock.monotonic()
        self._evict(*chosen)

    def _evict(self, pod: Object, eviction: Eviction) -> None:
        log.warning("pod %s/%s is evicted: %s", namespace_of(pod), name_of(pod), eviction.message)
        self._node.evict(pod, eviction)


def _helps(signal: Signal, pressure: Pressure) -> bool:
    """Whether removing what nobody uses helps. Source: eviction's buildSignalToNodeReclaimFuncs."""
    of_images = signal in (Signal.IMAGE_DISK, Signal.IMAGE_INODES)
    return CONDITIONS[signal] == "DiskPressure" and (of_images or not pressure.images_apart)
