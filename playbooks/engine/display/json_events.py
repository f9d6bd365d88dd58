"""One JSON object a line for every event, for programs.

Invariant: each object has `event` and `time`; a hidden result shows nothing of itself.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO

from playbooks.engine.display.events import Display, Finished
from playbooks.engine.language.values import Play, Task
from playbooks.engine.result import Result


class JsonEvents(Display):
    """Writes to a stream."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()

    def play_started(self, play: Play, hosts: Sequence[str]) -> None:
        """`play`: its name and hosts."""
        self._write("play", name=play.name, hosts=list(hosts), where=str(play.mark))

    def task_started(self, task: Task, hosts: Sequence[str], *, handler: bool = False) -> None:
        """`task`: its name, module, place and hosts."""
        self._write("task", hosts=list(hosts), handler=handler, **_about(task))

    def item_finished(self, finished: Finished) -> None:
        """`item`: the result of one turn of a loop."""
        self._write("item", **_outcome(finished), label=None if finished.hidden else finished.label)

    def task_finished(self, finished: Finished) -> None:
        """`result`: the result on one host."""
        self._write("result", **_outcome(finished))

    def retrying(self, task: Task, host: str, left: int) -> None:
        """`retry`: how many tries are left."""
        self._write("retry", host=host, left=left, **_about(task))

    def included(self, host: str, what: str) -> None:
        """`include`: a host and a file or role."""
        self._write("include", host=host, included=what)

    def warning(self, message: str) -> None:
        """`warning`: a sentence."""
        self._write("warning", message=message)

    def finished(self, result: Result) -> None:
        """`recap`: counts by host, failures, seconds, exit status."""
        self._write(
            "recap",
            hosts={host: asdict(counts) for host, counts in result.counts.items()},
            failures=[asdict(failure) for failure in result.failures],
            seconds=round(result.seconds, 3),
            status=result.status,
        )

    def _write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, "time": round(time.time(), 3), **values}, default=str)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


def _about(task: Task) -> dict[str, Any]:
    return {"name": task.title, "action": task.action, "where": str(task.mark)}


def _outcome(finished: Finished) -> dict[str, Any]:
    return {
        "host": finished.host,
        "status": finished.status.value,
        "seconds": round(finished.seconds, 4),
        "delegate": finished.delegate,
        "result": {} if finished.hidden else dict(finished.result),
        **_about(finished.task),
    }
