"""What happens in a run, as calls to a display.

Invariant: every method may be called from any thread; the base class shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from playbooks.engine.language.values import Play, Task
from playbooks.engine.result import Result


class Status(Enum):
    """How a task ended on a host."""

    OK = "ok"
    CHANGED = "changed"
    SKIPPED = "skipped"
    FAILED = "failed"
    IGNORED = "ignored"
    RESCUED = "rescued"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Finished:
    """A task, or one item of its loop, that ended on a host."""

    host: str
    task: Task
    status: Status
    result: Mapping[str, Any]
    seconds: float
    hidden: bool = False
    delegate: str = ""
    label: str | None = None
    # Whether what the task changed is to be shown.
    diff: bool = False


class Display:
    """Shows nothing; the base of all displays."""

    def play_started(self, play: Play, hosts: Sequence[str]) -> None:
        """A play begins; no hosts means that it is skipped."""

    def task_started(self, task: Task, hosts: Sequence[str], *, handler: bool = False) -> None:
        """A task begins on some hosts."""

    def host_started(self, task: Task, host: str) -> None:
        """A task begins on one host."""

    def transferring(self, host: str, moved: int, size: int) -> None:
        """So many bytes of a file have gone to or come from a host; its size is 0 if that is not known."""

    def item_finished(self, finished: Finished) -> None:
        """One item of a loop ended."""

    def task_finished(self, finished: Finished) -> None:
        """A task ended on one host."""

    def retrying(self, task: Task, host: str, left: int) -> None:
        """A task is tried again."""

    def included(self, host: str, what: str) -> None:
        """A host goes on with an included file or role."""

    def warning(self, message: str) -> None:
        """Something the user should know."""

    def finished(self, result: Result) -> None:
        """The run ended."""
