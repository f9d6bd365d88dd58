"""A priority level: so many requests at a time, the others in queues, one for each flow, served in turn.

A level whose seats are taken borrows those that others may lend and do not use; what is theirs they take at once, so
for the time of a few requests there may be more at work than seats.

Invariant: no flow waits behind another's queue: a free seat goes to the flows that wait, one after the other.
Source: "API Priority and Fairness" in the documentation.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection

from api import errors
from api.runtime import Event, Runtime

_WAIT_SECONDS = 15.0


class Level:
    """`seats` is None for an exempt level, which lets everything through."""

    def __init__(self, name: str, uid: str, runtime: Runtime, levels: Callable[[], Collection[Level]] = tuple) -> None:
        self.name = name
        self.uid = uid
        self.seats: int | None = None
        self.lendable = 0
        self.borrowable: int | None = None
        """How many seats of others it may use, None for all."""
        self.queue_length = 0
        self.executing = 0
        self._runtime = runtime
        self._levels = levels
        self._lock = runtime.lock()
        self._waiting: OrderedDict[str, deque[Event]] = OrderedDict()

    def enter(self, flow: str) -> None:
        """Take a seat, waiting for one if need be; `leave` gives it back. Raises TooManyRequests."""
        if self.seats is None:
            return
        with self._lock:
            if not self._waiting and self._has_seat():
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
            is_idle = not self._waiting
        for other in self._levels() if is_idle else ():
            other.offer()

    def offer(self) -> None:
        """Another level has given a seat back that may be lent."""
        if self._waiting:
            with self._lock:
                self._dispatch()

    def _has_seat(self) -> bool:
        """A seat of its own, or one that another level lends."""
        seats = self.seats
        if seats is None or self.executing < seats:
            return True
        beyond = self.executing - seats
        if self.borrowable is not None and beyond >= self.borrowable:
            return False
        others = [level for level in self._levels() if level is not self and level.seats is not None]
        lent = sum(max(0, level.executing - (level.seats or 0)) for level in others) + beyond
        return lent < sum(min(level.lendable, max(0, (level.seats or 0) - level.executing)) for level in others)

    def waiting(self) -> dict[str, int]:
        """How many requests wait, by the flow schema that put them here."""
        counts: Counter[str] = Counter()
        with self._lock:
            for flow, queue in self._waiting.items():
                counts[flow.partition("/")[0]] += len(queue)
        return counts

    def _dispatch(self) -> None:
        while self._waiting and self.seats is not None and self._has_seat():
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

    def resize(self, seats: int | None, queue_length: int, lendable: int = 0, borrowable: int | None = 0) -> None:
        """Other limits from now on; an exempt level lets everybody go who waits."""
        with self._lock:
            before, self.seats, self.queue_length = self.seats, seats, queue_length
            self.lendable, self.borrowable = lendable, borrowable
            if seats is None and before is not None:
                for queue in self._waiting.values():
                    for turn in queue:
                        turn.set()
                self._waiting.clear()
                self.executing = 0
            self._dispatch()


def _too_many() -> errors.TooManyRequests:
    return errors.TooManyRequests("Too many requests, please try again later.", retry_after_seconds=1)
