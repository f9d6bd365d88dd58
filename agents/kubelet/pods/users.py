"""Which of the node's users are whose: a range for each pod that has users of its own.

Invariant: a range belongs to one pod from its first sandbox until nothing of it is left on the node; its number lies
with the pod's other things, so that a restart finds it.
Source: kubelet/userns, which keeps them the same way; user_namespaces(7).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from agents.kubelet.runtime.interface import USERS

_FILE = "first-user"


def lowest_free(taken: Iterable[int]) -> int:
    """The first user of the lowest range that is free; the lowest of all is the node's own."""
    held = set(taken)
    first = USERS
    while first in held:
        first += USERS
    return first


def first_user(pod_directory: Path, turn: AbstractContextManager[object]) -> int:
    """The range of a pod, chosen if it has none; `turn` lets one pod at a time choose. Raises OSError."""
    file = pod_directory / _FILE
    if file.exists():
        return int(file.read_text())
    with turn:
        chosen = lowest_free(_taken(pod_directory.parent))
        pod_directory.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_text(str(chosen))
        fresh.replace(file)
    return chosen


def _taken(pods: Path) -> Iterator[int]:
    for file in pods.glob(f"*/{_FILE}"):
        # A pod that goes meanwhile has none any more.
        with suppress(FileNotFoundError):
            yield int(file.read_text())
