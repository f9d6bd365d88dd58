"""Pods that wait for a place: ready to be tried (active), tried lately (back-off), or hopeless as things are.

Invariant: every waiting pod is in exactly one part; one that is being tried is in none, and whatever might have
helped it meanwhile sends it to back-off instead of the unschedulable part.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from api.runtime import Runtime
from control.scheduler.framework import Wake
from control.scheduler.pod import PodInfo

# Whether an event may help a pod that certain plugins refused.
Helps = Callable[[PodInfo, frozenset[str]], bool]

_EVENTS_KEPT = 1000
FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 10.0
# A pod for which no helpful event was recognised is tried anyway after this many seconds.
UNSCHEDULABLE_AT_MOST = 300.0


@dataclass(slots=True)
class Waiting:
    """A pod with the history of its attempts; times are monotonic seconds."""

    pod: PodInfo
    since: float
    attempts: int = 0
    failed_at: float = 0.0
    taken_at: int = 0
    ticket: int = 0
    plugins: frozenset[str] = field(default_factory=frozenset)
    wakes: frozenset[Wake] = frozenset(Wake)

    def backoff_until(self) -> float:
        """When the pod may be tried again."""
        if not self.attempts:
            return 0.0
        return self.failed_at + min(LONGEST_BACKOFF, FIRST_BACKOFF * float(2 ** min(self.attempts - 1, 10)))


class SchedulingQueue:
    """Hands out pods by priority, then by how long they have waited.

    `wakes` says for each plugin which events may help a pod that it refused.
    """

    def __init__(self, runtime: Runtime, wakes: Mapping[str, frozenset[Wake]]) -> None:
        self._runtime = runtime
        self._wakes = wakes
        self._changed = runtime.condition()
        self._active: list[tuple[int, float, int, str]] = []
        self._backoff: list[tuple[float, int, str]] = []
        self._entries: dict[str, Waiting] = {}
        self._unschedulable: dict[str, Waiting] = {}
        # The same, by the events that may help them.
        self._sleepers: dict[Wake, dict[str, Waiting]] = {event: {} for event in Wake}
        self._trying: dict[str, Waiting] = {}
        self._recent: deque[tuple[int, Wake, Helps | None]] = deque(maxlen=_EVENTS_KEPT)
        self._sequence = 0
        self._next_sweep = runtime.monotonic() + UNSCHEDULABLE_AT_MOST / 10
        self._stopped = False

    def counts(self) -> dict[str, int]:
        """How many pods are in each part."""
        unschedulable = len(self._unschedulable)
        backoff = sum(1 for _, ticket, key in self._backoff if self._holder(key, ticket))
        return {
            "active": len(self._entries) - unschedulable - backoff,
            "backoff": backoff,
            "unschedulable": unschedulable,
        }

    def add(self, pod: PodInfo) -> None:
        """A pod that wants a place came or changed; a change makes it worth a try."""
        with self._changed:
            entry = self._entries.get(pod.key) or self._trying.get(pod.key)
            if entry is None:
                entry = Waiting(pod, self._runtime.monotonic())
                self._activate(entry)
                return
            decisive = entry.pod.spec != pod.spec or entry.pod.labels != pod.labels
            entry.pod = pod
            if decisive and pod.key in self._unschedulable:
                self._requeue(entry)
            elif decisive and pod.key in self._trying:
                entry.taken_at = -1

    def remove(self, key: str) -> None:
        """The pod is gone or has a place."""
        with self._changed:
            self._entries.pop(key, None)
            self._rouse(key)
            self._trying.pop(key, None)

    def pop(self) -> Waiting | None:
        """The next pod to try, waiting for one; None once stopped. Then call `park`, `retry` or `remove`."""
        with self._changed:
            while not self._stopped:
                self._promote()
                while self._active:
                    *_, ticket, key = heapq.heappop(self._active)
                    entry = self._holder(key, ticket)
                    if entry is not None:
                        del self._entries[key]
                        self._trying[key] = entry
                        entry.taken_at = self._sequence
                        return entry
                self._changed.wait(self._pause())
            return None

    def park(self, entry: Waiting, plugins: frozenset[str]) -> None:
        """No node fits: wait for an event that may help against `plugins`."""
        with self._changed:
            if self._trying.pop(entry.pod.key, None) is not entry:
                return
            self._failed(entry, plugins)
            if entry.taken_at < 0 or self._was_helped(entry):
                self._requeue(entry)
            else:
                entry.ticket = self._next()
                self._entries[entry.pod.key] = entry
                self._unschedulable[entry.pod.key] = entry
                for event in entry.wakes:
                    self._sleepers[event][entry.pod.key] = entry
                self._changed.notify()

    def retry(self, entry: Waiting) -> None:
        """The attempt failed for reasons that are not the cluster's: try again after the back-off."""
        with self._changed:
            if self._trying.pop(entry.pod.key, None) is entry:
                self._failed(entry, frozenset())
                self._requeue(entry)

    def wake(self, event: Wake, helps: Helps | None = None) -> None:
        """Something happened: try again those pods that it may help."""
        with self._changed:
            self._recent.append((self._next(), event, helps))
            for entry in list(self._sleepers[event].values()):
                if helps is None or helps(entry.pod, entry.plugins):
                    self._requeue(entry)

    def activate(self, wanted: Callable[[PodInfo], bool]) -> None:
        """Try these pods now, whatever they wait for: one that has a place waits for them."""
        with self._changed:
            waiting = [entry for entry in self._entries.values() if wanted(entry.pod)]
            idle = {ticket for *_, ticket, _ in self._backoff}
            for entry in waiting:
                if entry.pod.key in self._unschedulable or entry.ticket in idle:
                    self._activate(entry)

    def stop(self) -> None:
        """Let `pop` return None."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _holder(self, key: str, ticket: int) -> Waiting | None:
        """The entry for which that ticket is still good: a removed or moved one leaves its old ticket in a heap."""
        entry = self._entries.get(key)
        return entry if entry is not None and entry.ticket == ticket else None

    def _failed(self, entry: Waiting, plugins: frozenset[str]) -> None:
        entry.attempts += 1
        entry.failed_at = self._runtime.monotonic()
        entry.plugins = plugins
        every = frozenset(Wake)
        entry.wakes = frozenset().union(*(self._wakes.get(name, every) for name in plugins)) if plugins else every

    def _was_helped(self, entry: Waiting) -> bool:
        """Whether something happened during the attempt that may help; also if too much did to remember it."""
        for moment, event, helps in reversed(self._recent):
            if moment <= entry.taken_at:
                return False
            if event in entry.wakes and (helps is None or helps(entry.pod, entry.plugins)):
                return True
        return len(self._recent) == _EVENTS_KEPT

    def _rouse(self, key: str) -> None:
        """The pod is unschedulable no more."""
        entry = self._unschedulable.pop(key, None)
        for event in entry.wakes if entry is not None else ():
            del self._sleepers[event][key]

    def _activate(self, entry: Waiting) -> None:
        self._rouse(entry.pod.key)
        self._entries[entry.pod.key] = entry
        entry.ticket = self._next()
        heapq.heappush(self._active, (-entry.pod.priority, entry.since, entry.ticket, entry.pod.key))
        self._changed.notify()

    def _requeue(self, entry: Waiting) -> None:
        until = entry.backoff_until()
        if until <= self._runtime.monotonic():
            self._activate(entry)
            return
        self._rouse(entry.pod.key)
        self._entries[entry.pod.key] = entry
        entry.ticket = self._next()
        heapq.heappush(self._backoff, (until, entry.ticket, entry.pod.key))
        self._changed.notify()

    def _promote(self) -> None:
        now = self._runtime.monotonic()
        while self._backoff and self._backoff[0][0] <= now:
            _, ticket, key = heapq.heappop(self._backoff)
            entry = self._holder(key, ticket)
            if entry is not None:
                self._activate(entry)
        if now >= self._next_sweep:
            self._next_sweep = now + UNSCHEDULABLE_AT_MOST / 10
            for entry in list(self._unschedulable.values()):
                if now - entry.failed_at >= UNSCHEDULABLE_AT_MOST:
                    self._activate(entry)

    def _pause(self) -> float | None:
        now = self._runtime.monotonic()
        pauses = [self._next_sweep - now] if self._unschedulable else []
        if self._backoff:
            pauses.append(self._backoff[0][0] - now)
        return max(0.0, min(pauses)) if pauses else None
