"""The status of each container of a pod: waiting, running or terminated, and what was before.

Invariant: pure. What the runtime no longer has is taken from the status that the API holds.
Source: kubelet's convertToAPIContainerStatuses; core/v1 ContainerStatus.
"""

from __future__ import annotations

from agents.kubelet.pods import backoff, spec
from agents.kubelet.pods.sync import initialized, reading_of
from agents.kubelet.pods.view import Memory, PodView
from agents.kubelet.runtime.interface import Container, State
from api.objects import Object
from api.runtime import timestamp

OOM_EXIT_CODE = 137


def statuses(pod: Object, view: PodView, memory: Memory, now: float) -> Object:
    """containerStatuses, initContainerStatuses and ephemeralContainerStatuses; a list that would be empty is absent."""
    groups = {
        "initContainerStatuses": spec.init_containers(pod),
        "containerStatuses": spec.containers(pod),
        "ephemeralContainerStatuses": spec.ephemeral_containers(pod),
    }
    ready_to_run = initialized(pod, view, memory)
    found: Object = {}
    for field, entries in groups.items():
        if not entries:
            continue
        before = {entry["name"]: entry for entry in (pod.get("status") or {}).get(field) or []}
        found[field] = [
            _status(pod, entry, view, memory, before.get(entry["name"]), now, ready_to_run) for entry in entries
        ]
    return found


def _status(
    pod: Object,
    container: Object,
    view: PodView,
    memory: Memory,
    before: Object | None,
    now: float,
    ready_to_run: bool,
) -> Object:
    name = container["name"]
    latest = view.latest(name)
    if latest is not None and latest.state is State.CREATED:
        latest = view.previous(name)
    if latest is None:
        return _absent(pod, container, memory, before, ready_to_run)
    previous = next((f for f in view.containers if f.name == name and f.attempt < latest.attempt), None)
    status: Object = {
        "name": name,
        "state": state_of(pod, latest),
        "lastState": state_of(pod, previous) if previous is not None else (before or {}).get("lastState") or {},
        "ready": False,
        "restartCount": latest.attempt,
        "image": latest.image or container.get("image", ""),
        "imageID": latest.image_id,
        "containerID": f"podman://{latest.id}",
        "started": False,
    }
    if latest.state is State.RUNNING:
        reading = reading_of(latest, memory)
        status |= {"started": reading.started, "ready": reading.started and reading.ready}
    else:
        _wait_for_restart(pod, container, latest, memory, now, status)
        if container in spec.init_containers(pod) and not spec.is_sidecar(container):
            status["ready"] = latest.exit_code == 0 and latest.state is State.EXITED
    return status


def _wait_for_restart(
    pod: Object, container: Object, ended: Container, memory: Memory, now: float, status: Object
) -> None:
    """An ended container that will start again waits; what it ended with becomes its last state."""
    name = container["name"]
    problem = memory.problems.get(name)
    pause = backoff.remaining(memory.backoffs.get(name), ended.finished, now)
    sidecar = spec.is_sidecar(container)
    again = (
        sidecar
        or spec.restart_policy(pod) == "Always"
        or (spec.restart_policy(pod) == "OnFailure" and ended.exit_code != 0)
    )
    init_done = container in spec.init_containers(pod) and not sidecar and ended.exit_code == 0
    if not again or init_done or spec.is_terminal(pod) or pod["metadata"].get("deletionTimestamp"):
        return
    if problem is not None:
        waiting = {"reason": problem.reason, "message": problem.message}
    elif pause > 0:
        waiting = {"reason": "CrashLoopBackOff", "message": crash_message(pod, name, memory)}
    else:
        return
    status |= {"lastState": status["state"], "state": {"waiting": waiting}}


def crash_message(pod: Object, name: str, memory: Memory) -> str:
    """Why a container waits before its next start."""
    known = memory.backoffs.get(name)
    delay = known.delay if known is not None else backoff.FIRST
    return f"back-off {_duration(delay)} restarting failed container={name} pod={spec.long_name(pod)}"


def _absent(pod: Object, container: Object, memory: Memory, before: Object | None, ready_to_run: bool) -> Object:
    name = container["name"]
    if before is not None and (spec.is_terminal(pod) or pod["metadata"].get("deletionTimestamp")):
        return _lost(before)
    problem = memory.problems.get(name)
    is_init = container in spec.init_containers(pod)
    if problem is not None:
        waiting = {"reason": problem.reason, "message": problem.message}
    elif spec.init_containers(pod) and (is_init or not ready_to_run):
        waiting = {"reason": "PodInitializing"}
    else:
        waiting = {"reason": "ContainerCreating"}
    last = before or {}
    return {
        "name": name,
        "state": {"waiting": waiting},
        "lastState": last.get("state") if "terminated" in (last.get("state") or {}) else last.get("lastState") or {},
        "ready": False,
        "restartCount": int(last.get("restartCount") or 0),
        "image": container.get("image", ""),
        "imageID": "",
        "started": False,
    }


def _lost(before: Object) -> Object:
    """A container that ran and that the runtime does not have any more, of a pod that has ended."""
    status = before | {"ready": False, "started": False}
    if "running" in (before.get("state") or {}):
        terminated = {
            "exitCode": 137,
            "reason": "ContainerStatusUnknown",
            "message": "The container could not be located when the pod was terminated",
            "startedAt": None,
            "finishedAt": None,
        }
        status["state"] = {"terminated": terminated}
    return status


def state_of(pod: Object, found: Container) -> Object:
    """The ContainerState of an attempt."""
    if found.state is State.RUNNING:
        return {"running": {"startedAt": timestamp(found.started)}}
    if found.state is State.UNKNOWN:
        return {
            "terminated": {
                "exitCode": 137,
                "reason": "ContainerStatusUnknown",
                "message": "The container could not be located when the pod was terminated",
                "startedAt": timestamp(found.started),
                "finishedAt": timestamp(found.finished),
                "containerID": f"podman://{found.id}",
            }
        }
    terminated = {
        "exitCode": found.exit_code,
        "reason": _reason(pod, found),
        "startedAt": timestamp(found.started),
        "finishedAt": timestamp(found.finished),
        "containerID": f"podman://{found.id}",
    }
    if found.message:
        terminated["message"] = found.message
    return {"terminated": terminated}


def _reason(pod: Object, found: Container) -> str:
    if found.exit_code == 0:
        return "Completed"
    return "OOMKilled" if found.out_of_memory else "Error"


def _duration(seconds: float) -> str:
    """Go's text of a duration of whole seconds: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
