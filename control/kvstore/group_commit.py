"""Concurrent writers share one commit: who comes first leads, who comes meanwhile is in the next group.

A lone writer pays no hand-over to another task; under load each commit carries everyone who waited for the last.

Invariant: one group is committed at a time, in the order of submission, and each job gets exactly one outcome.
Source: the writer queue of LevelDB.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from api.runtime import Event, Runtime
from control.kvstore.mvcc import Draft
from control.kvstore.store import StoreError, Unavailable

Job = Callable[[Draft], Any]
Outcome = tuple[Any, StoreError | None]
GROUP_LIMIT = 512


class _Turn:
    __slots__ = ("jobs", "outcomes", "wake")

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self.outcomes: list[Outcome] | None = None
        self.wake: Event | None = None


class GroupCommit:
    """`commit` runs a group of jobs and returns for each its outcome: (result, None) or (None, error)."""

    def __init__(self, runtime: Runtime, commit: Callable[[list[Job]], list[Outcome]]) -> None:
        self._runtime = runtime
        self._commit = commit
        self._lock = runtime.lock()
        self._queue: deque[_Turn] = deque()
        self._busy = False
        self._crowded = False

    def submit(self, job: Job) -> Any:
        """The job's result once its group is durable. Raises the job's StoreError, or the commit's."""
        ((result, error),) = self.submit_all((job,))
        if error is not None:
            raise error
        return result

    def submit_all(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcomes of jobs that share a group, once it is durable."""
        turn = _Turn(jobs)
        with self._lock:
            self._queue.append(turn)
            if self._busy:
                turn.wake = self._runtime.event()
            self._busy = True
        if turn.wake is not None:
            turn.wake.wait()
        if turn.outcomes is None:
            self._lead()
        assert turn.outcomes is not None
        return turn.outcomes

    def _lead(self) -> None:
        if self._crowded:
            # Others are on their way here: a turn of the scheduler lets them into this group.
            self._runtime.sleep(0)
        with self._lock:
            self._crowded = len(self._queue) > 1
            group = self._take()
        failure = Unavailable("the store failed while it wrote; its log says why", in_doubt=True)
        jobs = [job for turn in group for job in turn.jobs]
        outcomes: list[Outcome] = [(None, failure)] * len(jobs)
        try:
            outcomes = self._commit(jobs)
        finally:
            at = 0
            for turn in group:
                turn.outcomes = outcomes[at : at + len(turn.jobs)]
                at += len(turn.jobs)
            with self._lock:
                self._busy = bool(self._queue)
                # The head of the queue wakes without an outcome: it leads the next group.
                successor = [self._queue[0]] if self._queue else []
            for turn in successor + group:
                if turn.wake is not None:
                    turn.wake.set()

    def _take(self) -> list[_Turn]:
        """The turns of the next group: at least one, and as many more as keep it within its limit."""
        group: list[_Turn] = []
        size = 0
        while self._queue and (not group or size + len(self._queue[0].jobs) <= GROUP_LIMIT):
            group.append(self._queue.popleft())
            size += len(group[-1].jobs)
        return group
