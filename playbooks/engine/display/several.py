"""One run shown by several displays: lines on the terminal, events in a log.

Invariant: every display hears of everything, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence

from playbooks.engine.display.events import Display, Finished
from playbooks.engine.language.values import Play, Task
from playbooks.engine.result import Result


class Several(Display):
    """Passes everything on."""

    def __init__(self, *displays: Display) -> None:
        self._displays = displays

    def play_started(self, play: Play, hosts: Sequence[str]) -> None:
        """To all."""
        for display in self._displays:
            display.play_started(play, hosts)

    def task_started(self, task: Task, hosts: Sequence[str], *, handler: bool = False) -> None:
        """To all."""
        for display in self._displays:
            display.task_started(task, hosts, handler=handler)

    def host_started(self, task: Task, host: str) -> None:
        """To all."""
        for display in self._displays:
            display.host_started(task, host)

    def transferring(self, host: str, moved: int, size: int) -> None:
        """To all."""
        for display in self._displays:
            display.transferring(host, moved, size)

    def item_finished(self, finished: Finished) -> None:
        """To all."""
        for display in self._displays:
            display.item_finished(finished)

    def task_finished(self, finished: Finished) -> None:
        """To all."""
        for display in self._displays:
            display.task_finished(finished)

    def retrying(self, task: Task, host: str, left: int) -> None:
        """To all."""
        for display in self._displays:
            display.retrying(task, host, left)

    def included(self, host: str, what: str) -> None:
        """To all."""
        for display in self._displays:
            display.included(host, what)

    def warning(self, message: str) -> None:
        """To all."""
        for display in self._displays:
            display.warning(message)

    def finished(self, result: Result) -> None:
        """To all."""
        for display in self._displays:
            display.finished(result)
