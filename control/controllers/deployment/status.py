"""What a Deployment's status says.

Invariant: pure; conditions carry the original's types, reasons and messages.
Source: kubernetes pkg/controller/deployment (progress.go, sync.go).
"""

from __future__ import annotations

from collections.abc import Sequence

from api.objects import Object, condition, copy, name_of
from api.runtime import parse_timestamp, timestamp
from control.controllers.deployment.rolling import Bounds, replicas_of

_NO_DEADLINE = 2**31 - 1


def calculate(
    deployment: Object, newest: Object | None, everything: Sequence[Object], limits: Bounds, now: float
) -> Object:
    """Counts, and the condition Available; other conditions stay as they are."""
    total = _sum(everything, "replicas")
    available = _sum(everything, "availableReplicas")
    old = deployment.get("status") or {}
    counts = {
        "replicas": total,
        "updatedReplicas": _sum([newest] if newest else [], "replicas"),
        "readyReplicas": _sum(everything, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(map(replicas_of, everything)) - available),
        "terminatingReplicas": _sum(everything, "terminatingReplicas"),
    }
    status: Object = {"observedGeneration": deployment["metadata"].get("generation", 0)}
    status |= {name: value for name, value in counts.items() if value}
    if old.get("collisionCount"):
        status["collisionCount"] = old["collisionCount"]
    status["conditions"] = copy({"all": old.get("conditions") or []})["all"]
    if available >= limits.least:
        words = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        words = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    set_condition(status, "Available", *words, now)
    return status


def progress(
    deployment: Object, status: Object, newest: Object | None, everything: Sequence[Object], now: float
) -> None:
    """Bring the conditions Progressing and ReplicaFailure of `status` up to date."""
    if has_deadline(deployment):
        _progressing(deployment, status, newest, everything, now)
    else:
        status["conditions"] = [one for one in status["conditions"] if one["type"] != "Progressing"]
    failures = [found for one in everything if (found := condition(one, "ReplicaFailure"))]
    own = condition(newest, "ReplicaFailure") if newest else None
    failure = own or (failures[0] if failures else None)
    if failure is None:
        status["conditions"] = [one for one in status["conditions"] if one["type"] != "ReplicaFailure"]
    else:
        set_condition(status, "ReplicaFailure", failure["status"], failure["reason"], failure["message"], now)


def pausing(deployment: Object, status: Object, now: float) -> bool:
    """Note in `status` that the Deployment was paused or resumed; whether it was."""
    if not has_deadline(deployment):
        return False
    present = _find(status, "Progressing")
    if present is not None and present["reason"] == "ProgressDeadlineExceeded":
        return False
    was_paused = present is not None and present["reason"] == "DeploymentPaused"
    is_paused = bool(deployment["spec"].get("paused"))
    if is_paused == was_paused:
        return False
    word = ("DeploymentPaused", "Deployment is paused") if is_paused else ("DeploymentResumed", "Deployment is resumed")
    set_condition(status, "Progressing", "Unknown", *word, now)
    return True


def seconds_to_deadline(deployment: Object, status: Object, now: float) -> float | None:
    """Seconds until a rollout that is under way is overdue, or None if none is."""
    found = _find(status, "Progressing")
    if not has_deadline(deployment) or found is None or complete(deployment, status):
        return None
    if found["reason"] in ("ProgressDeadlineExceeded", "NewReplicaSetAvailable"):
        return None
    since = parse_timestamp(found.get("lastUpdateTime") or found["lastTransitionTime"])
    return max(0.0, since + int(deployment["spec"]["progressDeadlineSeconds"]) + 1 - now)


def complete(deployment: Object, status: Object) -> bool:
    """Whether all wanted replicas are of the new template and available, and no old ones are left."""
    wanted = int(deployment["spec"].get("replicas", 1))
    counts = (int(status.get(name) or 0) for name in ("updatedReplicas", "replicas", "availableReplicas"))
    generation = int(deployment["metadata"].get("generation") or 0)
    return all(count == wanted for count in counts) and int(status.get("observedGeneration") or 0) >= generation


def set_condition(
    status: Object, kind: str, value: str, reason: str, message: str, now: float, *, update: bool = False
) -> None:
    """Set a condition; times move only if status or reason change, or with `update` the time of update."""
    conditions = status.setdefault("conditions", [])
    old = _find(status, kind)
    moment = timestamp(now)
    if old is not None and (old["status"], old["reason"]) == (value, reason) and not update:
        return
    transition = old["lastTransitionTime"] if old is not None and old["status"] == value else moment
    new = {"type": kind, "status": value, "lastUpdateTime": moment, "lastTransitionTime": transition}
    new |= {"reason": reason, "message": message}
    conditions[:] = [one for one in conditions if one["type"] != kind] + [new]


def has_deadline(deployment: Object) -> bool:
    """Whether the Deployment reports progress at all."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return seconds is not None and int(seconds) != _NO_DEADLINE


def _progressing(
    deployment: Object, status: Object, newest: Object | None, everything: Sequence[Object], now: float
) -> None:
    present = _find(status, "Progressing")
    old = deployment.get("status") or {}
    rolled = present is not None and present["reason"] == "NewReplicaSetAvailable"
    if rolled and int(status.get("replicas") or 0) == int(status.get("updatedReplicas") or 0):
        return
    subject = f'ReplicaSet "{name_of(newest)}"' if newest else f'Deployment "{name_of(deployment)}"'
    if complete(deployment, status):
        message = f"{subject} has successfully progressed."
        set_condition(status, "Progressing", "True", "NewReplicaSetAvailable", message, now)
    elif _moved(old, status, newest, everything):
        message = f"{subject} is progressing."
        # A rollout that goes on gets its full time again; one that was Unknown or False starts to be True.
        set_condition(status, "Progressing", "True", "ReplicaSetUpdated", message, now, update=True)
    elif present is not None and _overdue(deployment, present, now):
        message = f"{subject} has timed out progressing."
        set_condition(status, "Progressing", "False", "ProgressDeadlineExceeded", message, now)


def _moved(old: Object, new: Object, newest: Object | None, everything: Sequence[Object]) -> bool:
    def count(status: Object, name: str) -> int:
        return int(status.get(name) or 0)

    def old_pods(status: Object) -> int:
        return count(status, "replicas") - count(status, "updatedReplicas")

    return (
        count(new, "updatedReplicas") > count(old, "updatedReplicas")
        or old_pods(new) < old_pods(old)
        or count(new, "readyReplicas") > count(old, "readyReplicas")
        or count(new, "availableReplicas") > count(old, "availableReplicas")
    )


def _overdue(deployment: Object, present: Object, now: float) -> bool:
    if present["reason"] == "ProgressDeadlineExceeded":
        return True
    if present["reason"] == "NewReplicaSetAvailable" or deployment["spec"].get("paused"):
        return False
    since = parse_timestamp(present.get("lastUpdateTime") or present["lastTransitionTime"])
    return since + int(deployment["spec"]["progressDeadlineSeconds"]) < now


def _find(status: Object, kind: str) -> Object | None:
    return next((one for one in status.get("conditions") or [] if one["type"] == kind), None)


def _sum(replicasets: Sequence[Object], name: str) -> int:
    return sum(int((one.get("status") or {}).get(name) or 0) for one in replicasets)
