"""Bounded concurrency: a few tasks that run what is handed to them, in order of arrival.

Invariant: at most `width` functions run at a time; none starts after `close`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from api.errors import ApiError
from api.runtime import Runtime, Task
from api.transport import TransportError

log = logging.getLogger(__name__)

T = TypeVar("T")


class Pool:
    """Runs functions in `width` tasks, which start with the first need and end with `close`."""

    def __init__(self, runtime: Runtime, name: str, width: int) -> None:
        self._runtime = runtime
        self._name = name
        self._width = width
        self._changed = runtime.condition()
        self._waiting: deque[Callable[[], None]] = deque()
        self._tasks: list[Task] = []
        self._idle = 0
        self._closed = False

    def submit(self, function: Callable[[], None]) -> None:
        """Run the function soon; an exception that leaves it is logged."""
        with self._changed:
            if self._closed:
                return
            self._waiting.append(function)
            if self._idle == 0 and len(self._tasks) < self._width:
                self._tasks.append(self._runtime.spawn(f"{self._name}-{len(self._tasks)}", self._run))
            else:
                self._changed.notify()

    def close(self) -> None:
        """Forget what waits, and wait for what runs."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        for task in self._tasks:
            task.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._waiting and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if self._closed:
                    return
                function = self._waiting.popleft()
            try:
                function()
            except Exception:
                log.exception("a task of %s failed", self._name)


def for_each(runtime: Runtime, name: str, items: Sequence[T], function: Callable[[T], None], *, width: int) -> None:
    """Call `function` for all items, up to `width` at a time, and wait; the first ApiError or TransportError is
    raised once all have ended, and no further item is started after it."""
    rest = deque(items)
    errors: list[Exception] = []

    def worker() -> None:
        while rest and not errors:
            item = rest.popleft()
            try:
                function(item)
            except (ApiError, TransportError) as error:
                errors.append(error)

    tasks = [runtime.spawn(name, worker) for _ in range(min(width, len(rest)) - 1)]
    worker()
    for task in tasks:
        task.join()
    if errors:
        raise errors[0]
