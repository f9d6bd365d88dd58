"""What a Job does next: which pods to make and unmake, and whether it is over.

Invariant: pure; `now` is seconds since the epoch. A finished pod counts once, whatever becomes of it later.
Source: kubernetes pkg/controller/job (job_controller.go, indexed_job_utils.go, pod_failure_policy.go,
success_policy.go); batch/v1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.objects import Object, annotations_of, condition, copy, is_deleting, is_true, labels_of, name_of, namespace_of
from api.runtime import parse_timestamp
from control.controllers.pods import deletion_order, from_template, is_active, is_ready, phase_of

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
_FAILURES = "batch.kubernetes.io/job-index-failure-count"
FIRST_BACKOFF = 10.0
LONGEST_BACKOFF = 600.0
CONTROLLER = "kubernetes.io/job-controller"


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


def is_indexed(job: Object) -> bool:
    """Whether each completion has an index."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def is_ours(job: Object) -> bool:
    """Whether this controller is the one that the Job names, or the Job names none."""
    return bool(job["spec"].get("managedBy", CONTROLLER) == CONTROLLER)


def never_ends(pod: Object) -> bool:
    """Whether nobody will report an outcome of a pod that is being deleted: it has no node, or the node is done."""
    if phase_of(pod) in ("Succeeded", "Failed") or not is_deleting(pod):
        return False
    return not pod["spec"].get("nodeName") or pod["metadata"].get("deletionGracePeriodSeconds") == 0


def counts_as_failed(job: Object, pod: Object) -> bool:
    """Whether the pod failed, or went before anybody could tell; with replacement of failed ones only that is open."""
    if phase_of(pod) == "Failed":
        return True
    return never_ends(pod) and job["spec"].get("podReplacementPolicy") != "Failed"


def is_finished(job: Object) -> bool:
    """Whether the Job is over."""
    return is_true(job, "Complete") or is_true(job, "Failed")


def index_of(pod: Object) -> int | None:
    """The pod's completion index."""
    text = annotations_of(pod).get(INDEX) or labels_of(pod).get(INDEX) or ""
    return int(text) if text.isdigit() else None


def pod_for(job: Object, index: int | None, failures: int = 0) -> Object:
    """A pod of the Job; for an indexed one of that index, which the container finds in JOB_COMPLETION_INDEX."""
    prefix = f"{name_of(job)}-" if index is None else f"{name_of(job)}-{index}-"
    pod = from_template(job["spec"]["template"], job, api_version="batch/v1", kind="Job", prefix=prefix)
    pod["metadata"]["finalizers"] = [*pod["metadata"]["finalizers"], FINALIZER]
    if index is None:
        return pod
    pod["metadata"]["annotations"][INDEX] = str(index)
    pod["metadata"]["labels"][INDEX] = str(index)
    if job["spec"].get("backoffLimitPerIndex") is not None:
        pod["metadata"]["annotations"][_FAILURES] = str(failures)
    spec = pod["spec"] = copy(pod["spec"])
    spec.setdefault("hostname", f"{name_of(job)}-{index}"[:63])
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
    for container in [*spec["containers"], *(spec.get("initContainers") or [])]:
        names = {one["name"] for one in container.get("env") or []}
        if "JOB_COMPLETION_INDEX" not in names:
            container.setdefault("env", []).append({"name": "JOB_COMPLETION_INDEX", "valueFrom": source})
    return pod


def parse_indexes(text: str) -> set[int]:
    """The indexes of `0-2,5`."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def format_indexes(indexes: Iterable[int]) -> str:
    """`0-2,5,6` of the indexes: three and more in a row are written as a range."""
    runs: list[list[int]] = []
    for one in sorted(indexes):
        if runs and one == runs[-1][-1] + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)


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
    before = annotations_of(pod).get(_FAILURES, "0")
    failures = int(before if before.isdigit() else 0) + (action != "Ignore")
    found.failures_of[index] = max(failures, found.failures_of.get(index, 0))
    if action == "FailIndex" or failures > int(limit):
        found.failed_indexes.add(index)


def action_for(job: Object, pod: Object) -> str:
    """What the podFailurePolicy says of a failed pod: FailJob, FailIndex, Ignore, or Count."""
    return _policy_for(job, pod)[0]


def _policy_for(job: Object, pod: Object) -> tuple[str, str]:
    """(action, why) of the first rule that matches a failed pod; (Count, "") without one."""
    for index, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or []):
        why = _match(rule, pod)
        if why:
            return str(rule["action"]), f"{why} matching {rule['action']} rule at index {index}"
    return "Count", ""


def _match(rule: Mapping[str, Any], pod: Object) -> str:
    key = f"{namespace_of(pod)}/{name_of(pod)}"
    codes = rule.get("onExitCodes")
    if codes is not None:
        found = next((one for one in _terminated(pod) if _exit_matches(codes, one)), None)
        return f"Container {found[0]} for pod {key} failed with exit code {found[1]}" if found else ""
    for wanted in rule.get("onPodConditions") or []:
        present = condition(pod, wanted["type"])
        if present is not None and present["status"] == wanted.get("status", "True"):
            return f"Pod {key} has condition {wanted['type']}"
    return ""


def _exit_matches(codes: Mapping[str, Any], ended: tuple[str, int]) -> bool:
    name, code = ended
    if code == 0 or (codes.get("containerName") and codes["containerName"] != name):
        return False
    return bool((code in codes["values"]) == (codes["operator"] == "In"))


def _terminated(pod: Object) -> list[tuple[str, int]]:
    status = pod.get("status") or {}
    found = []
    for one in [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]:
        ended = (one.get("state") or {}).get("terminated")
        if ended is not None:
            found.append((str(one["name"]), int(ended.get("exitCode") or 0)))
    return found


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
    ended = sorted((moment, phase_of(pod)) for pod in pods if (moment := _ended_at(pod)) is not None)
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
        index, moment = index_of(pod), _ended_at(pod)
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


def _ended_at(pod: Object) -> float | None:
    if phase_of(pod) not in ("Succeeded", "Failed"):
        return None
    moments = [
        parse_timestamp(ended["finishedAt"])
        for one in (pod.get("status") or {}).get("containerStatuses") or []
        if (ended := (one.get("state") or {}).get("terminated")) and ended.get("finishedAt")
    ]
    ready = condition(pod, "Ready")
    if not moments and ready is not None and ready.get("lastTransitionTime"):
        moments = [parse_timestamp(ready["lastTransitionTime"])]
    return max(moments) if moments else parse_timestamp(pod["metadata"]["creationTimestamp"])


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
        action, why = _policy_for(job, pod)
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
