"""Where a commit waits for the disk: here if the disk is fast, in a native thread if waiting would stop the others.

Under gevent a blocking call stops every task of the process. A hand-over to a native thread and back costs about
a quarter of a millisecond, more than a sync on a good disk; so the time that commits take decides.

Invariant: without gevent's patches (real threads) nothing is handed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from api.native import elsewhere, is_cooperative
from api.runtime import Runtime

T = TypeVar("T")

FAST_COMMIT_SECONDS = 0.003
SMOOTHING = 0.1


class Native:
    """Runs calls that block; `observe` is told the seconds that each `run` took."""

    def __init__(self, runtime: Runtime, observe: Callable[[float], None]) -> None:
        self._runtime = runtime
        self._observe = observe
        self._cooperative = is_cooperative()
        self._usual = 0.0

    def run(self, call: Callable[[], T]) -> T:
        """The call's result, in the cheaper place by what such calls took lately."""
        if not self._cooperative or self._usual < FAST_COMMIT_SECONDS:
            return self._timed(call)
        return elsewhere(lambda: self._timed(call))

    def run_long(self, call: Callable[[], T]) -> T:
        """The result of a call that takes long whatever the disk."""
        return elsewhere(call)

    def _timed(self, call: Callable[[], T]) -> T:
        started = self._runtime.monotonic()
        try:
            return call()
        finally:
            seconds = self._runtime.monotonic() - started
            self._usual += SMOOTHING * (seconds - self._usual)
            self._observe(seconds)
