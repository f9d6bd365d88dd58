"""What has become of a Job's pods so far.

Invariant: pure; a finished pod counts once, whatever becomes of it later.
Source: kubernetes pkg/controller/job (job tracking with finalizers; getPodsWithDelayedDeletionPerIndex).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from api.objects import Object, is_deleting, uid_of
from control.controllers.job_pods import (
    FINALIZER,
    action_for,
    counts_as_failed,
    ended_at,
    failures_before,
    index_of,
    is_indexed,
    parse_indexes,
)
from control.controllers.pods import is_active, is_ready, phase_of


@dataclass(slots=True)
class Tally:
    """What is known of a Job's pods. `succeeded` and `failed` include those no longer there."""

    active: list[Object] = field(default_factory=list)
    terminating: int = 0
    ready: int = 0
    succeeded: int = 0
    failed: int = 0
    succeeded_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    fresh_failures: list[Object] = field(default_factory=list)
    failures_of: dict[int, int] = field(default_factory=dict)


def tally(job: Object, pods: Sequence[Object]) -> Tally:
    """Count the pods, on top of what the status says was counted before."""
    status = job.get("status") or {}
    uncounted = status.get("uncountedTerminatedPods") or {}
    waiting_succeeded, waiting_failed = set(uncounted.get("succeeded") or []), set(uncounted.get("failed") or [])
    found = Tally(
        succeeded=int(status.get("succeeded") or 0),
        failed=int(status.get("failed") or 0) + len(waiting_failed),
        succeeded_indexes=_within(job, parse_indexes(status.get("completedIndexes") or "")),
        failed_indexes=_within(job, parse_indexes(status.get("failedIndexes") or "")),
    )
    found.succeeded += 0 if is_indexed(job) else len(waiting_succeeded)
    for pod in pods:
        uid = pod["metadata"]["uid"]
        counted = FINALIZER not in (pod["metadata"].get("finalizers") or [])
        phase = phase_of(pod)
        if is_active(pod):
            found.active.append(pod)
            found.ready += is_ready(pod)
        elif is_deleting(pod) and phase not in ("Succeeded", "Failed"):
            found.terminating += 1
        if phase == "Succeeded":
            _count_success(job, found, pod, counted or uid in waiting_succeeded)
        elif counts_as_failed(job, pod):
            _count_failure(job, found, pod, counted or uid in waiting_failed)
    if is_indexed(job):
        found.succeeded = len(found.succeeded_indexes)
    return found


def awaiting_successors(job: Object, pods: Sequence[Object], found: Tally) -> set[str]:
    """UIDs of failed pods that alone know how often their index failed: to be kept until the next pod knows it."""
    if job["spec"].get("backoffLimitPerIndex") is None:
        return set()
    settled = found.succeeded_indexes | found.failed_indexes | {index_of(pod) for pod in found.active}
    latest: dict[int, Object] = {}
    for pod in pods:
        index = index_of(pod)
        if index is None or index in settled or not _within(job, {index}) or phase_of(pod) != "Failed":
            continue
        if index not in latest or _history(pod) >= _history(latest[index]):
            latest[index] = pod
    return {uid_of(pod) for pod in latest.values()}


def _history(pod: Object) -> tuple[int, float]:
    return failures_before(pod), ended_at(pod) or 0.0


def _within(job: Object, indexes: set[int]) -> set[int]:
    """The indexes that the Job still has: the number of completions may have been lowered."""
    completions = int(job["spec"].get("completions") or 0)
    return {one for one in indexes if one < completions}


def _count_success(job: Object, found: Tally, pod: Object, counted: bool) -> None:
    if is_indexed(job):
        index = index_of(pod)
        if index is not None and index < int(job["spec"].get("completions") or 0):
            found.succeeded_indexes.add(index)
    elif not counted:
        found.succeeded += 1


def _count_failure(job: Object, found: Tally, pod: Object, counted: bool) -> None:
    action = action_for(job, pod)
    if not counted:
        found.failed += action != "Ignore"
        found.fresh_failures.append(pod)
    index, limit = index_of(pod), job["spec"].get("backoffLimitPerIndex")
    if index is None or limit is None:
        return
    failures = failures_before(pod) + (action != "Ignore")
    found.failures_of[index] = max(failures, found.failures_of.get(index, 0))
    if action == "FailIndex" or failures > int(limit):
        found.failed_indexes.add(index)
