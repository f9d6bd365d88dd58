"""What to do next for a pod: the kubelet's decision, made from values alone.

`decide` is called whenever something may have changed; it looks at the spec, the runtime's view and the probes,
and says which containers to stop, remove and start, whether the sandbox is to be made or taken down, and why.
A worker performs the plan and asks again until nothing is left to do.

Invariant: pure, and idempotent: a plan carried out half-way leads to a plan for the rest.
Source: kubelet's kuberuntime computePodActions and the pod worker's termination.
"""

from __future__ import annotations

from dataclasses import replace

from agents.kubelet.pods import backoff, recorded, spec
from agents.kubelet.pods.plan import Draft, Plan, Resize, SandboxAction, Start, Stop
from agents.kubelet.pods.view import Memory, PodView, Reading
from agents.kubelet.runtime.interface import Container, State
from api.objects import Object, is_true
from api.restarts import restarts_all_after
from api.runtime import parse_timestamp

ORPHAN_GRACE = 2.0
KILLED = 137
UNREADY = Reading(started=False, ready=False)


def decide(pod: Object, view: PodView, memory: Memory, now: float) -> Plan:
    """The next steps for a pod of this node."""
    deadline = spec.deadline_of_deletion(pod)
    if deadline is not None:
        # The timestamp has whole seconds: nobody must lose the rest of one.
        grace = min(max(0.0, deadline + 1.0 - now), _deletion_grace(pod))
        return _take_down(pod, view, grace, "the pod is deleted", remove=True)
    ended = why_ended(pod, view, memory, now)
    if ended:
        grace = spec.grace_period(pod) if memory.evicted is None else memory.evicted.grace
        return _take_down(pod, view, grace, ended, remove=False)
    if view.sandbox is None or view.sandbox.state is not State.RUNNING or view.old_sandboxes:
        return _renew_sandbox(pod, view)
    cause = starts_over(pod, view, memory)
    plan = _keep_running(pod, view, memory, now) if cause is None else _start_over(pod, view, cause, memory, now)
    return _until_deadline(plan, pod, now)


def decide_orphan(view: PodView) -> Plan:
    """The next steps for what the runtime still has of a pod that the API does not know (any more)."""
    if view.running():
        stops = tuple(Stop(found, ORPHAN_GRACE) for found in view.running())
        return Plan(stops=stops, because="the pod is not on this node any more", again=1.0)
    return Plan(removals=view.containers, sandbox=SandboxAction.REMOVE, gone=True, because="the pod is gone")


def why_ended(pod: Object, view: PodView, memory: Memory, now: float) -> str:
    """Why nothing of the pod shall run any more, or ""."""
    if memory.rejected is not None:
        return f"the node refused the pod: {memory.rejected[1]}"
    if memory.evicted is not None:
        return f"the node ends the pod: {memory.evicted.message}"
    if spec.is_terminal(pod):
        return "the pod has ended"
    if deadline_exceeded(pod, now):
        return "the pod was active for longer than its deadline"
    if starts_over(pod, view, memory) is not None:
        return ""
    for container in spec.init_containers(pod):
        latest = view.latest(container["name"])
        if latest is not None and not spec.is_sidecar(container) and _failed(pod, container, latest):
            return f"init container {container['name']} failed"
    return "all containers have ended" if _have_ended(pod, view, memory) else ""


def _have_ended(pod: Object, view: PodView, memory: Memory) -> bool:
    """Whether each of the pod's regular containers has run and will not again."""
    return all(
        recorded.is_over(pod, container) if found is None else not _restarts(pod, found, memory)
        for container in spec.containers(pod)
        for found in [view.latest(container["name"])]
    )


def starts_over(pod: Object, view: PodView, memory: Memory) -> Container | None:
    """The container that ended so that by its own rules all of the pod starts over, or None.

    A sidecar that ends when the pod's work is done starts nothing over; but what has been begun goes on.
    """
    done = _have_ended(pod, view, memory) and not is_true(pod, "AllContainersRestarting")
    for container in [*spec.init_containers(pod), *spec.containers(pod)]:
        latest = view.latest(container["name"])
        if latest is None or latest.state is not State.EXITED or (done and latest.id != memory.starting_over):
            continue
        if restarts_all_after(container, latest.exit_code):
            return latest
    return None


def deadline_exceeded(pod: Object, now: float) -> bool:
    """Whether activeDeadlineSeconds have passed since the pod's start."""
    left = _seconds_to_deadline(pod, now)
    return left is not None and left <= 0


def _seconds_to_deadline(pod: Object, now: float) -> float | None:
    seconds = pod["spec"].get("activeDeadlineSeconds")
    start = (pod.get("status") or {}).get("startTime")
    return parse_timestamp(start) + float(seconds) - now if seconds is not None and start else None


def _until_deadline(plan: Plan, pod: Object, now: float) -> Plan:
    """The plan, looked at again when the pod's time is over: no event tells of that."""
    left = _seconds_to_deadline(pod, now)
    if left is None:
        return plan
    return replace(plan, again=left if plan.again is None else min(plan.again, left))


def reading_of(container: Container, memory: Memory) -> Reading:
    """What the probes say; a container nobody probed yet has not started."""
    return memory.readings.get(container.id, UNREADY)


def _deletion_grace(pod: Object) -> float:
    seconds = pod["metadata"].get("deletionGracePeriodSeconds")
    return spec.grace_period(pod) if seconds is None else float(seconds)


def _take_down(pod: Object, view: PodView, grace: float, because: str, *, remove: bool) -> Plan:
    """Stop containers, sidecars after the rest and last one first; then the sandbox.

    The hooks of all of them run at once. Source: kubelet's kuberuntime, terminationOrdering.
    """
    running = view.running()
    if running:
        sidecars = [c["name"] for c in spec.init_containers(pod) if spec.is_sidecar(c)]
        chosen = [found for found in running if found.name not in sidecars]
        if not chosen:
            chosen = sorted(running, key=lambda found: sidecars.index(found.name))[-1:]
        stops = tuple(Stop(found, grace, f"Stopping container {found.name}", turn=found in chosen) for found in running)
        return Plan(stops=stops, because=because, again=1.0)
    if remove:
        return Plan(removals=view.containers, sandbox=SandboxAction.REMOVE, gone=True, because=because)
    halted = view.sandbox is None or view.sandbox.state is not State.RUNNING
    return Plan(sandbox=SandboxAction.KEEP if halted else SandboxAction.STOP, ended=halted, because=because)


def _start_over(pod: Object, view: PodView, cause: Container, memory: Memory, now: float) -> Plan:
    """End the other containers, wait as long as `cause` has to, and forget all of them; the sandbox stays.

    Source: kubelet's kuberuntime, RestartAllContainers.
    """
    because = f"container {cause.name} ended with {cause.exit_code}, which starts the pod over"
    running = view.running()
    if running:
        stops = tuple(Stop(found, spec.grace_period(pod), f"Stopping container {found.name}") for found in running)
        return Plan(stops=stops, because=because, again=1.0)
    pause = backoff.remaining(memory.backoffs.get(cause.name), cause.finished, now)
    if pause > 0:
        return Plan(waiting=(cause.name,), because=because, again=pause)
    return Plan(removals=view.containers, counted=cause, because=because, again=0.1)


def _renew_sandbox(pod: Object, view: PodView) -> Plan:
    if view.running():
        running = view.running()
        stops = tuple(Stop(found, spec.grace_period(pod), f"Stopping container {found.name}") for found in running)
        return Plan(stops=stops, because="the sandbox is gone", again=0.5)
    why = "the pod has no sandbox" if view.sandbox is None else "the sandbox has ended"
    return Plan(removals=view.containers, sandbox=SandboxAction.CREATE, because=why)


def _keep_running(pod: Object, view: PodView, memory: Memory, now: float) -> Plan:
    draft = Draft()
    _clear_leftovers(view, draft)
    for container in spec.ephemeral_containers(pod):
        _consider_added(pod, container, view, memory, now, draft)
    blocking = None if _has_started(pod, view) else _next_init(pod, view, memory)
    for container in spec.init_containers(pod):
        if spec.is_sidecar(container):
            reached = blocking is None or _position(pod, container) <= _position(pod, blocking)
            if reached:
                _consider(pod, container, view, memory, now, draft)
        elif blocking is not None and container["name"] == blocking["name"]:
            _consider(pod, container, view, memory, now, draft)
    if blocking is not None:
        draft.reasons.append(f"init container {blocking['name']} is not done")
        return draft.plan()
    for container in spec.containers(pod):
        _consider(pod, container, view, memory, now, draft)
    return draft.plan()


def _has_started(pod: Object, view: PodView) -> bool:
    return any(view.latest(container["name"]) is not None for container in spec.containers(pod))


def _position(pod: Object, container: Object) -> int:
    return [entry["name"] for entry in spec.init_containers(pod)].index(container["name"])


def _next_init(pod: Object, view: PodView, memory: Memory) -> Object | None:
    """The first init container that has not done its part: ended well, or, for a sidecar, started.

    Those before the last one that has begun have done theirs, whatever became of them.
    """
    containers = spec.init_containers(pod)
    begun = [place for place, entry in enumerate(containers) if view.latest(entry["name"]) is not None]
    for container in containers[begun[-1] if begun else 0 :]:
        latest = view.latest(container["name"])
        if spec.is_sidecar(container):
            if latest is None or latest.state is not State.RUNNING or not reading_of(latest, memory).started:
                return container
        elif latest is None or latest.state is not State.EXITED or latest.exit_code != 0:
            return container
    return None


def _consider(pod: Object, container: Object, view: PodView, memory: Memory, now: float, draft: Draft) -> None:
    """What to do about one container that should have its turn now."""
    name = container["name"]
    latest = view.latest(name)
    if latest is None and recorded.is_over(pod, container):
        return
    if latest is None or latest.state is State.CREATED:
        attempt = latest.attempt if latest is not None else recorded.attempts(pod, name)
        _start(name, attempt, "it has not run yet", memory, now, draft)
    elif latest.state is State.RUNNING:
        _check_running(pod, container, latest, memory, draft)
    elif _restarts(pod, latest, memory):
        pause = backoff.remaining(memory.backoffs.get(name), latest.finished, now)
        if pause > 0:
            draft.waiting.append(name)
            draft.look_again(pause)
            draft.reasons.append(f"container {name} waits {pause:.0f} s before its next start")
        else:
            _start(name, latest.attempt + 1, f"it ended with {latest.exit_code}", memory, now, draft)


def _consider_added(pod: Object, container: Object, view: PodView, memory: Memory, now: float, draft: Draft) -> None:
    """A container added to the running pod starts once, whatever the others do."""
    latest = view.latest(container["name"])
    if (latest is None and not recorded.is_over(pod, container)) or (latest and latest.state is State.CREATED):
        _start(container["name"], 0, "it was added", memory, now, draft, _target(container, view))


def _target(container: Object, view: PodView) -> str:
    """The running container whose processes an ephemeral container wants to see."""
    wanted = container.get("targetContainerName")
    found = view.latest(wanted) if wanted else None
    return found.id if found is not None and found.state is State.RUNNING else ""


def _start(
    name: str, attempt: int, because: str, memory: Memory, now: float, draft: Draft, target_id: str = ""
) -> None:
    problem = memory.problems.get(name)
    if problem is not None and now < problem.retry < now + backoff.LONGEST:
        draft.look_again(problem.retry - now)
        draft.reasons.append(f"container {name}: {problem.message}")
        return
    draft.starts.append(Start(name, attempt, because, target_id))
    draft.reasons.append(f"container {name} starts: {because}")


def _check_running(pod: Object, container: Object, found: Container, memory: Memory, draft: Draft) -> None:
    name = container["name"]
    reading = reading_of(found, memory)
    changed = found.spec_hash and found.spec_hash != spec.container_hash(container)
    if changed and not spec.is_initial(pod, container):
        message = f"Container {name} definition changed, will be restarted"
        draft.stops.append(Stop(found, spec.grace_period(pod), message, again=True))
    elif not reading.live:
        again = spec.restarts_unwell(pod, container)
        message = f"Container {name} failed {reading.failed_probe} probe" + ", will be restarted" * again
        grace = spec.grace_period(pod) if reading.grace is None else reading.grace
        draft.stops.append(Stop(found, grace, message, again=again))
    elif memory.resize_problem is None and (wanted := resize_of(pod, container, found, memory)):
        if spec.resize_restarts(container, memory.resized.get(found.id, found.resources), wanted):
            message = f"Container {name} resize requires restart"
            draft.stops.append(Stop(found, spec.grace_period(pod), message, again=True))
        else:
            draft.resizes.append(Resize(found, wanted))
            draft.reasons.append(f"container {name} gets other resources")


def resize_of(pod: Object, container: Object, found: Container, memory: Memory) -> str:
    """The resources that a running container should get and does not have yet, or ""."""
    wanted, present = spec.resources_text(pod, container), memory.resized.get(found.id, found.resources)
    return wanted if present and wanted != present else ""


def _restarts(pod: Object, found: Container, memory: Memory) -> bool:
    """Whether an ended container is to be started again; one that has not ended is."""
    if found.state is not State.EXITED or found.id in memory.restarting:
        return True
    container = spec.find_container(pod, found.name)
    return container is not None and spec.restarts_after(pod, container, found.exit_code)


def _failed(pod: Object, container: Object, found: Container) -> bool:
    """Whether an init container has failed for good; one of which nobody knows how it is counts as killed."""
    unknown = found.state is State.UNKNOWN
    code = KILLED if unknown else found.exit_code
    return (unknown or found.state is State.EXITED) and code != 0 and not spec.restarts_after(pod, container, code)


def _clear_leftovers(view: PodView, draft: Draft) -> None:
    """Of each name the newest attempt and the one before it stay (its log is `logs --previous`)."""
    seen: dict[str, int] = {}
    for found in view.containers:
        seen[found.name] = seen.get(found.name, 0) + 1
        if seen[found.name] > 2 and found.state is not State.RUNNING:
            draft.removals.append(found)
