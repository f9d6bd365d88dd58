"""What a Job reads from its pods, and what it writes into them: indexes, counts of failures, outcomes.

Invariant: pure; a pod says by itself for which index it runs and how often that index had failed before.
Source: kubernetes pkg/controller/job (indexed_job_utils.go, pod_failure_policy.go, backoff_utils.go); batch/v1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api.naturals import natural
from api.objects import Object, annotations_of, condition, copy, is_deleting, labels_of, name_of, namespace_of
from api.runtime import parse_timestamp
from control.controllers.pods import from_template, phase_of

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
_FAILURES = "batch.kubernetes.io/job-index-failure-count"


def is_indexed(job: Object) -> bool:
    """Whether each completion has an index."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def index_of(pod: Object) -> int | None:
    """The pod's completion index."""
    text = annotations_of(pod).get(INDEX) or labels_of(pod).get(INDEX) or ""
    return natural(text)


def failures_before(pod: Object) -> int:
    """How often the pod's index had failed before this pod ran."""
    text = annotations_of(pod).get(_FAILURES, "0")
    return natural(text) or 0


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


def ended_at(pod: Object) -> float | None:
    """When the pod ended, in seconds since the epoch; None if it has not."""
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


def action_for(job: Object, pod: Object) -> str:
    """What the podFailurePolicy says of a failed pod: FailJob, FailIndex, Ignore, or Count."""
    return policy_for(job, pod)[0]


def policy_for(job: Object, pod: Object) -> tuple[str, str]:
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
