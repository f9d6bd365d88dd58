"""What a Job does next: which pods to make and unmake, and whether it is over.

Invariant: pure; `now` is seconds since the epoch.
Source: kubernetes pkg/controller/job (job_controller.go, success_policy.go); batch/v1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from api.objects import Object, condition, is_true
from api.runtime import parse_timestamp
from control.controllers.job_pods import ended_at, index_of, is_indexed, parse_indexes, policy_for
from control.controllers.job_tally import Tally
from control.controllers.pods import deletion_order, phase_of

FIRST_BACKOFF = 10.0
LONGEST_BACKOFF = 600.0
CONTROLLER = "kubernetes.io/job-controller"


@dataclass(frozen=True, slots=True)
class Ending:
    """A terminal condition: `kind` is Complete, SuccessCriteriaMet, Failed or FailureTarget."""

    kind: str
    reason: str
    message: str


@dataclass(slots=True)
class Plan:
    """What to do now. `create` has one index for each pod to make (None where the Job is not indexed)."""

    create: list[int | None] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    ending: Ending | None = None
    again: float | None = None


def is_ours(job: Object) -> bool:
    """Whether this controller is the one that the Job names, or the Job names none."""
    return bool(job["spec"].get("managedBy", CONTROLLER) == CONTROLLER)


def is_finished(job: Object) -> bool:
    """Whether the Job is over."""
    return is_true(job, "Complete") or is_true(job, "Failed")


def decide(job: Object, pods: Sequence[Object], found: Tally, now: float) -> Plan:
    """What to do next."""
    ending = _ending(job, found, now)
    if ending is not None:
        return Plan(delete=list(found.active), ending=ending)
    if job["spec"].get("suspend"):
        return Plan(delete=list(found.active))
    again = _seconds_to_deadline(job, now)
    superfluous = _superfluous(job, found.active, now)
    missing, surplus = _difference(job, found)
    if surplus or superfluous:
        kept = [pod for pod in found.active if pod not in superfluous]
        more = deletion_order(kept, kept, now)[: max(0, surplus - len(superfluous))]
        return Plan(delete=superfluous + more, again=again)
    if not missing:
        return Plan(again=again)
    if job["spec"].get("backoffLimitPerIndex") is not None:
        waits = _waits_of_indexes(pods, found, now)
        soonest = min([*waits.values(), *([again] if again is not None else [])], default=None)
        return Plan(create=_new_indexes(job, found, missing, waits), again=soonest)
    wait = backoff(pods, now)
    if wait > 0:
        return Plan(again=min(wait, again) if again is not None else wait)
    return Plan(create=_new_indexes(job, found, missing), again=again)


def backoff(pods: Sequence[Object], now: float) -> float:
    """Seconds to wait before the next pod: 10 s after a failure, doubling with each since the last success."""
    ended = sorted((moment, phase_of(pod)) for pod in pods if (moment := ended_at(pod)) is not None)
    failures = 0
    for _, phase in reversed(ended):
        if phase != "Failed":
            break
        failures += 1
    return max(0.0, ended[-1][0] + _pause(failures) - now) if failures else 0.0


def _pause(failures: int) -> float:
    return min(LONGEST_BACKOFF, FIRST_BACKOFF * float(2 ** min(failures - 1, 10)))


def _waits_of_indexes(pods: Sequence[Object], found: Tally, now: float) -> dict[int, float]:
    """Seconds that each index which failed lately waits for its next pod."""
    waits: dict[int, float] = {}
    for pod in pods:
        index, moment = index_of(pod), ended_at(pod)
        if phase_of(pod) == "Failed" and index is not None and moment is not None and found.failures_of.get(index):
            left = moment + _pause(found.failures_of[index]) - now
            if left > 0:
                waits[index] = max(left, waits.get(index, 0.0))
    return waits


def _superfluous(job: Object, active: Sequence[Object], now: float) -> list[Object]:
    """Pods of an index that the Job has not, or that another pod has already."""
    if not is_indexed(job):
        return []
    by_index: dict[int | None, list[Object]] = {}
    for pod in active:
        by_index.setdefault(index_of(pod), []).append(pod)
    found: list[Object] = []
    for index, pods in by_index.items():
        if index is None or index >= int(job["spec"].get("completions") or 0):
            found += pods
        else:
            found += deletion_order(pods, pods, now)[: len(pods) - 1]
    return found


def _difference(job: Object, found: Tally) -> tuple[int, int]:
    """(pods to make, pods to unmake)."""
    parallelism = int(job["spec"].get("parallelism", 1))
    completions = job["spec"].get("completions")
    if completions is None:
        wanted = len(found.active) if found.succeeded else parallelism
        wanted = min(wanted, parallelism)
    else:
        wanted = min(parallelism, max(0, int(completions) - found.succeeded - len(found.failed_indexes)))
    held = len(found.active)
    if job["spec"].get("podReplacementPolicy") == "Failed":
        held += found.terminating
    return max(0, wanted - held), max(0, len(found.active) - wanted)


def _new_indexes(job: Object, found: Tally, missing: int, waits: Mapping[int, float] | None = None) -> list[int | None]:
    if not is_indexed(job):
        return [None] * missing
    taken = {index_of(pod) for pod in found.active} | found.succeeded_indexes | found.failed_indexes | set(waits or ())
    free = [one for one in range(int(job["spec"].get("completions") or 0)) if one not in taken]
    return list(free[:missing])


def _ending(job: Object, found: Tally, now: float) -> Ending | None:
    spec = job["spec"]
    for kind in ("SuccessCriteriaMet", "FailureTarget"):
        present = condition(job, kind)
        if present is not None and present["status"] == "True":
            return Ending(kind, present["reason"], present["message"])
    for pod in found.fresh_failures:
        action, why = policy_for(job, pod)
        if action == "FailJob":
            return Ending("FailureTarget", "PodFailurePolicy", why)
    if found.failed > int(spec.get("backoffLimit", 6)) or _restarts_exceed(job, found.active):
        return Ending("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = _seconds_to_deadline(job, now)
    if left is not None and left <= 0:
        return Ending("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
    return _index_ending(job, found) or _success(job, found)


def _restarts_exceed(job: Object, active: Sequence[Object]) -> bool:
    """Where containers are restarted in their pods, their restarts count against the limit."""
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        int(one.get("restartCount") or 0)
        for pod in active
        for field in ("initContainerStatuses", "containerStatuses")
        for one in (pod.get("status") or {}).get(field) or []
    )
    limit = int(job["spec"].get("backoffLimit", 6))
    return restarts >= limit and restarts > 0


def _index_ending(job: Object, found: Tally) -> Ending | None:
    if job["spec"].get("backoffLimitPerIndex") is None or not found.failed_indexes:
        return None
    most = job["spec"].get("maxFailedIndexes")
    if most is not None and len(found.failed_indexes) > int(most):
        return Ending(
            "FailureTarget",
            "MaxFailedIndexesExceeded",
            "Job has exceeded the specified maximal number of failed indexes",
        )
    if len(found.failed_indexes) + found.succeeded >= int(job["spec"]["completions"]) and not found.active:
        return Ending("FailureTarget", "FailedIndexes", "Job has failed indexes")
    return None


def _success(job: Object, found: Tally) -> Ending | None:
    completions = job["spec"].get("completions")
    for index, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or []):
        named = parse_indexes(rule["succeededIndexes"]) if rule.get("succeededIndexes") else None
        done = found.succeeded_indexes if named is None else found.succeeded_indexes & named
        wanted = rule.get("succeededCount", len(named) if named is not None else None)
        if wanted is not None and len(done) >= int(wanted):
            return Ending("SuccessCriteriaMet", "SuccessPolicy", f"Matched rules at index {index}")
    complete = (
        (found.succeeded > 0 and not found.active) if completions is None else found.succeeded >= int(completions)
    )
    if complete:
        return Ending("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
    return None


def _seconds_to_deadline(job: Object, now: float) -> float | None:
    limit, started = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
    if limit is None or not started or job["spec"].get("suspend"):
        return None
    return parse_timestamp(started) + int(limit) - now
