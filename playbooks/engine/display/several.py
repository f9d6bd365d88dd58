"""One run shown by several displays: lines on the terminal, events in a log.

Invariant: every display hears of everything, in the same order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from playbooks.engine.display.events import Display, Finished
from playbooks.engine.language.values import Play, Task
from playbooks.engine.result import Result


class Several(Display):
    """Passes everything on."""

    def __init__(self, *displays: Display) -> None:
        self._displays = displays
        self._lock = threading.Lock()

    def _all(self, tell: Callable[[Display], None]) -> None:
        with self._lock:
            for display in self._displays:
                tell(display)

    def play_started(self, play: Play, hosts: Sequence[str]) -> None:
        """To all."""
        self._all(lambda display: display.play_started(play, hosts))

    def task_started(self, task: Task, hosts: Sequence[str], *, handler: bool = False) -> None:
        """To all."""
        self._all(lambda display: display.task_started(task, hosts, handler=handler))

    def host_started(self, task: Task, host: str) -> None:
        """To all."""
        self._all(lambda display: display.host_started(task, host))

    def transferring(self, host: str, moved: int, size: int) -> None:
        """To all."""
        self._all(lambda display: display.transferring(host, moved, size))

    def item_finished(self, finished: Finished) -> None:
        """To all."""
        self._all(lambda display: display.item_finished(finished))

    def task_finished(self, finished: Finished) -> None:
        """To all."""
        self._all(lambda display: display.task_finished(finished))

    def retrying(self, task: Task, host: str, left: int) -> None:
        """To all."""
        self._all(lambda display: display.retrying(task, host, left))

    def included(self, host: str, what: str) -> None:
        """To all."""
        self._all(lambda display: display.included(host, what))

    def warning(self, message: str) -> None:
        """To all."""
        self._all(lambda display: display.warning(message))

    def finished(self, result: Result) -> None:
        """To all."""
        self._all(lambda display: display.finished(result))
