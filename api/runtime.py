"""Time, tasks and randomness, handed in: the one place that touches the machine's clock.

Everything that waits, starts a task or draws a number gets a `Runtime`. Production passes `SystemRuntime`
(threads; greenlets where the process is patched by gevent), tests and the simulator pass one that they drive.

Invariant: no module outside the composition roots calls `time`, `random`, `uuid` or `threading` directly.
"""

from __future__ import annotations

import datetime
import logging
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Protocol

log = logging.getLogger(__name__)


class Event(Protocol):
    """A flag that tasks wait on (`threading.Event`)."""

    def is_set(self) -> bool: ...
    def set(self) -> None: ...
    def clear(self) -> None: ...
    def wait(self, timeout: float | None = None) -> bool: ...


class Condition(AbstractContextManager[Any], Protocol):
    """A lock to wait under (`threading.Condition`)."""

    def wait(self, timeout: float | None = None) -> bool: ...
    def notify(self, n: int = 1) -> None: ...
    def notify_all(self) -> None: ...


class Task(Protocol):
    """A running function."""

    def is_alive(self) -> bool: ...
    def join(self, timeout: float | None = None) -> None: ...


class Runtime(Protocol):
    """What a component may ask of the world besides the network."""

    def time(self) -> float:
        """Wall clock, seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""

    def sleep(self, seconds: float) -> None:
        """Let other tasks run for at least `seconds`."""

    def event(self) -> Event:
        """A new flag, not set."""

    def condition(self) -> Condition:
        """A new condition with its own lock."""

    def lock(self) -> AbstractContextManager[Any]:
        """A new re-entrant lock."""

    def spawn(self, name: str, function: Callable[..., None], *arguments: Any) -> Task:
        """Start `function(*arguments)` as a task; an exception that leaves it is logged with the name."""

    def random(self) -> random.Random:
        """The source of randomness."""

    def uuid(self) -> str:
        """A new random UUID as text."""


def _primitives() -> tuple[Callable[[], Event], Callable[[], AbstractContextManager[Any]]]:
    """Events and re-entrant locks: the standard library's, or gevent's own where its patches are in force, which do
    the same in a tenth of the time."""
    if "gevent.monkey" in sys.modules:
        from gevent import event, lock, monkey

        if monkey.is_module_patched("threading"):
            return event.Event, lock.RLock
    return threading.Event, threading.RLock


class SystemRuntime:
    """The machine's clock and threads."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()
        self._event, self._lock = _primitives()

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def event(self) -> Event:
        return self._event()

    def condition(self) -> Condition:
        return threading.Condition(self._lock())  # type: ignore[arg-type]

    def lock(self) -> AbstractContextManager[Any]:
        return self._lock()

    def spawn(self, name: str, function: Callable[..., None], *arguments: Any) -> Task:
        def guarded() -> None:
            try:
                function(*arguments)
            except Exception:
                log.exception("task %s failed", name)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def random(self) -> random.Random:
        return self._random

    def uuid(self) -> str:
        return str(uuid.uuid4())


def timestamp(seconds: float) -> str:
    """`metav1.Time` text, e.g. 2026-01-31T12:00:00Z, of seconds since the epoch."""
    return _timestamp(int(seconds))


@lru_cache(maxsize=64)
def _timestamp(seconds: int) -> str:
    return time_text(datetime.datetime.fromtimestamp(seconds, datetime.UTC))


def micro_timestamp(seconds: float) -> str:
    """`metav1.MicroTime` text, six digits of fraction, of seconds since the epoch."""
    return micro_time_text(datetime.datetime.fromtimestamp(seconds, datetime.UTC))


def time_text(moment: datetime.datetime) -> str:
    """`metav1.Time` text of a moment in UTC; its year has four digits, that of Go's zero time, 0001, too."""
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def micro_time_text(moment: datetime.datetime) -> str:
    """`metav1.MicroTime` text of a moment in UTC."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_timestamp(text: str) -> float:
    """Seconds since the epoch of RFC 3339 text, with or without a fraction. Raises ValueError."""
    return datetime.datetime.fromisoformat(text).timestamp()
