"""The status of each container of a pod: waiting, running or terminated, and what was before.

Invariant: pure. What the runtime no longer has is taken from the status that the API holds.
Source: kubelet's convertToAPIContainerStatuses; core/v1 ContainerStatus.
"""

from __future__ import annotations

from operator import itemgetter

from agents.kubelet.pods import backoff, recorded, spec
from agents.kubelet.pods.sync import reading_of
from agents.kubelet.pods.view import RUN_ERROR, Memory, PodView
from agents.kubelet.runtime.interface import UNSTARTED, Container, ProcessUser, State
from api.objects import Object, is_deleting, is_true
from api.runtime import timestamp

_UNKNOWN, _RESTARTING = "ContainerStatusUnknown", "RestartingAllContainers"
_NOT_FOUND = "The container could not be located when the pod was terminated"
_WAS_RUNNING = "The container could not be located when the pod was deleted.  The container used to be Running"
_REMOVED = "The container is removed because RestartAllContainers in place"
# Bytes of termination messages of a pod, which its containers share.
_LONGEST_MESSAGES = 12 * 1024
_TAKEN_FOR_DONE = (
    "Unable to get init container status from container runtime and pod has been initialized, "
    "treat it as exited normally"
)


def statuses(pod: Object, view: PodView, memory: Memory, now: float, runtime: str) -> Object:
    """containerStatuses, initContainerStatuses and ephemeralContainerStatuses; a list that would be empty is absent.

    In the order of their names, but for init containers. `runtime` is the name that container ids begin with.
    Source: for the order and for how long messages are, kubelet's normalizeStatus.
    """
    groups = {
        "initContainerStatuses": spec.init_containers(pod),
        "containerStatuses": spec.containers(pod),
        "ephemeralContainerStatuses": spec.ephemeral_containers(pod),
    }
    found: Object = {}
    longest = _LONGEST_MESSAGES // max(1, sum(map(len, groups.values())))
    for field, entries in groups.items():
        if not entries:
            continue
        if field != "initContainerStatuses":
            entries = sorted(entries, key=itemgetter("name"))
        before = {entry["name"]: entry for entry in (pod.get("status") or {}).get(field) or []}
        found[field] = [
            _status(pod, entry, view, memory, before.get(entry["name"]), now, runtime)
            | _described(entry, memory, before.get(entry["name"]))
            for entry in entries
        ]
        for status in found[field]:
            for name in ("state", "lastState"):
                _shorten(status, name, longest)
    return found


def _shorten(status: Object, field: str, longest: int) -> None:
    """Cut the message of an end in place of the old state, which may be the API's."""
    ended = (status.get(field) or {}).get("terminated") or {}
    message = ended.get("message", "").encode()
    if len(message) > longest:
        status[field] = {"terminated": ended | {"message": message[:longest].decode(errors="ignore")}}


def _described(container: Object, memory: Memory, before: Object | None) -> Object:
    """What the spec promises and the container has: resources, as far as they are put into effect, and mounts."""
    found = granted(container, memory, before, held=container["name"] in memory.unresized)
    mounts = [_mount_status(entry) for entry in container.get("volumeMounts") or []]
    return found | ({"volumeMounts": mounts} if mounts else {})


def granted(holder: Object, memory: Memory, before: Object | None, *, held: bool) -> Object:
    """The resources of a container, or of a pod as a whole, while they are `held` those that it had before."""
    resources = holder.get("resources") or {}
    kept: Object = before or {} if held else {"resources": resources}
    # What the node has granted counts, though it is not put into effect yet.
    given = kept if held and memory.resize_problem is not None else {"allocatedResources": resources.get("requests")}
    found: Object = {"resources": kept.get("resources"), "allocatedResources": given.get("allocatedResources")}
    return {key: value for key, value in found.items() if value}


def _mount_status(entry: Object) -> Object:
    status: Object = {"name": entry["name"], "mountPath": entry["mountPath"]}
    if entry.get("readOnly"):
        status |= {"readOnly": True, "recursiveReadOnly": _recursive(entry)}
    return status


def _recursive(entry: Object) -> str:
    wanted = str(entry.get("recursiveReadOnly") or "Disabled")
    return "Disabled" if wanted == "IfPossible" else wanted


def _status(
    pod: Object,
    container: Object,
    view: PodView,
    memory: Memory,
    before: Object | None,
    now: float,
    runtime: str,
) -> Object:
    name = container["name"]
    latest = view.latest(name)
    if latest is not None and latest.state is State.CREATED:
        latest = view.previous(name)
    if latest is None:
        return _absent(pod, container, view, memory, before)
    previous = next((f for f in view.containers if f.name == name and f.attempt < latest.attempt), None)
    container_id = f"{runtime}://{latest.id}"
    status: Object = {
        "name": name,
        "state": state_of(latest, runtime),
        "lastState": state_of(previous, runtime) if previous is not None else _last_state(before, container_id),
        "ready": False,
        "restartCount": latest.attempt,
        "image": latest.image or container.get("image", ""),
        "imageID": latest.image_digest or latest.image_id,
        "containerID": container_id,
        "started": False,
    }
    if signal := spec.stop_signal(container):
        status["stopSignal"] = signal
    if latest.user is not None:
        status["user"] = {"linux": _linux_user(latest.user)}
    if latest.state is State.RUNNING:
        reading = reading_of(latest, memory)
        status |= {"started": reading.started, "ready": reading.started and reading.ready}
    else:
        _wait_for_restart(pod, container, latest, memory, now, status)
        if spec.is_initial(pod, container):
            status["ready"] = latest.exit_code == 0 and latest.state is State.EXITED
    return status


def _linux_user(found: ProcessUser) -> Object:
    return {"uid": found.user, "gid": found.group, "supplementalGroups": list(found.groups)}


def _wait_for_restart(
    pod: Object, container: Object, ended: Container, memory: Memory, now: float, status: Object
) -> None:
    """An ended container that will start again waits; what it ended with becomes its last state."""
    name = container["name"]
    problem = memory.problems.get(name)
    pause = backoff.remaining(memory.backoffs.get(name), ended.finished, now)
    at_once = ended.id in memory.restarting
    again = at_once or spec.restarts_after(pod, container, ended.exit_code)
    init_done = spec.is_initial(pod, container) and ended.exit_code == 0
    if not again or init_done or spec.is_terminal(pod) or pod["metadata"].get("deletionTimestamp"):
        return
    if problem is not None and not (problem.reason == RUN_ERROR and pause > 0):
        waiting = {"reason": problem.reason, "message": problem.message}
    elif pause > 0:
        waiting = {"reason": "CrashLoopBackOff", "message": crash_message(pod, name, memory)}
    elif at_once:
        # By its policy it could have ended for good, and what has cannot be seen running again.
        waiting = {"reason": "ContainerCreating"}
    else:
        return
    status |= {"lastState": status["state"], "state": {"waiting": waiting}}


def crash_message(pod: Object, name: str, memory: Memory) -> str:
    """Why a container waits before its next start."""
    known = memory.backoffs.get(name)
    delay = known.delay if known is not None else backoff.FIRST
    return f"back-off {_duration(delay)} restarting failed container={name} pod={spec.long_name(pod)}"


def _last_state(before: Object | None, container_id: str) -> Object:
    """What was before an attempt, of which the runtime has nothing, as the API remembers it."""
    known = before or {}
    ended = "terminated" in (known.get("state") or {}) and known.get("containerID") != container_id
    found: Object = known["state"] if ended else known.get("lastState") or {}
    return found


def _absent(pod: Object, container: Object, view: PodView, memory: Memory, before: Object | None) -> Object:
    """A container of which the runtime has nothing: it has not run yet, or was lost and runs again."""
    name, init = container["name"], spec.is_initial(pod, container)
    if before is not None and (spec.is_terminal(pod) or is_deleting(pod) or recorded.is_over(pod, container)):
        return _lost(before)
    if init and any(view.latest(entry["name"]) is not None for entry in spec.containers(pod)):
        return _initialized(container, before)
    problem, last = memory.problems.get(name), before or {}
    if problem is not None:
        waiting = {"reason": problem.reason, "message": problem.message}
    elif spec.init_containers(pod):
        waiting = {"reason": "PodInitializing"}
    else:
        waiting = {"reason": "ContainerCreating"}
    state, last_state, counted = last.get("state") or {}, _last_state(before, ""), True
    if last.get("containerID") and "waiting" not in state and is_true(pod, "AllContainersRestarting"):
        waiting = {"reason": _RESTARTING, "message": _REMOVED}
        last_state = {"terminated": _unknown(_RESTARTING, _REMOVED)}
    elif "running" in state:
        last_state = {"terminated": _unknown(_UNKNOWN, _WAS_RUNNING)}
    else:
        counted = False
    # With the id of what ran before, the attempt that comes now does not count yet.
    identity = {} if counted or not last.get("containerID") else {"containerID": last["containerID"]}
    return identity | {
        "name": name,
        "state": {"waiting": waiting},
        "lastState": last_state,
        "ready": False,
        "restartCount": int(last.get("restartCount") or 0) + counted,
        "image": container.get("image", ""),
        "imageID": "",
        "started": False,
    }


def _initialized(container: Object, before: Object | None) -> Object:
    """An init container of which the runtime has nothing any more, of a pod that has been initialized."""
    if before is not None and "terminated" in (before.get("state") or {}):
        return before
    ended = _unknown("Completed", _TAKEN_FOR_DONE) | {"exitCode": 0}
    known = before or {"name": container["name"], "restartCount": 0, "image": container.get("image", ""), "imageID": ""}
    return known | {"state": {"terminated": ended}, "lastState": {}, "ready": True, "started": False}


def _unknown(reason: str, message: str) -> Object:
    """An end that nobody saw."""
    return {"exitCode": 137, "reason": reason, "message": message, "startedAt": None, "finishedAt": None}


def _lost(before: Object) -> Object:
    """A container that ran and that the runtime does not have any more, of a pod that has ended."""
    status = before | {"ready": False, "started": False}
    if "running" in (before.get("state") or {}):
        status["state"] = {"terminated": _unknown(_UNKNOWN, _NOT_FOUND)}
    return status


def settle(pod: Object, status: Object) -> None:
    """Of a pod that has ended, let what told no end count as killed, but for what never had its turn.

    Source: kubelet's status manager, TerminatePod.
    """
    initial = status.get("initContainerStatuses") or []
    begun = max((place for place, entry in enumerate(initial) if _has_begun(entry)), default=0)
    regular = (status.get("containerStatuses") or []) if _is_initialized(pod, status) else []
    for entry in [*initial[: begun + 1], *regular]:
        if "terminated" not in entry["state"]:
            entry["state"] = {"terminated": _unknown(_UNKNOWN, _NOT_FOUND)}


def _has_begun(entry: Object) -> bool:
    return "waiting" not in entry["state"] or "terminated" in (entry.get("lastState") or {})


def _is_initialized(pod: Object, status: Object) -> bool:
    """Whether the regular containers of a pod have had their turn. Source: kubelet's hasPodInitialized."""
    initial = status.get("initContainerStatuses") or []
    if not initial or any(_has_begun(entry) for entry in status.get("containerStatuses") or []):
        return True
    if spec.is_sidecar(spec.init_containers(pod)[-1]):
        return bool(initial[-1].get("started"))
    ends = [(initial[-1].get(field) or {}).get("terminated") or {} for field in ("state", "lastState")]
    return any(end.get("exitCode") == 0 for end in ends)


def state_of(found: Container, runtime: str) -> Object:
    """The ContainerState of an attempt."""
    if found.state is State.RUNNING:
        return {"running": {"startedAt": timestamp(found.started)}}
    if found.state is State.UNKNOWN:
        times = {"startedAt": timestamp(found.started), "finishedAt": timestamp(found.finished)}
        return {"terminated": _unknown(_UNKNOWN, _NOT_FOUND) | times | {"containerID": f"{runtime}://{found.id}"}}
    terminated = {
        "exitCode": found.exit_code,
        "reason": _reason(found),
        "startedAt": timestamp(found.started),
        "finishedAt": timestamp(found.finished),
        "containerID": f"{runtime}://{found.id}",
    }
    if found.message:
        terminated["message"] = found.message
    return {"terminated": terminated}


def _reason(found: Container) -> str:
    if found.exit_code == 0:
        return "Completed"
    if found.exit_code == UNSTARTED and not found.started:
        return "StartError"
    return "OOMKilled" if found.out_of_memory else "Error"


def _duration(seconds: float) -> str:
    """Go's text of a duration of whole seconds: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
