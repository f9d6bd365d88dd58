"""Virtual time: a `Runtime` whose clock moves only when every task waits, and whose order of tasks a seed decides.

Tasks are greenlets of one thread, so a run with the same seed is the same run to the last step. A task belongs
to a `Process`; killing a process ends its tasks wherever they wait, as a power cut would.

Invariant: nothing here reads the machine's clock or randomness; time never goes back.
"""

from __future__ import annotations

import heapq
import itertools
import random
import traceback
import uuid
import zlib
from collections.abc import Callable
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

EPOCH = 1_750_000_000.0


class Deadlock(Exception):
    """Every task waits for something that no timer and no other task will bring."""


class Process:
    """Tasks that live and die together, with a clock that may be off by `skew` seconds."""

    def __init__(self, name: str, skew: float = 0.0) -> None:
        self.name = name
        self.skew = skew
        self.alive = True
        self.tasks: dict[VirtualTask, None] = {}


class VirtualTask:
    """A greenlet with a name; `blocked` says what it waits for."""

    def __init__(self, runtime: VirtualRuntime, process: Process, name: str, function: Callable[[], None]) -> None:
        self.name = name
        self.process = process
        self.done = False
        self.error: BaseException | None = None
        self._runtime = runtime
        self._function = function
        self.finished = VirtualEvent(runtime)
        # A task that ends returns to the hub, not to whoever spawned it.
        self.greenlet = greenlet(self._run, parent=runtime.hub)

    def _run(self) -> None:
        try:
            self._function()
        except GreenletExit:
            return
        except Exception as error:  # noqa: BLE001 - a task's boundary: the failure is kept for the report
            self.error = error
            self._runtime.failures.append((self.name, "".join(traceback.format_exception(error))))
        finally:
            self.done = True
            self.process.tasks.pop(self, None)
            self.finished.set()

    def is_alive(self) -> bool:
        return not self.done

    def join(self, timeout: float | None = None) -> None:
        self.finished.wait(timeout)


class VirtualRuntime:
    """One world's clock, tasks and randomness. Use `view(process)` as the Runtime of a process."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.choices = random.Random(seed)
        self.now = 0.0
        self.steps = 0
        self.digest = 0
        self.failures: list[tuple[str, str]] = []
        self.root = Process("root")
        self._ready: list[VirtualTask] = []
        self._doomed: list[VirtualTask] = []
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._current: dict[greenlet, VirtualTask] = {}
        self.hub = getcurrent()

    # -- Runtime, for the root process

    def time(self) -> float:
        return EPOCH + self.now + self._process().skew

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        task = self._task()
        self.call_later(max(0.0, seconds), lambda: self.wake(task))
        self.park()

    def event(self) -> VirtualEvent:
        return VirtualEvent(self)

    def condition(self) -> VirtualCondition:
        return VirtualCondition(self)

    def lock(self) -> VirtualLock:
        return VirtualLock(self)

    def spawn(self, name: str, function: Callable[..., None], *arguments: Any) -> VirtualTask:
        return self.spawn_in(self._process(), name, function, *arguments)

    def random(self) -> random.Random:
        return self.choices

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.choices.getrandbits(128), version=4))

    # -- the world

    def spawn_in(self, process: Process, name: str, function: Callable[..., None], *arguments: Any) -> VirtualTask:
        """Start a task of a process."""
        task = VirtualTask(self, process, f"{process.name}/{name}", lambda: function(*arguments))
        process.tasks[task] = None
        self._current[task.greenlet] = task
        self.wake(task)
        return task

    def kill(self, process: Process) -> None:
        """End all tasks of a process where they stand, before any other task goes on."""
        process.alive = False
        self._ready = [task for task in self._ready if task.process.alive]
        self._doomed += process.tasks
        if getcurrent() is self.hub:
            self._end_doomed()

    def call_later(self, seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        """Call from the hub after `seconds`; the result cancels it."""
        cancelled = False

        def fire() -> None:
            if not cancelled:
                function()

        def cancel() -> None:
            nonlocal cancelled
            cancelled = True

        heapq.heappush(self._timers, (self.now + seconds, next(self._numbers), fire))
        return cancel

    def run(self, until: Callable[[], bool] | None = None, *, seconds: float = float("inf")) -> bool:
        """Let the world go on until `until()` holds or virtual `seconds` have passed; whether it held.

        Raises Deadlock if a condition was asked for and nothing can happen any more.
        """
        assert getcurrent() is self.hub, "run only from where the runtime was made"
        limit = self.now + seconds
        while until is None or not until():
            self._end_doomed()
            if self._ready:
                self._step()
            elif not self._advance(limit):
                if until is not None and not self._timers:
                    raise Deadlock(f"at {self.now:.3f} s of virtual time nothing can happen any more")
                break
        held = until is None or until()
        if not held:
            self.now = min(limit, max(self.now, limit)) if limit != float("inf") else self.now
        return held

    def wake(self, task: VirtualTask) -> None:
        """Make a parked task ready."""
        if not task.done and task.process.alive and task not in self._ready:
            self._ready.append(task)

    def park(self) -> None:
        """Give the processor up until somebody wakes this task."""
        self.hub.switch()

    def current(self) -> VirtualTask | None:
        """The running task; None outside of `run`."""
        return self._current.get(getcurrent())

    def _task(self) -> VirtualTask:
        task = self.current()
        if task is None:
            raise RuntimeError("only a task of the virtual runtime may wait")
        return task

    def _process(self) -> Process:
        task = self.current()
        return task.process if task else self.root

    def _end_doomed(self) -> None:
        # Only from the hub: a task that ends returns there.
        while self._doomed:
            task = self._doomed.pop(0)
            if task.greenlet:
                task.greenlet.throw(GreenletExit)
            task.done = True
            task.process.tasks.pop(task, None)
            task.finished.set()
            self._current.pop(task.greenlet, None)

    def _step(self) -> None:
        self.steps += 1
        index = self.choices.randrange(len(self._ready)) if len(self._ready) > 1 else 0
        task = self._ready.pop(index)
        if task.done:
            return
        # Equal digests after equal numbers of steps: the same tasks ran in the same order at the same moments.
        self.digest = zlib.crc32(f"{self.now} {task.name}".encode(), self.digest)
        task.greenlet.switch()
        if task.greenlet.dead:
            self._current.pop(task.greenlet, None)

    def _advance(self, limit: float) -> bool:
        if not self._timers or self._timers[0][0] > limit:
            if limit != float("inf"):
                self.now = max(self.now, limit)
            return False
        moment, _, function = heapq.heappop(self._timers)
        self.now = max(self.now, moment)
        function()
        return True


class _Waiters:
    """Tasks that wait for one thing, each with an optional time-out."""

    def __init__(self, runtime: VirtualRuntime) -> None:
        self._runtime = runtime
        self._tasks: list[VirtualTask] = []

    def wait(self, timeout: float | None) -> bool:
        """Park; False if the time ran out first."""
        task = self._runtime._task()
        self._tasks.append(task)
        cancel = None if timeout is None else self._runtime.call_later(max(0.0, timeout), lambda: self._expire(task))
        try:
            self._runtime.park()
        finally:
            if cancel is not None:
                cancel()
            woken = task not in self._tasks
            if not woken:
                self._tasks.remove(task)
        return woken

    def wake(self, count: int) -> None:
        for _ in range(min(count, len(self._tasks))):
            index = self._runtime.choices.randrange(len(self._tasks))
            self._runtime.wake(self._tasks.pop(index))

    def wake_all(self) -> None:
        # In which order they go on is drawn when they do.
        for task in self._tasks:
            self._runtime.wake(task)
        self._tasks.clear()

    def _expire(self, task: VirtualTask) -> None:
        if task in self._tasks:
            self._runtime.wake(task)


class VirtualEvent:
    """`threading.Event` in virtual time."""

    def __init__(self, runtime: VirtualRuntime) -> None:
        self._set = False
        self._waiters = _Waiters(runtime)

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._waiters.wake_all()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self._waiters.wait(timeout)
        return self._set


class VirtualLock:
    """`threading.RLock` in virtual time."""

    def __init__(self, runtime: VirtualRuntime) -> None:
        self._runtime = runtime
        self._owner: VirtualTask | None = None
        self._depth = 0
        self._waiters = _Waiters(runtime)

    def __enter__(self) -> VirtualLock:
        self.acquire()
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def acquire(self) -> None:
        task = self._runtime.current()
        if task is not None and not task.process.alive:
            return
        while self._depth and self._owner is not task:
            if self._owner is not None and self._owner.done:
                break
            self._waiters.wait(None)
        if self._owner is not task:
            self._depth = 0
        self._owner = task
        self._depth += 1

    def release(self) -> None:
        if self._owner is not self._runtime.current():
            # The task is dying and was waiting for the lock that it would now release.
            return
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
            self._waiters.wake(1)


class VirtualCondition(VirtualLock):
    """`threading.Condition` in virtual time."""

    def __init__(self, runtime: VirtualRuntime) -> None:
        super().__init__(runtime)
        self._sleepers = _Waiters(runtime)

    def wait(self, timeout: float | None = None) -> bool:
        depth, self._depth = self._depth, 0
        self._owner = None
        self._waiters.wake(1)
        try:
            return self._sleepers.wait(timeout)
        finally:
            self.acquire()
            if self._owner is self._runtime.current():
                self._depth = depth

    def notify(self, n: int = 1) -> None:
        self._sleepers.wake(n)

    def notify_all(self) -> None:
        self._sleepers.wake_all()
