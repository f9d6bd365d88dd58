"""What the kubelet decides to do next, as tables of pods and what the runtime says of them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from agents.kubelet.pods import backoff, spec
from agents.kubelet.pods.plan import Plan, SandboxAction
from agents.kubelet.pods.sync import decide, decide_orphan
from agents.kubelet.pods.view import BackOff, Memory, PodView, Problem, Reading
from agents.kubelet.runtime.interface import Container, PodIdentity, Sandbox, State
from api.runtime import timestamp

pytestmark = pytest.mark.unit

NOW = 1_800_000_000.0
IDENTITY = PodIdentity("web", "default", "u1")
SANDBOX = Sandbox("s0", IDENTITY, 0, State.RUNNING, NOW - 100)
GOOD = Reading()


def pod(containers: str = "app", init: str = "", sidecars: str = "", **fields: Any) -> dict[str, Any]:
    """A pod with these containers by name; init containers first, then sidecars."""
    entries = [{"name": name, "image": "x:1"} for name in init.split()]
    entries += [{"name": name, "image": "x:1", "restartPolicy": "Always"} for name in sidecars.split()]
    status, metadata = fields.pop("status", {}), fields.pop("metadata", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "uid": "u1", **metadata},
        "spec": {
            "containers": [{"name": name, "image": "x:1"} for name in containers.split()],
            "initContainers": entries,
            **fields,
        },
        "status": status,
    }


def container(text: str) -> Container:
    """`name:attempt:state[:exit code[:seconds since its end]]`."""
    name, attempt, state, code, ago = [*text.split(":"), "0", "0"][:5]
    return Container(
        id=f"{name}-{attempt}",
        pod=IDENTITY,
        name=name,
        attempt=int(attempt),
        sandbox_id="s0",
        state=State(state),
        image="x:1",
        image_id="sha256:x",
        created=NOW - 50,
        started=NOW - 50,
        finished=NOW - float(ago) if state == "exited" else 0.0,
        exit_code=int(code),
    )


def over(containers: str = "app", **fields: Any) -> dict[str, Any]:
    """A pod that starts over when one of its containers ends with 7."""
    made = pod(containers, restartPolicy="Never", **fields)
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [7]}}
    for entry in made["spec"]["containers"] + made["spec"]["initContainers"]:
        entry["restartPolicyRules"] = [rule]
    return made


def view(text: str = "", sandbox: Sandbox | None = SANDBOX) -> PodView:
    found = sorted((container(part) for part in text.split()), key=lambda c: (c.name, c.attempt), reverse=True)
    return PodView(sandbox, (), tuple(found))


def summary(plan: Plan) -> str:
    """A plan as words: what is stopped, removed, done to the sandbox and started."""
    words = [f"stop {stop.container.id} {stop.grace:.0f}" + " later" * (not stop.turn) for stop in plan.stops]
    words += [f"remove {dead.id}" for dead in plan.removals]
    if plan.sandbox is not SandboxAction.KEEP:
        words.append(f"{plan.sandbox} sandbox")
    words += [f"start {start.name}:{start.attempt}" for start in plan.starts]
    words += [f"wait {name}" for name in plan.waiting]
    return ", ".join(words + ["gone"] * plan.gone)


def readings(text: str, **values: Any) -> Memory:
    return Memory(readings=dict.fromkeys(text.split(), GOOD) | values)


RESTARTING = {"status": {"conditions": [{"type": "AllContainersRestarting", "status": "True"}]}}
RAN = {"name": "app", "restartCount": 0, "containerID": "podman://x", "state": {"running": {}}}
RECORDED = {"containerStatuses": [RAN | {"state": {"terminated": {"exitCode": 0}}}, RAN | {"name": "b"}]}


def added(**fields: Any) -> dict[str, Any]:
    """A pod to which a container was added while it ran."""
    return pod(ephemeralContainers=[{"name": "debug", "image": "x:1"}], **fields)


STARTING = [
    ("a new pod gets its sandbox first", pod(), view(sandbox=None), Memory(), "create sandbox"),
    ("then its containers", pod("a b"), view(), Memory(), "start b:0, start a:0"),
    ("a container that was only created is made afresh", pod(), view("app:0:created"), Memory(), "start app:0"),
    ("init containers run one by one", pod(init="i j"), view("i:0:running"), readings("i-0"), ""),
    ("the next after the one before ended well", pod(init="i j"), view("i:0:exited:0"), Memory(), "start j:0"),
    ("containers wait for the last", pod(init="i"), view("i:0:exited:0"), Memory(), "start app:0"),
    ("a failed init container is tried again", pod(init="i"), view("i:0:exited:1"), Memory(), "start i:1"),
    (
        "unless nothing is to be restarted",
        pod(init="i", restartPolicy="Never"),
        view("i:0:exited:1"),
        Memory(),
        "stop sandbox",
    ),
    ("a sidecar starts before the containers", pod(sidecars="s"), view(), Memory(), "start s:0"),
    ("which wait until it has started", pod(sidecars="s"), view("s:0:running"), Memory(), ""),
    ("and then start beside it", pod(sidecars="s"), view("s:0:running"), readings("s-0"), "start app:0"),
    (
        "a sidecar that ended starts again",
        pod(sidecars="s"),
        view("s:0:exited:0 app:0:running"),
        readings("app-0"),
        "start s:1",
    ),
    (
        "init containers stay done when a container restarts",
        pod(init="i"),
        view("i:0:exited:0 app:0:exited:1"),
        Memory(),
        "start app:1",
    ),
    (
        "restarts are counted on from the API when the runtime has lost them",
        pod(status={"containerStatuses": [{"name": "app", "restartCount": 4, "containerID": "podman://x"}]}),
        view(),
        Memory(),
        "start app:5",
    ),
    ("one that ran when it was lost was killed", pod("app", restartPolicy="Never", status={"containerStatuses": [RAN]}),
     view(), Memory(), "stop sandbox"),
    ("and is tried again where it may be",
     pod("app", restartPolicy="OnFailure", status={"containerStatuses": [RAN]}), view(), Memory(), "start app:1"),
    ("one that ended well starts no more for that", pod("app b", restartPolicy="OnFailure", status=RECORDED), view(),
     Memory(), "start b:1"),
    ("nor does it keep the pod from its end", pod("app b", restartPolicy="OnFailure", status=RECORDED),
     view("b:1:exited:0"), Memory(), "stop sandbox"),
    ("where all runs for ever it does", pod("app b", status=RECORDED), view(), Memory(), "start app:1, start b:1"),
    # Source: kuberuntime's TestComputePodActionsWithRestartableInitContainers and its like.
    ("what came before the last that has begun is done", pod(init="i j k"), view("k:0:running"), Memory(), ""),
    ("even if that is the record of its end", pod(init="i j k"), view("k:0:exited:0"), Memory(), "start app:0"),
    ("sidecars start again side by side", pod(sidecars="s t u"), view("s:0:exited t:0:running u:0:exited"),
     readings("t-0"), "start s:1, start u:1"),
    ("one that ended keeps no container from its start", pod(sidecars="s t u"),
     view("s:0:exited t:0:running u:0:running"), readings("t-0 u-0"), "start s:1, start app:0"),
    ("nor do those that nobody knows of", pod(sidecars="s t u"), view("u:0:running"), readings("u-0"),
     "start s:0, start t:0, start app:0"),
    ("the last one is waited for", pod(sidecars="s t u"), view("s:0:exited t:0:running u:0:running"),
     readings("t-0"), "start s:1"),
    ("one of which nobody knows how it is has failed", pod(init="i", restartPolicy="Never"), view("i:0:unknown"),
     Memory(), "stop sandbox"),
    ("and is tried again where it may be", pod(init="i", restartPolicy="OnFailure"), view("i:0:unknown"), Memory(),
     "start i:1"),
    ("as sidecars always may", pod(sidecars="s", restartPolicy="Never"), view("s:0:unknown"), Memory(), "start s:1"),
    ("an added container starts once", added(), view("app:0:running"), readings("app-0"), "start debug:0"),
    ("whatever the first containers do", added(init="i"), view("i:0:running"), Memory(), "start debug:0"),
    ("and not again when it has ended", added(), view("app:0:running debug:0:exited:1"), readings("app-0"), ""),
    ("nor when nobody knows how", added(), view("app:0:running debug:0:unknown"), readings("app-0"), ""),
    ("nor with another sandbox", added(status={"ephemeralContainerStatuses": [RAN | {"name": "debug"}]}),
     view("app:1:running"), readings("app-1"), ""),
]  # fmt: skip

OVER = [
    ("the others are ended first", over("app b", init="i"), view("i:0:exited:0 app:0:exited:7 b:0:running"), Memory(),
     "stop b-0 30"),
    ("then all are forgotten, and the sandbox stays", over("app b", init="i"),
     view("i:0:exited:0 app:0:exited:7 b:0:exited:0"), Memory(), "remove i-0, remove b-0, remove app-0"),
    ("and all begin again, counted on", over(init="i", status={"initContainerStatuses": [
        {"name": "i", "restartCount": 0, "containerID": "podman://x"}]}), view(), Memory(), "start i:1"),
    ("an init container may ask for it", over("app", init="i"), view("i:0:exited:7"), Memory(), "remove i-0"),
    ("other ends are like any", over("app b"), view("app:0:exited:1 b:0:running"), Memory(), ""),
    ("it waits like any that keeps ending", over(), view("app:0:exited:7:1"),
     Memory(backoffs={"app": BackOff(10.0, NOW - 5)}), "wait app"),
    ("a sidecar may ask for it", over(sidecars="s"), view("s:0:exited:7 app:0:running"), Memory(), "stop app-0 30"),
    ("and has it when all has ended for it", over(sidecars="s", **RESTARTING), view("s:0:exited:7 app:0:exited:0"),
     Memory(), "remove s-0, remove app-0"),
    ("though the API may not know yet", over(sidecars="s"), view("s:0:exited:7 app:0:exited:0"),
     Memory(starting_over="s-0"), "remove s-0, remove app-0"),
    ("but not when the work was done before", over(sidecars="s"), view("s:0:exited:7 app:0:exited:0"), Memory(),
     "stop sandbox"),
    ("an init container that was ended for it has not failed", over(sidecars="s", init="i"),
     view("s:0:exited:7 i:0:exited:143"), Memory(), "remove s-0, remove i-0"),
]  # fmt: skip

RUNNING = [
    ("all is as it should be", pod(), view("app:0:running"), readings("app-0"), ""),
    ("Always restarts after success", pod(), view("app:0:exited:0"), Memory(), "start app:1"),
    (
        "OnFailure restarts after failure",
        pod(restartPolicy="OnFailure"),
        view("app:0:exited:1"),
        Memory(),
        "start app:1",
    ),
    ("OnFailure ends after success", pod(restartPolicy="OnFailure"), view("app:0:exited:0"), Memory(), "stop sandbox"),
    ("Never ends after failure", pod(restartPolicy="Never"), view("app:0:exited:1"), Memory(), "stop sandbox"),
    (
        "Never goes on while another runs",
        pod("app b", restartPolicy="Never"),
        view("app:0:exited:1 b:0:running"),
        readings("b-0"),
        "",
    ),
    (
        "a pod that ended takes its sidecars down",
        pod(sidecars="s", restartPolicy="Never"),
        view("s:0:running app:0:exited:0"),
        readings("s-0"),
        "stop s-0 30",
    ),
    (
        "back-off holds a restart",
        pod(),
        view("app:3:exited:1:5"),
        Memory(backoffs={"app": BackOff(40.0, NOW - 60)}),
        "wait app",
    ),
    (
        "and lets it go in time",
        pod(),
        view("app:3:exited:1:41"),
        Memory(backoffs={"app": BackOff(40.0, NOW - 60)}),
        "start app:4",
    ),
    (
        "a problem holds a start",
        pod(),
        view(),
        Memory(problems={"app": Problem("ErrImagePull", "no such image", NOW + 5)}),
        "",
    ),
    (
        "a container that failed its liveness probe is ended",
        pod(),
        view("app:0:running"),
        Memory(readings={"app-0": Reading(live=False, failed_probe="liveness")}),
        "stop app-0 30",
    ),
    (
        "within the probe's own grace",
        pod(),
        view("app:0:running"),
        Memory(readings={"app-0": Reading(live=False, failed_probe="startup", grace=5.0)}),
        "stop app-0 5",
    ),
    (
        "OnFailure restarts what ended well after its probe had failed",
        pod(restartPolicy="OnFailure"),
        view("app:0:exited:0"),
        Memory(restarting=frozenset({"app-0"})),
        "start app:1",
    ),
    (
        "as Never what ended for another image",
        pod("app b", restartPolicy="Never"),
        view("app:0:exited:143 b:0:exited:0"),
        Memory(restarting=frozenset({"app-0"})),
        "start app:1",
    ),
    (
        "only the newest attempt and the one before it stay",
        pod(),
        view("app:0:exited app:1:exited app:2:running"),
        readings("app-2"),
        "remove app-0",
    ),
]

ENDING = [
    (
        "a deleted pod's containers are stopped",
        pod("a b", metadata={"deletionTimestamp": timestamp(NOW + 30), "deletionGracePeriodSeconds": 30}),
        view("a:0:running b:0:running"),
        Memory(),
        "stop b-0 30, stop a-0 30",
    ),
    (
        "with what is left of the grace period",
        pod(metadata={"deletionTimestamp": timestamp(NOW + 4), "deletionGracePeriodSeconds": 30}),
        view("app:0:running"),
        Memory(),
        "stop app-0 5",
    ),
    (
        "at once after it",
        pod(metadata={"deletionTimestamp": timestamp(NOW - 4), "deletionGracePeriodSeconds": 30}),
        view("app:0:running"),
        Memory(),
        "stop app-0 0",
    ),
    (
        "sidecars after the containers, the last first",
        pod(sidecars="s t", metadata={"deletionTimestamp": timestamp(NOW), "deletionGracePeriodSeconds": 0}),
        view("s:0:running t:0:running app:0:exited:0"),
        Memory(),
        "stop t-0 0, stop s-0 0 later",
    ),
    (
        "but the hooks of all run at once",
        pod(sidecars="s t", restartPolicy="Never"),
        view("s:0:running t:0:exited:0 app:0:running"),
        Memory(rejected=("Evicted", "no")),
        "stop app-0 30, stop s-0 30 later",
    ),
    (
        "then all of it goes",
        pod(metadata={"deletionTimestamp": timestamp(NOW)}),
        view("app:0:exited:0"),
        Memory(),
        "remove app-0, remove sandbox, gone",
    ),
    ("a refused pod starts nothing", pod(), view(sandbox=None), Memory(rejected=("OutOfcpu", "no")), ""),
    (
        "a pod past its deadline is stopped",
        pod(activeDeadlineSeconds=10, status={"startTime": timestamp(NOW - 11)}),
        view("app:0:running"),
        readings("app-0"),
        "stop app-0 30",
    ),
    ("an ended pod never starts again", pod(status={"phase": "Failed"}), view(sandbox=None), Memory(), ""),
]

DEAD = Sandbox("s0", IDENTITY, 0, State.EXITED, NOW - 100)
LOST_SANDBOX = [
    ("containers of a dead sandbox are ended", pod(), view("app:0:running", DEAD), Memory(), "stop app-0 30"),
    (
        "and it is made afresh",
        pod(),
        view("app:0:exited:137", DEAD),
        Memory(),
        "remove app-0, create sandbox",
    ),
    (
        "but not for a pod whose work is done",
        pod(restartPolicy="Never"),
        view("app:0:exited:0", DEAD),
        Memory(),
        "",
    ),
]


@pytest.mark.parametrize(
    ("pod_", "found", "memory", "expected"),
    [pytest.param(*case[1:], id=case[0]) for case in STARTING + OVER + RUNNING + ENDING + LOST_SANDBOX],
)
def test_decision(pod_: dict[str, Any], found: PodView, memory: Memory, expected: str) -> None:
    assert sorted(summary(decide(pod_, found, memory, NOW)).split(", ")) == sorted(expected.split(", "))


def test_a_pod_is_looked_at_again_when_its_time_is_over() -> None:
    limited = pod(activeDeadlineSeconds=10, status={"startTime": timestamp(NOW - 4)})
    assert decide(limited, view("app:0:running"), readings("app-0"), NOW).again == pytest.approx(6)
    assert decide(pod(), view("app:0:running"), readings("app-0"), NOW).again is None


CHANGED = " definition changed, will be restarted"
UNWELL = Reading(live=False, failed_probe="liveness")


@pytest.mark.parametrize(
    ("pod_", "name", "image", "reading", "stops"),
    [
        (pod(restartPolicy="Never"), "app", "x:0", GOOD, [("Container app" + CHANGED, True)]),
        (pod(sidecars="s"), "s", "x:0", GOOD, [("Container s" + CHANGED, True)]),
        # Source: kuberuntime's computeInitContainerActions: what runs to its end only may run to it.
        (pod(init="i"), "i", "x:0", GOOD, []),
        (
            pod(restartPolicy="OnFailure"),
            "app",
            "x:1",
            UNWELL,
            [("app failed liveness probe, will be restarted", True)],
        ),
        (pod(restartPolicy="Never"), "app", "x:1", UNWELL, [("Container app failed liveness probe", False)]),
        (pod(sidecars="s", restartPolicy="Never"), "s", "x:1", UNWELL, [("liveness probe, will be restarted", True)]),
    ],
)
def test_what_ends_for_its_image_or_its_probe_runs_again(
    pod_: dict[str, Any], name: str, image: str, reading: Reading, stops: list[tuple[str, bool]]
) -> None:
    running = container(f"{name}:0:running")
    old_hash = spec.container_hash({"name": name, "image": image})
    found = PodView(SANDBOX, (), (Container(**{**_fields(running), "spec_hash": old_hash}),))
    plan = decide(pod_, found, Memory(readings={running.id: reading}), NOW)
    assert [stop.again for stop in plan.stops] == [again for _, again in stops]
    assert all(stop.message.endswith(said) for stop, (said, _) in zip(plan.stops, stops, strict=True))


def test_an_orphan_is_ended_before_it_is_removed() -> None:
    assert summary(decide_orphan(view("app:0:running"))) == "stop app-0 2"
    assert summary(decide_orphan(view("app:0:exited"))) == "remove app-0, remove sandbox, gone"


def test_every_plan_gives_a_reason() -> None:
    for _, pod_, found, memory, _ in STARTING + OVER + RUNNING + ENDING:
        assert decide(pod_, found, memory, NOW).because


def test_back_off_doubles_to_five_minutes_and_is_forgotten_after_ten() -> None:
    known, now, delays = None, NOW, []
    for _ in range(7):
        known = backoff.following(known, now, now)
        delays.append(known.delay)
        now += known.delay
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.following(known, now + 601, now + 601).delay == 10
    assert backoff.remaining(known, now + 601, now + 601) == 0


def _fields(found: Container) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Container.__slots__}


def test_what_keeps_a_pod_from_starting_is_tried_ever_more_seldom() -> None:
    pauses = list(itertools.accumulate(range(6), lambda before, _: backoff.pause(before), initial=0.0))
    assert pauses == [0, 2, 4, 8, 16, 16, 16]
