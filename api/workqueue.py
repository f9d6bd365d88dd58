"""Keys that wait to be looked at: each at most once in the queue, never worked on by two workers at a time.

Invariant: a key added while it is being worked on is handed out again after `done`, so no change is missed; and
however many keys are ready, the other tasks of the process (which read, and renew leases) get their turns.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable

from api.errors import ApiError
from api.runtime import Event, Runtime
from api.transport import TransportError

log = logging.getLogger(__name__)

# Seconds for which keys are handed out without a turn for other tasks.
_TURN = 0.02


class WorkQueue:
    """A de-duplicating queue with delays and per-key exponential back-off (5 ms doubling to 100 s).

    The original's goes up to 1000 s: what waited for room in a quota would stay away for a quarter of an hour after
    there is room.
    """

    def __init__(self, runtime: Runtime, *, base_delay: float = 0.005, longest_delay: float = 100.0) -> None:
        self._runtime = runtime
        self._base = base_delay
        self._longest = longest_delay
        self._changed = runtime.condition()
        self._ready: deque[str] = deque()
        self._dirty: set[str] = set()
        self._working: set[str] = set()
        self._later: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._stopped = False
        self._turn_since = runtime.monotonic()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: str) -> None:
        """Ask for a look at `key`."""
        with self._changed:
            self._add(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Ask for a look at `key` in `seconds`; of several such wishes for a key the earliest stands."""
        if seconds <= 0:
            self.add(key)
            return
        with self._changed:
            moment = self._runtime.monotonic() + seconds
            if moment < self._due.get(key, float("inf")):
                self._due[key] = moment
                heapq.heappush(self._later, (moment, key))
                self._changed.notify()

    def add_rate_limited(self, key: str) -> None:
        """Ask for another look at a key that failed, later each time."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(self._longest, self._base * 2 ** min(failures, 30)))

    def forget(self, key: str) -> None:
        """The key went well: start its back-off afresh."""
        self._failures.pop(key, None)

    def failures(self, key: str) -> int:
        """How often in a row the key has failed."""
        return self._failures.get(key, 0)

    def get(self) -> str | None:
        """The next key, waiting for one; None once the queue is stopped. Call `done` with it."""
        if self._runtime.monotonic() - self._turn_since > _TURN:
            self._runtime.sleep(0)
            self._turn_since = self._runtime.monotonic()
        with self._changed:
            while True:
                self._promote()
                if self._stopped:
                    return None
                if self._ready:
                    key = self._ready.popleft()
                    self._dirty.discard(key)
                    self._working.add(key)
                    return key
                pause = self._later[0][0] - self._runtime.monotonic() if self._later else None
                self._changed.wait(pause)
                self._turn_since = self._runtime.monotonic()

    def done(self, key: str) -> None:
        """The worker has finished with `key`."""
        with self._changed:
            self._working.discard(key)
            if key in self._dirty:
                self._ready.append(key)
                self._changed.notify()

    def stop(self) -> None:
        """Let every `get` return None."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _add(self, key: str) -> None:
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._working:
            self._ready.append(key)
            self._changed.notify()

    def _promote(self) -> None:
        now = self._runtime.monotonic()
        while self._later and self._later[0][0] <= now:
            moment, key = heapq.heappop(self._later)
            if self._due.get(key) == moment:
                del self._due[key]
                self._add(key)


def work(queue: WorkQueue, reconcile: Callable[[str], float | None], stop: Event, name: str) -> None:
    """Take keys and reconcile them until the queue stops; a failed key comes back later.

    `reconcile` returns None, or seconds after which it wants to look again.
    """
    while not stop.is_set():
        key = queue.get()
        if key is None:
            return
        try:
            again = reconcile(key)
            queue.forget(key)
            if again is not None:
                queue.add_after(key, again)
        except (ApiError, TransportError) as error:
            log.info("%s: %s will be tried again: %s", name, key, error)
            queue.add_rate_limited(key)
        except Exception:
            log.exception("%s: %s failed", name, key)
            queue.add_rate_limited(key)
        finally:
            queue.done(key)
