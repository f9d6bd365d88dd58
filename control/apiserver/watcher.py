"""One open watch: what it selects, and the lines that wait to be sent.

The cache pushes and never waits; the connection's task takes what has gathered. A watcher that lets too much
gather is dropped, and its client resumes from the last resource version it saw.

Invariant: lines leave in the order of the changes; after `drop` no more are taken in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from api.runtime import Runtime
from control.apiserver.cached import Change, Form
from control.apiserver.selection import Selection

_LONGEST_QUEUE = 10_000

Late = Callable[[Change], bytes]
"""The line that a change is for a watcher whose objects somebody else converts; empty if it is none."""


class Watcher:
    """Selects, translates and queues changes. `trigger` is one exact (field, value) that all selected objects have.

    `form` is applied where the change happens, `late` where the lines are taken: it may wait for somebody.
    """

    def __init__(
        self, selection: Selection, runtime: Runtime, *, form: Form | None = None, late: Late | None = None
    ) -> None:
        self.trigger = selection.trigger
        self._selection = selection
        self._form = form
        self._late = late
        self._lines: deque[bytes | Change] = deque()
        self._ready = runtime.event()
        self._longest = _LONGEST_QUEUE
        self.dropped = False

    def push_present(self, change: Change) -> None:
        """Take in an object that is there when the watch begins; however many there are, they count as read."""
        self._longest += 1
        self.push(change)

    def push(self, change: Change) -> None:
        """Take in a change, as seen through the selection."""
        before = change.old is not None and self._selection.matches(change.old)
        after = change.new is not None and self._selection.matches(change.new)
        if not before and not after:
            return
        kind = ("MODIFIED" if before else "ADDED") if after else "DELETED"
        if len(self._lines) >= self._longest:
            self.drop()
        if not self.dropped:
            self._lines.append(change if self._late else change.line(kind, self._form))
            self._ready.set()

    def push_line(self, line: bytes) -> None:
        """Take in a line as it is."""
        self._lines.append(line)
        self._ready.set()

    def drop(self) -> None:
        """End the watch once what is queued has been taken."""
        self.dropped = True
        self._ready.set()

    def take(self, timeout: float) -> bytes:
        """All lines that have gathered; empty if none came within `timeout` seconds or the watch was dropped."""
        if not self._lines and not self.dropped:
            self._ready.wait(timeout)
        self._ready.clear()
        gathered = []
        while self._lines:
            gathered.append(self._lines.popleft())
        if self.dropped:
            self._ready.set()
        late = self._late
        return b"".join(line if isinstance(line, bytes) else late(line) if late else b"" for line in gathered)
