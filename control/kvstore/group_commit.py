"""Concurrent writers share one commit: who comes first leads, who comes meanwhile is in the next group.

A lone writer pays no hand-over to another task; under load each commit carries everyone who waited for the last.

Invariant: one group is committed at a time, in the order of submission, and each job gets exactly one outcome.
Source: the writer queue of LevelDB.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from api.runtime import Event, Runtime
from control.kvstore.mvcc import Draft
from control.kvstore.store import StoreError, Unavailable

Job = Callable[[Draft], Any]
GROUP_LIMIT = 512


class _Turn:
    __slots__ = ("job", "outcome", "wake")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.outcome: tuple[Any, StoreError | None] | None = None
        self.wake: Event | None = None


class GroupCommit:
    """`commit` runs a group of jobs and returns for each (result, None) or (None, error)."""

    def __init__(self, runtime: Runtime, commit: Callable[[list[Job]], list[tuple[Any, StoreError | None]]]) -> None:
        self._runtime = runtime
        self._commit = commit
        self._lock = runtime.lock()
        self._queue: deque[_Turn] = deque()
        self._busy = False
        self._crowded = False

    def submit(self, job: Job) -> Any:
        """The job's result once its group is durable. Raises the job's StoreError, or the commit's."""
        turn = _Turn(job)
        with self._lock:
            self._queue.append(turn)
            if self._busy:
                turn.wake = self._runtime.event()
            self._busy = True
        if turn.wake is not None:
            turn.wake.wait()
        if turn.outcome is None:
            self._lead()
        assert turn.outcome is not None
        result, error = turn.outcome
        if error is not None:
            raise error
        return result

    def _lead(self) -> None:
        if self._crowded:
            # Others are on their way here: a turn of the scheduler lets them into this group.
            self._runtime.sleep(0)
        with self._lock:
            self._crowded = len(self._queue) > 1
            group = [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_LIMIT))]
        failure = Unavailable("the store failed while it wrote; its log says why", in_doubt=True)
        outcomes: list[tuple[Any, StoreError | None]] = [(None, failure)] * len(group)
        try:
            outcomes = self._commit([turn.job for turn in group])
        finally:
            for turn, outcome in zip(group, outcomes):
                turn.outcome = outcome
            with self._lock:
                self._busy = bool(self._queue)
                # The head of the queue wakes without an outcome: it leads the next group.
                successor = [self._queue[0]] if self._queue else []
            for turn in successor + group:
                if turn.wake is not None:
                    turn.wake.set()
