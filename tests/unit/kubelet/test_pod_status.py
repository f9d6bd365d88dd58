"""The status that the kubelet writes, as tables of what the runtime says and what users see."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from agents.kubelet.pods import container_status, recorded
from agents.kubelet.pods.status import NodeFacts, one_of_each, pod_status, status_patch
from agents.kubelet.pods.view import BackOff, Eviction, Memory, PodView, Problem, Reading, with_unstarted
from agents.kubelet.runtime.interface import Container, PodIdentity, Sandbox, State
from api.runtime import timestamp

pytestmark = pytest.mark.unit

NOW = 1_800_000_000.0
IDENTITY = PodIdentity("web", "default", "u1")
SANDBOX = Sandbox("s0", IDENTITY, 0, State.RUNNING, NOW)
NODE = NodeFacts(("192.0.2.1",))


def make_pod(policy: str = "Always", init: tuple[str, ...] = (), **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "uid": "u1", "generation": 1},
        "spec": {
            "restartPolicy": policy,
            "containers": [{"name": "app", "image": "x:1"}],
            "initContainers": [{"name": name, "image": "x:1"} for name in init],
        },
        "status": status,
    }


def container(name: str = "app", state: str = "running", code: int = 0, attempt: int = 0, **fields: Any) -> Container:
    return Container(
        id=f"{name}{attempt}",
        pod=IDENTITY,
        name=name,
        attempt=attempt,
        sandbox_id="s0",
        state=State(state),
        image="x:1",
        image_id="sha256:x",
        started=NOW - 10,
        finished=NOW - 1 if state == "exited" else 0,
        exit_code=code,
        **fields,
    )


def status_of(pod: dict[str, Any], *found: Container, memory: Memory | None = None) -> dict[str, Any]:
    ready = {entry.id: Reading() for entry in found if entry.state is State.RUNNING}
    given = memory or Memory(readings=ready, addresses=("10.244.1.5",))
    ordered = sorted(found, key=lambda entry: (entry.name, entry.attempt), reverse=True)
    return pod_status(pod, PodView(SANDBOX, (), tuple(ordered)), given, NODE, NOW)


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {entry["type"]: entry["status"] for entry in status["conditions"]}


PHASES = [
    ("nothing runs yet", "Always", (), [], "Pending"),
    ("init runs", "Always", ("i",), [container("i")], "Pending"),
    ("init failed for good", "Never", ("i",), [container("i", "exited", 1)], "Failed"),
    ("running", "Always", (), [container()], "Running"),
    ("ended well", "Never", (), [container(state="exited")], "Succeeded"),
    ("ended badly", "Never", (), [container(state="exited", code=3)], "Failed"),
    ("ended badly, will be tried again", "OnFailure", (), [container(state="exited", code=3)], "Running"),
    ("ended well, will run again", "Always", (), [container(state="exited")], "Running"),
]


@pytest.mark.parametrize(
    ("policy", "init", "found", "expected"), [pytest.param(*case[1:], id=case[0]) for case in PHASES]
)
def test_phase(policy: str, init: tuple[str, ...], found: list[Container], expected: str) -> None:
    assert status_of(make_pod(policy, init), *found)["phase"] == expected


def test_a_running_pod_is_ready() -> None:
    status = status_of(make_pod(), container())
    assert set(conditions(status).values()) == {"True"}
    assert list(conditions(status)) == [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ]
    assert (status["podIP"], status["hostIP"]) == ("10.244.1.5", "192.0.2.1")
    (entry,) = status["containerStatuses"]
    assert entry["ready"] and entry["started"] and entry["containerID"] == "podman://app0"
    assert entry["state"] == {"running": {"startedAt": timestamp(NOW - 10)}}


@pytest.mark.parametrize("state", ["running", "exited"])
def test_the_stop_signal_that_a_pod_names_is_told(state: str) -> None:
    pod = make_pod("Never")
    assert "stopSignal" not in status_of(pod, container(state=state))["containerStatuses"][0]
    pod["spec"]["containers"][0]["lifecycle"] = {"stopSignal": "SIGUSR1"}
    assert status_of(pod, container(state=state))["containerStatuses"][0]["stopSignal"] == "SIGUSR1"


def test_an_unready_container_makes_the_pod_unready() -> None:
    memory = Memory(readings={"app0": Reading(ready=False)}, addresses=("10.244.1.5",))
    status = status_of(make_pod(), container(), memory=memory)
    ready = next(entry for entry in status["conditions"] if entry["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == "containers with unready status: [app]"


def test_readiness_gates_wait_for_their_conditions() -> None:
    pod = make_pod()
    pod["spec"]["readinessGates"] = [{"conditionType": "example.com/ok"}]
    status = status_of(pod, container())
    ready = next(entry for entry in status["conditions"] if entry["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    pod["status"]["conditions"] = [{"type": "example.com/ok", "status": "True"}]
    status = status_of(pod, container())
    assert conditions(status) | {"Ready": "True", "example.com/ok": "True"} == conditions(status)


WAITING = [
    ("creating", (), Memory(), "ContainerCreating"),
    ("initializing", ("i",), Memory(), "PodInitializing"),
    ("problem", (), Memory(problems={"app": Problem("ErrImagePull", "no", NOW)}), "ErrImagePull"),
]


@pytest.mark.parametrize(("init", "memory", "reason"), [pytest.param(*case[1:], id=case[0]) for case in WAITING])
def test_waiting_reason(init: tuple[str, ...], memory: Memory, reason: str) -> None:
    (entry,) = status_of(make_pod(init=init), memory=memory)["containerStatuses"]
    assert entry["state"]["waiting"]["reason"] == reason


def test_a_container_that_ended_well_stays_so_when_its_record_is_gone() -> None:
    ended = {"name": "app", "restartCount": 2, "containerID": "podman://x", "state": {"terminated": {"exitCode": 0}}}
    status = status_of(make_pod("OnFailure", containerStatuses=[ended | {"ready": True}]))
    assert status["containerStatuses"] == [ended | {"ready": False, "started": False}]
    assert status["phase"] == "Succeeded"


def unstarted(attempt: int) -> Container:
    found = container(state="exited", code=128, attempt=attempt, message="no such file")
    return dataclasses.replace(found, started=0.0)


def test_a_container_that_could_not_be_started_has_ended() -> None:
    status = status_of(make_pod("Never"), unstarted(0))
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert (status["phase"], ended["reason"], ended["message"]) == ("Failed", "StartError", "no such file")
    assert ended["startedAt"] == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize(("pause", "reason"), [(0.0, "RunContainerError"), (20.0, "CrashLoopBackOff")])
def test_it_waits_for_its_next_start_like_any(pause: float, reason: str) -> None:
    problems = {"app": Problem("RunContainerError", "no such file", NOW)}
    memory = Memory(problems=problems, backoffs={"app": BackOff(pause, NOW)} if pause else {})
    (entry,) = status_of(make_pod(), unstarted(1), memory=memory)["containerStatuses"]
    assert entry["state"]["waiting"]["reason"] == reason and entry["restartCount"] == 1
    assert entry["lastState"]["terminated"]["reason"] == "StartError"


def test_attempts_of_which_the_runtime_has_nothing_count() -> None:
    view = PodView(SANDBOX, (), (container(attempt=1),))
    found = with_unstarted(view, [unstarted(0), unstarted(1), unstarted(2)])
    assert [(entry.attempt, entry.state.value) for entry in found.containers] == [
        (2, "exited"), (1, "running"), (0, "exited"),
    ]  # fmt: skip
    assert with_unstarted(view, []) is view


HELD = [
    ("deadline", "Always", {"activeDeadlineSeconds": 10}, [container()], [container(state="exited")]),
    ("sidecar", "Never", {}, [container(state="exited"), container("s")],
     [container(state="exited"), container("s", "exited", 137)]),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "more", "ending", "ended"), [pytest.param(*row[1:], id=row[0]) for row in HELD])
def test_a_pod_has_not_ended_while_something_of_it_runs(
    policy: str, more: dict[str, Any], ending: list[Container], ended: list[Container]
) -> None:
    pod = make_pod(policy, startTime=timestamp(NOW - 20), phase="Running")
    pod["spec"] |= more
    if len(ending) > 1:
        pod["spec"]["initContainers"] = [{"name": "s", "image": "x:1", "restartPolicy": "Always"}]
    status = status_of(pod, *ending)
    assert (status["phase"], status.get("reason")) == ("Running", None)
    assert conditions(status)["Ready"] == "False"
    assert status_of(pod, *ended)["phase"] == ("Failed" if more else "Succeeded")


def test_a_container_initializes_until_it_runs() -> None:
    (entry,) = status_of(make_pod(init=("i",)), container("i", state="exited"))["containerStatuses"]
    assert entry["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_a_crashing_container_waits_and_remembers_its_end() -> None:
    memory = Memory(backoffs={"app": BackOff(20.0, NOW - 5)})
    status = status_of(make_pod(), container(state="exited", code=1, attempt=2, message="oops"), memory=memory)
    (entry,) = status["containerStatuses"]
    assert entry["state"]["waiting"] == {
        "reason": "CrashLoopBackOff",
        "message": "back-off 20s restarting failed container=app pod=web_default(u1)",
    }
    ended = entry["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (1, "Error", "oops")
    assert entry["restartCount"] == 2


@pytest.mark.parametrize(("policy", "code"), [("OnFailure", 0), ("Never", 143)])
def test_a_container_that_was_ended_to_run_again_has_not_ended_for_good(policy: str, code: int) -> None:
    memory = Memory(restarting=frozenset({container().id}))
    status = status_of(make_pod(policy), container(state="exited", code=code), memory=memory)
    assert (status["phase"], list(status["containerStatuses"][0]["state"])) == ("Running", ["waiting"])
    assert status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == code


def test_reasons_of_an_end() -> None:
    cases = [(0, False, "Completed"), (1, False, "Error"), (137, True, "OOMKilled"), (137, False, "Error")]
    for code, memory_ran_out, expected in cases:
        ended = container(state="exited", code=code, out_of_memory=memory_ran_out)
        (entry,) = status_of(make_pod("Never"), ended)["containerStatuses"]
        assert entry["state"]["terminated"]["reason"] == expected


def test_a_refused_pod_fails_with_the_reason() -> None:
    pod = make_pod()
    pod["metadata"]["generation"] = 3
    status = status_of(pod, memory=Memory(rejected=("OutOfcpu", "too much")))
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "OutOfcpu", "too much")
    assert status["observedGeneration"] == 3


def test_a_deadline_fails_the_pod() -> None:
    pod = make_pod(startTime=timestamp(NOW - 20))
    pod["spec"]["activeDeadlineSeconds"] = 10
    status = status_of(pod, container(state="exited", code=143))
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")


def test_what_the_runtime_lost_keeps_its_last_state() -> None:
    before = [{"name": "app", "restartCount": 1, "state": {"terminated": {"exitCode": 3}}, "containerID": "x"}]
    (entry,) = status_of(make_pod(containerStatuses=before))["containerStatuses"]
    assert entry["lastState"] == {"terminated": {"exitCode": 3}} and entry["restartCount"] == 1


def test_only_differences_are_written() -> None:
    pod = make_pod()
    fresh = status_of(pod, container())
    pod["status"] = fresh
    assert status_patch(pod, status_of(pod, container())) is None
    moved = status_of(pod, container(), memory=Memory(readings={"app0": Reading(ready=False)}, addresses=("10.0.0.9",)))
    patch = status_patch(pod, moved)
    assert patch is not None and patch["metadata"] == {"uid": "u1"}
    assert patch["status"]["podIPs"] == [{"ip": "10.0.0.9"}, {"$patch": "replace"}]
    assert {entry["type"] for entry in patch["status"]["conditions"]} == {"Ready", "ContainersReady"}


def test_transition_times_move_only_with_the_status() -> None:
    pod = make_pod()
    pod["status"] = status_of(pod, container())
    for entry in pod["status"]["conditions"]:
        entry["lastTransitionTime"] = "2020-01-01T00:00:00Z"
    again = status_of(pod, container())
    assert {entry["lastTransitionTime"] for entry in again["conditions"]} == {"2020-01-01T00:00:00Z"}


RESIZES = [
    ("being given", {"resizing": True}, [("PodResizeInProgress", None, None)]),
    ("refused by the runtime", {"resizing": True, "resize_error": "no"}, [("PodResizeInProgress", "Error", "no")]),
    ("not to be had", {"resize_problem": ("Deferred", "full")}, [("PodResizePending", "Deferred", "full")]),
    ("given", {}, []),
]


@pytest.mark.parametrize(("known", "wanted"), [pytest.param(*case[1:], id=case[0]) for case in RESIZES])
def test_how_far_a_resize_is(known: dict[str, Any], wanted: list[tuple[str, str | None, str | None]]) -> None:
    pod = make_pod()
    pod["status"] = status_of(pod, container(), memory=Memory(resizing=True))
    status = status_of(pod, container(), memory=Memory(**known))
    found = [entry for entry in status["conditions"] if entry["type"].startswith("PodResize")]
    assert [(entry["type"], entry.get("reason"), entry.get("message")) for entry in found] == wanted
    if not wanted:
        patch = status_patch(pod, status)
        assert {"type": "PodResizeInProgress", "$patch": "delete"} in (patch or {})["status"]["conditions"]


OLD, NEW = {"requests": {"cpu": "1"}}, {"requests": {"cpu": "2"}}
GRANTS = [
    ("as it is", {}, NEW, "2"),
    ("granted, but not in effect", {"unresized": frozenset({"app"})}, OLD, "2"),
    ("not granted", {"unresized": frozenset({"app"}), "resize_problem": ("Deferred", "full")}, OLD, "1"),
]


@pytest.mark.parametrize(("known", "resources", "cpu"), [pytest.param(*case[1:], id=case[0]) for case in GRANTS])
def test_which_resources_a_container_or_a_pod_as_a_whole_has(
    known: dict[str, Any], resources: dict[str, Any], cpu: str
) -> None:
    pod = make_pod()
    for holder in (pod["spec"]["containers"][0], pod["spec"]):
        holder["resources"] = OLD
        pod["status"] = status_of(pod, container())
        holder["resources"] = NEW
        status = status_of(pod, container(), memory=Memory(**known))
        entry = status if holder is pod["spec"] else status["containerStatuses"][0]
        assert (entry["resources"], entry["allocatedResources"]["cpu"]) == (resources, cpu)


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
@pytest.mark.parametrize(
    ("found", "phase"),
    [
        ([container(state="running")], "Running"),
        ([container(state="exited")], "Succeeded"),
        ([container(state="exited", code=137)], "Failed"),
        ([container(state="created")], "Failed"),
        ([], "Failed"),
    ],
)
def test_a_deleted_pod_ends_for_good_with_its_containers(policy: str, found: list[Container], phase: str) -> None:
    deleted = make_pod(policy)
    deleted["metadata"]["deletionTimestamp"] = timestamp(NOW)
    assert status_of(deleted, *found)["phase"] == phase


# Source: kubelet's TestTerminatePod_DefaultUnknownStatus. The states of init containers and of the others, before and
# after: w(aiting), r(unning), an exit status, ? for an end that nobody saw; one after a w is that of the time before.
SETTLED = [
    ("", "w1", "", "?"),
    ("", "w", "", "?"),
    ("", "2 w", "", "2 ?"),
    ("w", "w", "?", "w"),
    ("w w", "w", "? w", "w"),
    ("w w 1 w", "w", "? ? 1 w", "w"),
    ("w w 1", "w", "? ? 1", "w"),
    ("w w 0", "w", "? ? 0", "?"),
    ("w w w0", "w", "? ? ?", "?"),
    ("w", "r", "?", "?"),
    ("w", "0", "?", "0"),
    ("w", "w0", "?", "?"),
]


@pytest.mark.parametrize(("init", "regular", "init_after", "regular_after"), SETTLED)
def test_what_told_no_end_counts_as_killed(init: str, regular: str, init_after: str, regular_after: str) -> None:
    def entry(word: str) -> dict[str, Any]:
        ended = {"terminated": {"exitCode": int(word[-1])}} if word[-1].isdigit() else {}
        if word[0] in "wr":
            return {"state": {"waiting": {}} if word[0] == "w" else {"running": {}}, "lastState": ended}
        return {"state": ended}

    def word(found: dict[str, Any]) -> str:
        ended = found["state"].get("terminated")
        return (
            "w" if ended is None else "?" if ended.get("reason") == "ContainerStatusUnknown" else str(ended["exitCode"])
        )

    status = {"initContainerStatuses": [entry(word) for word in init.split()],
              "containerStatuses": [entry(word) for word in regular.split()]}  # fmt: skip
    container_status.settle(make_pod(init=tuple(init.split())), status)
    after = (" ".join(word(found) for found in entries) for entries in status.values())
    assert tuple(after) == (init_after, regular_after)


def known(name: str = "app", count: int = 0, **state: Any) -> dict[str, Any]:
    """What the API says of a container that has run."""
    return {"name": name, "restartCount": count, "containerID": f"podman://{name}-old", "state": state}


def unknown(reason: str, message: str, code: int = 137) -> dict[str, Any]:
    ended = {"exitCode": code, "reason": reason, "message": message, "startedAt": None, "finishedAt": None}
    return {"terminated": ended}


WAS_RUNNING = unknown(
    "ContainerStatusUnknown",
    "The container could not be located when the pod was deleted.  The container used to be Running",
)
REMOVED = "The container is removed because RestartAllContainers in place"
OVER = [{"type": "AllContainersRestarting", "status": "True"}]
RESTARTED = unknown("RestartingAllContainers", REMOVED)
KILLED = unknown("ContainerStatusUnknown", "The container could not be located when the pod was terminated")
# Source: kubelet's TestConvertToAPIContainerStatuses. What the API knows, the policy, conditions; then the phase, the
# state (a waiting one by its reason), the last state, and how often it has started again.
LOST: list[tuple[str, dict[str, Any], str, list[dict[str, Any]], str, Any, dict[str, Any], int]] = [
    ("it ran", known(running={}), "Always", [], "Running", "ContainerCreating", WAS_RUNNING, 1),
    ("it ran, and runs no more", known(running={}), "Never", [], "Failed", KILLED, {}, 0),
    ("it had ended", known(count=5, terminated={"exitCode": 1}), "Always", [], "Running", "ContainerCreating",
     {"terminated": {"exitCode": 1}}, 5),
    ("it had ended for good", known(terminated={"exitCode": 1}), "Never", [], "Failed",
     {"terminated": {"exitCode": 1}}, {}, 0),
    ("it waited to start again", known(count=2, waiting={}) | {"lastState": {"terminated": {"exitCode": 1}}},
     "OnFailure", [], "Running", "ContainerCreating", {"terminated": {"exitCode": 1}}, 2),
    ("it ran, and all start over", known(running={}), "Always", OVER, "Running", "RestartingAllContainers",
     RESTARTED, 1),
    ("it had ended, and all start over", known(terminated={"exitCode": 42}), "Always", OVER, "Running",
     "RestartingAllContainers", RESTARTED, 1),
    ("which is told once", {"name": "app", "restartCount": 1, "state": {"waiting": {}}, "lastState": RESTARTED},
     "Always", OVER, "Running", "ContainerCreating", RESTARTED, 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "policy", "held", "phase", "state", "last", "count"), [pytest.param(*c[1:], id=c[0]) for c in LOST]
)
def test_a_container_that_the_runtime_has_lost(
    before: dict[str, Any], policy: str, held: list[dict[str, Any]], phase: str, state: Any, last: Any, count: int
) -> None:
    pod = make_pod(policy, containerStatuses=[before], conditions=held, phase="Running")
    for _ in range(2):
        status = status_of(pod)
        (entry,) = status["containerStatuses"]
        assert (status["phase"], entry.get("lastState") or {}, entry["restartCount"]) == (phase, last, count)
        if isinstance(state, dict):
            assert entry["state"] == state
        else:
            assert entry["state"]["waiting"]["reason"] == state
        # Told again, it is the same, and the attempt that comes has the number that users expect.
        assert recorded.attempts({"status": status}, "app") == max(1, count + ("containerID" in entry))
        pod["status"] = status | {"conditions": []}
        state = "ContainerCreating" if state == "RestartingAllContainers" else state


def test_an_init_container_that_was_lost_has_done_its_part() -> None:
    message = (
        "Unable to get init container status from container runtime and pod has been initialized, "
        "treat it as exited normally"
    )
    (entry,) = status_of(make_pod(init=("i",)), container())["initContainerStatuses"]
    assert (entry["state"], entry["ready"]) == (unknown("Completed", message, 0), True)
    ended = known("i", terminated={"exitCode": 0}) | {"ready": True}
    status = status_of(make_pod(init=("i",), initContainerStatuses=[ended]), container())
    assert status["initContainerStatuses"] == [ended] and status["phase"] == "Running"
    sidecar = make_pod(init=("i",))
    sidecar["spec"]["initContainers"][0]["restartPolicy"] = "Always"
    (entry,) = status_of(sidecar, container())["initContainerStatuses"]
    assert entry["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_the_last_state_is_that_of_the_attempt_before_though_only_the_api_knows_it() -> None:
    pod = make_pod(containerStatuses=[known(count=5, terminated={"exitCode": 3})])
    (entry,) = status_of(pod, container(attempt=6))["containerStatuses"]
    assert (entry["lastState"], entry["restartCount"]) == ({"terminated": {"exitCode": 3}}, 6)


TARGETS: list[tuple[str, dict[str, Any], list[Container], dict[str, str]]] = [
    # Source: status_manager's TestMergePodStatus, preemption and eviction_manager.
    ("nothing of it runs", {}, [container(state="exited")], {"reason": "TerminationByKubelet", "message": "why"}),
    ("with words of its own", {"disruption": "so"}, [], {"reason": "TerminationByKubelet", "message": "so"}),
    ("while something runs the pod is not ended", {}, [container()], {"reason": "EvictionByEvictionAPI"}),
    ("its own doing is no disruption", {"disruption": ""}, [], {"reason": "EvictionByEvictionAPI"}),
]


@pytest.mark.parametrize(("asked", "found", "wanted"), [pytest.param(*case[1:], id=case[0]) for case in TARGETS])
def test_the_disruption_of_an_evicted_pod_is_told_with_its_end(
    asked: dict[str, Any], found: list[Container], wanted: dict[str, str]
) -> None:
    before = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    memory = Memory(evicted=Eviction("Evicted", "why", 1.0, **asked))
    status = status_of(make_pod(phase="Running", conditions=[before]), *found, memory=memory)
    (entry,) = [entry for entry in status["conditions"] if entry["type"] == "DisruptionTarget"]
    assert {key: entry.get(key) for key in wanted} == wanted
    runs = any(entry.state is State.RUNNING for entry in found)
    assert status["phase"] == ("Running" if runs else "Failed")


def test_statuses_are_in_the_order_of_names_and_share_the_room_for_messages() -> None:
    pod = make_pod(init=("z", "y"))
    pod["spec"]["containers"] = [{"name": name, "image": "x"} for name in ("c", "a", "b")]
    ended = [container(name, "exited", message="ä" * 2000) for name in ("a", "b", "c", "y", "z")]
    status = status_of(pod, *ended)
    assert [entry["name"] for entry in status["initContainerStatuses"]] == ["z", "y"]
    assert [entry["name"] for entry in status["containerStatuses"]] == ["a", "b", "c"]
    entries = status["initContainerStatuses"] + status["containerStatuses"]
    ends = [(entry.get("lastState") or entry["state"])["terminated"] for entry in entries]
    assert [len(end["message"].encode()) for end in ends] == [2456] * 5


def test_a_sidecar_that_has_run_makes_no_running_pod_pending() -> None:
    pod = make_pod(init=("s",))
    pod["spec"]["initContainers"][0]["restartPolicy"] = "Always"
    ended = [container("s", "exited", 1), container(state="exited", code=1)]
    memory = Memory(backoffs={"app": BackOff(20.0, NOW), "s": BackOff(20.0, NOW)})
    assert status_of(pod, *ended, memory=memory)["phase"] == "Running"


FAMILIES = [
    # Source: kubelet's TestGenerateAPIPodStatusPodIPs and HostNetworkPodIPs.
    (("10.0.0.1",), (), ("10.0.0.1",)),
    (("10.0.0.1", "fd01::1234"), ("192.168.1.1",), ("10.0.0.1", "fd01::1234")),
    (("fd01::1234", "10.0.0.1"), (), ("10.0.0.1", "fd01::1234")),
    (("fd01::1234", "10.0.0.1"), ("192.168.1.1",), ("10.0.0.1", "fd01::1234")),
    (("10.0.0.1", "fd01::1234"), ("fd00::5678",), ("fd01::1234", "10.0.0.1")),
    (("10.0.0.1",), ("fd00::5678",), ("10.0.0.1",)),
    (("fd01::1234",), (), ("fd01::1234",)),
    (("10.0.0.1", "10.0.0.2", "fd01::1234", "10.0.0.3", "fd01::5678"), (), ("10.0.0.1", "fd01::1234")),
    ((), ("192.168.1.1",), ()),
]


@pytest.mark.parametrize(("addresses", "preferred", "wanted"), FAMILIES)
def test_a_pod_has_one_address_of_each_family(
    addresses: tuple[str, ...], preferred: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    assert one_of_each(addresses, preferred) == wanted
