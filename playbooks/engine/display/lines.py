"""One line a host and task, for people: on a terminal with colours and a line that shows what is still running.

Invariant: the order of lines is the order in which tasks ended; the last line of a failed run says which host, which
task, why, and where to look.
"""

from __future__ import annotations

import difflib
import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from playbooks.engine.display.events import Display, Finished, Status
from playbooks.engine.display.pending import pending
from playbooks.engine.display.reasons import reason
from playbooks.engine.display.recap import profile, recap
from playbooks.engine.language.values import Play, Task
from playbooks.engine.result import Result, item_results

_COLOURS = {
    Status.OK: "32", Status.CHANGED: "33", Status.SKIPPED: "36", Status.FAILED: "31", Status.IGNORED: "35",
    Status.RESCUED: "35", Status.UNREACHABLE: "1;31",
}  # fmt: skip
_WIDTH = 79
_TICK = 0.5
_NOT_SHOWN = ("changed", "failed", "skipped", "stdout_lines", "stderr_lines", "diff", "ansible_facts", "results")


class Lines(Display):
    """Writes to a stream."""

    def __init__(
        self, stream: TextIO | None = None, *, verbosity: int = 0, timing: bool = False, colour: bool | None = None
    ) -> None:
        self._stream = stream or sys.stdout
        self._verbosity = verbosity
        self._timing = timing
        self._terminal = self._stream.isatty()
        self._colour = self._terminal if colour is None else colour
        self._lock = threading.RLock()
        self._running: dict[str, tuple[Task, float]] = {}
        self._moved: dict[str, tuple[int, int]] = {}
        self._header: Task | None = None
        self._spent: dict[str, float] = {}
        self._ticker: threading.Thread | None = None
        self._ended = threading.Event()

    def play_started(self, play: Play, hosts: Sequence[str]) -> None:
        """A title; a play without hosts says so."""
        self._write("\n" + self._title(f"PLAY [{play.name}]"))
        if not hosts:
            self._write(self._paint("skipping: no hosts matched", Status.SKIPPED))
        if self._terminal and self._ticker is None:
            self._ticker = threading.Thread(target=self._tick, daemon=True)
            self._ticker.start()

    def task_started(self, task: Task, hosts: Sequence[str], *, handler: bool = False) -> None:
        """A title, once a task."""
        with self._lock:
            if self._header is task:
                return
            self._header = task
            where = f"  ({task.mark})" if self._verbosity > 1 else ""
            kind = "RUNNING HANDLER" if handler else "TASK"
            self._write("\n" + self._title(f"{kind} [{task.title}]") + where)

    def host_started(self, task: Task, host: str) -> None:
        """The host is shown as running."""
        with self._lock:
            self._running[host] = (task, time.monotonic())

    def transferring(self, host: str, moved: int, size: int) -> None:
        """How far it is shows beside the host's name."""
        with self._lock:
            self._moved[host] = (moved, size)

    def item_finished(self, finished: Finished) -> None:
        """A line an item."""
        if finished.status == Status.SKIPPED and not self._verbosity:
            return
        item = "(censored due to no_log)" if finished.hidden else finished.label
        self._host_line(finished, f" => (item={item})")

    def task_finished(self, finished: Finished) -> None:
        """A line a host; a loop has lines for its items already."""
        with self._lock:
            self._running.pop(finished.host, None)
            self._moved.pop(finished.host, None)
            title = finished.task.title
            self._spent[title] = max(self._spent.get(title, 0.0), finished.seconds)
            if item_results(finished.result) and finished.status in (Status.OK, Status.CHANGED):
                return
            self._host_line(finished, "")

    def retrying(self, task: Task, host: str, left: int) -> None:
        """How many tries are left."""
        self._write(self._paint(f"retrying: [{host}] {task.title} ({left} retries left)", Status.SKIPPED))

    def included(self, host: str, what: str) -> None:
        """What the host includes."""
        self._write(self._paint(f"included: [{host}] {what}", Status.SKIPPED))

    def warning(self, message: str) -> None:
        """A sentence in the colour of change."""
        self._write(self._paint(f"warning: {message}", Status.CHANGED))

    def finished(self, result: Result) -> None:
        """The recap, the profile if asked for, and every failure, the last one on the last line."""
        self._ended.set()
        self._write("\n" + self._title("PLAY RECAP"))
        for line, counts in zip(recap(result.counts), result.counts.values()):
            bad = counts.failed or counts.unreachable
            self._write(self._paint(line, Status.FAILED if bad else Status.CHANGED if counts.changed else Status.OK))
        if self._timing:
            self._write("\n" + "\n".join(profile(self._spent, result.seconds)))
        self._write(f"\n{result.changed} changed, {result.seconds:.1f} s")
        for failure in result.failures:
            self._write(self._paint(str(failure), Status.FAILED))

    def _host_line(self, finished: Finished, item: str) -> None:
        word = finished.status.value
        host = finished.host + (f" -> {finished.delegate}" if finished.delegate else "")
        text = f"{word}: [{host}]{item}"
        seconds = f"  {finished.seconds:.2f}s" if finished.seconds >= 0.01 else ""
        why = self._why(finished)
        lines = [self._paint(text, finished.status) + seconds + (f"  {why}" if why else "")]
        lines.extend(self._details(finished))
        lines.extend(_diff(finished.result) if finished.diff else ())
        self._write("\n".join(lines))

    def _why(self, finished: Finished) -> str:
        if finished.status in (Status.FAILED, Status.UNREACHABLE, Status.IGNORED, Status.RESCUED):
            return str(finished.result["censored"]) if finished.hidden else reason(finished.result)
        if finished.status == Status.SKIPPED:
            condition = finished.result.get("false_condition")
            return f"({condition})" if condition is not None else str(finished.result.get("skip_reason", ""))
        return ""

    def _details(self, finished: Finished) -> list[str]:
        """What a person needs: a debug message, the output of a failure, all with -v."""
        result = finished.result
        if finished.hidden or finished.status == Status.SKIPPED:
            return []
        if finished.task.action == "debug" and not self._verbosity and finished.status in (Status.OK, Status.CHANGED):
            return _indented({key: value for key, value in result.items() if _shown(key)})
        if self._verbosity:
            shown = {key: value for key, value in result.items() if key[:1] != "_" and self._told(key)}
            return _indented(shown) if self._verbosity > 1 else [f"    {_compact(shown)}"]
        if finished.status in (Status.FAILED, Status.RESCUED, Status.IGNORED) and "results" not in result:
            streams = [(key, str(result.get(key) or "").strip()) for key in ("stdout", "stderr", "exception")]
            return [f"    {key}: {line}" for key, text in streams for line in text.splitlines()[-20:]]
        return []

    def _told(self, key: str) -> bool:
        return key != "diff" and (key != "invocation" or self._verbosity > _MUCH)

    def _title(self, text: str) -> str:
        return f"{text} " + "*" * max(3, _WIDTH - len(text))

    def _paint(self, text: str, status: Status) -> str:
        return f"\033[{_COLOURS[status]}m{text}\033[0m" if self._colour else text

    def _write(self, text: str) -> None:
        with self._lock:
            if self._terminal:
                self._stream.write("\r\033[K")
            self._stream.write(text + "\n")
            self._stream.flush()

    def _tick(self) -> None:
        """Show on the terminal's last line who is still running and for how long."""
        while not self._ended.wait(_TICK):
            with self._lock:
                now = time.monotonic()
                slow = {host: now - begun for host, (_, begun) in self._running.items() if now - begun > _TICK}
                if slow:
                    self._stream.write(f"\r\033[K{pending(slow, self._moved)}")
                    self._stream.flush()


def _shown(key: str) -> bool:
    return key not in _NOT_SHOWN and key[:1] != "_" and key not in ("ansible_loop_var", "item", "attempts")


def _compact(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _indented(value: Mapping[str, Any]) -> list[str]:
    text = json.dumps(value, indent=4, default=str, ensure_ascii=False, sort_keys=False)
    return ["    " + line for line in text.splitlines()[1:-1]]


def _diff(result: Mapping[str, Any]) -> list[str]:
    """Unified diffs of what a task changed or would change."""
    found = result.get("diff")
    lines: list[str] = []
    for diff in found if isinstance(found, list) else [found] if found else []:
        if "prepared" in diff:
            lines.extend(str(diff["prepared"]).splitlines())
            continue
        if not diff:
            continue
        unsaid = [_UNSAID[key].format(value) for key, value in diff.items() if key in _UNSAID]
        if unsaid:
            lines.extend(unsaid)
            continue
        before, after = (_text(diff.get(side)) for side in ("before", "after"))
        old, new = (str(diff.get(f"{side}_header", side)) for side in ("before", "after"))
        lines.extend(difflib.unified_diff(before, after, old, new, lineterm=""))
    return lines


# How often -v is said before what was asked of a module is shown with what it answered.
_MUCH = 2
# Why a side of a difference is not told.
_UNSAID = {
    "dst_binary": "no diff: what is there is binary",
    "src_binary": "no diff: what comes is binary",
    "dst_larger": "no diff: what is there has more than {} bytes",
    "src_larger": "no diff: what comes has more than {} bytes",
}


def _text(side: Any) -> list[str]:
    if isinstance(side, str) or side is None:
        return (side or "").splitlines()
    return json.dumps(side, indent=4, sort_keys=True, default=str).splitlines()
