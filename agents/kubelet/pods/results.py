"""What an ended container left behind: its termination message, and whether memory ran out.

Invariant: the message is the last 4096 bytes of what the container wrote, or the last 2048 of at most 80 lines of its
log; it is added to what the runtime says itself, once.
Source: kubelet's getTerminationMessage; core/v1 Container.terminationMessagePolicy.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from agents.kubelet.logs import LogOptions, entry_text, tail_offset
from agents.kubelet.pods import spec
from agents.kubelet.pods.view import PodView
from agents.kubelet.runtime.interface import UNSTARTED, Container, State
from api.objects import Object

_LONGEST_MESSAGE = 4096
_LONGEST_LOG_TAIL = 2048
_LINES = 80
_KILLED = 137

TerminationLog = Callable[[str, str, int], Path]


def with_results(pod: Object, view: PodView, file_of: TerminationLog, was_killed: Callable[[str], bool]) -> PodView:
    """The view with each ended container's message and cause of death filled in.

    `was_killed(container_id)` says whether the kubelet itself sent the SIGKILL.
    """
    completed = tuple(_completed(pod, found, file_of, was_killed) for found in view.containers)
    return dataclasses.replace(view, containers=completed)


def _completed(pod: Object, found: Container, file_of: TerminationLog, was_killed: Callable[[str], bool]) -> Container:
    if found.state is not State.EXITED or (found.exit_code == UNSTARTED and found.message):
        return found
    container = spec.find_container(pod, found.name) or {}
    limited = bool(((container.get("resources") or {}).get("limits") or {}).get("memory"))
    # Where the runtime does not tell: a container with a memory limit that dies of a SIGKILL nobody here sent was
    # ended by the kernel.
    killed = found.exit_code == _KILLED and limited and not was_killed(found.id)
    left = _message(found, container, file_of(found.pod.uid, found.name, found.attempt))
    message = found.message if found.message.endswith(left) else ": ".join(filter(None, (found.message, left)))
    return dataclasses.replace(found, message=message, out_of_memory=found.out_of_memory or killed)


def _message(found: Container, container: Object, path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LONGEST_MESSAGE))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        text = ""
    if text or container.get("terminationMessagePolicy") != "FallbackToLogsOnError" or found.exit_code == 0:
        return text
    return _log_tail(Path(found.log_path))


def _log_tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(tail_offset(file, _LINES))
            lines = file.read().split(b"\n")
    except OSError:
        return ""
    text = b"".join(entry_text(line, LogOptions()) for line in lines)
    return text[-_LONGEST_LOG_TAIL:].decode("utf-8", "replace")
