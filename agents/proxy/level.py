"""When a part of the proxy looks at what it keeps: as soon as something changed, and after a while in any case.

Invariant: a change that comes while the part is looking is not lost; the next `wait` returns at once.
"""

from __future__ import annotations

from collections.abc import Callable

from api.informer import Handler
from api.objects import Object
from api.runtime import Runtime


class Level:
    """Wakes one task, which asserts by level what it keeps."""

    def __init__(self, runtime: Runtime, seconds: float) -> None:
        self._seconds = seconds
        self._changed = runtime.condition()
        self._dirty = True

    def wake(self) -> None:
        """Look again, or notice that it is time to stop."""
        with self._changed:
            self._dirty = True
            self._changed.notify_all()

    def wait(self) -> bool:
        """Wait for a change, at most for so many seconds; whether there was one."""
        with self._changed:
            if not self._dirty:
                self._changed.wait(self._seconds)
            dirty, self._dirty = self._dirty, False
            return dirty

    def on(self, relevant: Callable[[Object], object]) -> Handler:
        """A handler of an informer that wakes the task when what is relevant of an object is another than before."""

        def changed(old: Object | None, new: Object | None) -> None:
            if (relevant(old) if old else None) != (relevant(new) if new else None):
                self.wake()

        return changed
