"""A priority level: so many requests at a time, the others in queues, one for each flow, served in turn.

Invariant: no flow waits behind another's queue: a free seat goes to the flows that wait, one after the other.
Source: "API Priority and Fairness" in the documentation.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque

from api import errors
from api.runtime import Event, Runtime

_WAIT_SECONDS = 15.0


class Level:
    """`seats` is None for an exempt level, which lets everything through."""

    def __init__(self, name: str, uid: str, runtime: Runtime) -> None:
        self.name = name
        self.uid = uid
        self.seats: int | None = None
        self.queue_length = 0
        self.executing = 0
        self._runtime = runtime
        self._lock = runtime.lock()
        self._waiting: OrderedDict[str, deque[Event]] = OrderedDict()

    def enter(self, flow: str) -> None:
        """Take a seat, waiting for one if need be; `leave` gives it back. Raises TooManyRequests."""
        if self.seats is None:
            return
        with self._lock:
            if self.executing < self.seats and not self._waiting:
                self.executing += 1
                return
            queue = self._waiting.setdefault(flow, deque())
            if len(queue) >= self.queue_length:
                if not queue:
                    del self._waiting[flow]
                raise _too_many()
            turn = self._runtime.event()
            queue.append(turn)
        if not turn.wait(_WAIT_SECONDS):
            self._give_up(flow, turn)

    def leave(self) -> None:
        """Give the seat to the flow whose turn it is."""
        if self.seats is None:
            return
        with self._lock:
            # Who entered while the level was exempt has taken no seat.
            self.executing = max(0, self.executing - 1)
            self._dispatch()

    def waiting(self) -> dict[str, int]:
        """How many requests wait, by the flow schema that put them here."""
        counts: Counter[str] = Counter()
        with self._lock:
            for flow, queue in self._waiting.items():
                counts[flow.partition("/")[0]] += len(queue)
        return counts

    def _dispatch(self) -> None:
        while self._waiting and self.seats is not None and self.executing < self.seats:
            flow, queue = self._waiting.popitem(last=False)
            self.executing += 1
            queue.popleft().set()
            if queue:
                self._waiting[flow] = queue

    def _give_up(self, flow: str, turn: Event) -> None:
        with self._lock:
            if turn.is_set():
                return
            queue = self._waiting[flow]
            queue.remove(turn)
            if not queue:
                del self._waiting[flow]
        raise _too_many()

    def resize(self, seats: int | None, queue_length: int) -> None:
        """Another limit from now on; an exempt level lets everybody go who waits."""
        with self._lock:
            before, self.seats, self.queue_length = self.seats, seats, queue_length
            if seats is None and before is not None:
                for queue in self._waiting.values():
                    for turn in queue:
                        turn.set()
                self._waiting.clear()
                self.executing = 0
            self._dispatch()


def _too_many() -> errors.TooManyRequests:
    return errors.TooManyRequests("Too many requests, please try again later.", retry_after_seconds=1)
