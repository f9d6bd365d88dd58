"""One open watch: what it selects, and the lines that wait to be sent.

The cache pushes and never waits; the connection's task takes what has gathered. While that task has nothing to do, a
line may be offered to the connection at once, which saves the turn of a task. A watcher that lets too much gather is
dropped, and its client resumes from the last resource version it saw.

Invariant: lines leave in the order of the changes; after `drop` no more are taken in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from api.runtime import Runtime
from control.apiserver.cached import Change, Form
from control.apiserver.selection import Selection

_LONGEST_QUEUE = 10_000

Offer = Callable[[bytes], bool]
"""Sends without waiting; whether all was sent. What was not is sent before the next lines that are taken."""

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
        self._offer: Offer | None = None
        self._idle = False
        self.dropped = False

    def attach(self, offer: Offer) -> None:
        """From now on lines may be offered to the connection whose task waits in `take`."""
        self._offer = offer

    def push_present(self, change: Change) -> None:
        """Take in an object that is there when the watch begins; however many there are, they count as read."""
        self._longest += 1
        self.push(change)

    def push(self, change: Change, *, at_once: bool = False) -> None:
        """Take in a change, as seen through the selection; send it `at_once` if nothing is in the way."""
        before = change.old is not None and self._selection.matches(change.old)
        after = change.new is not None and self._selection.matches(change.new)
        if not before and not after:
            return
        kind = ("MODIFIED" if before else "ADDED") if after else "DELETED"
        if len(self._lines) >= self._longest:
            self.drop()
        if self.dropped:
            return
        if self._late:
            self._lines.append(change)
        elif at_once and self._idle and self._offer and not self._lines:
            if self._offer(change.line(kind, self._form)):
                return
            self._idle = False
        else:
            self._lines.append(change.line(kind, self._form))
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
        """All lines that have gathered; empty if none came within `timeout` seconds, the watch was dropped, or what
        was offered has not all left."""
        if not self._lines and not self.dropped:
            self._idle = True
            self._ready.wait(timeout)
            self._idle = False
        self._ready.clear()
        gathered = []
        while self._lines:
            gathered.append(self._lines.popleft())
        if self.dropped:
            self._ready.set()
        late = self._late
        return b"".join(line if isinstance(line, bytes) else late(line) if late else b"" for line in gathered)
