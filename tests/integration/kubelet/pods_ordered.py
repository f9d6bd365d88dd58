"""In which order the containers of a pod start and end, and when they start again: cases of the original's tests."""

from __future__ import annotations

from typing import Any

from pod_case import RUN, Case, container, once, phase, pod, restarted, shell, terminated

from api.objects import Object, condition, is_true
from api.runtime import parse_timestamp

MOUNT = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
VOLUMES = {"volumes": [{"name": "d", "emptyDir": {}}]}
SAYS = "echo {0} >> /d/log; trap 'echo end {0} >> /d/log; cat /d/log > /dev/termination-log; exit 0' TERM; "
WAITS = "while true; do sleep 0.1; done"


def named(name: str, script: str, **more: Any) -> Object:
    """A container that shares /d with the pod's others."""
    return {**shell(script, **MOUNT, **more), "name": name}


def sidecar(name: str, script: str = SAYS + WAITS, **more: Any) -> Object:
    return named(name, script.replace("{0}", name), restartPolicy="Always", **more)


def hooked(name: str) -> Object:
    """A sidecar whose hook ends once that of another one has begun, too."""
    both = "echo hook >> /d/log; while test $(grep -c hook /d/log) -lt 2; do sleep 0.1; done"
    return sidecar(name, lifecycle={"preStop": exec_(both)})


def exec_(text: str) -> Object:
    return {"exec": {"command": ["sh", "-c", text]}}


def not_initialized(found: Object, *names: str) -> bool:
    """Whether the pod says that these init containers are not done."""
    said = condition(found, "Initialized") or {}
    message = f"containers with incomplete status: [{' '.join(names)}]"
    return (said.get("status"), said.get("reason"), said.get("message")) == (
        "False",
        "ContainersNotInitialized",
        message,
    )


def state(found: Object, name: str) -> Object:
    status = found.get("status") or {}
    kinds = ("initContainerStatuses", "containerStatuses")
    entries = [entry for kind in kinds for entry in status.get(kind) or [] if entry["name"] == name]
    return dict(entries[0]) if entries else {}


def said(name: str, *lines: str) -> Any:
    """What a container has left as its last message."""

    def check(found: Object) -> bool:
        ended = (state(found, name).get("state") or {}).get("terminated") or {}
        return ended.get("message", "").split("\n")[:-1] == list(lines)

    return check


def started_before(found: Object, first: str, second: str) -> bool:
    times = [(state(found, name).get("state") or {}).get("running") for name in (first, second)]
    return all(times) and parse_timestamp(times[0]["startedAt"]) < parse_timestamp(times[1]["startedAt"])


ORDER = [
    Case(
        "variables-that-an-init-container-has-written",
        once(
            "echo $SAID",
            env=[{"name": "SAID", "valueFrom": {"fileKeyRef": {"volumeName": "d", "path": "env", "key": "SAID"}}}],
            **VOLUMES,
            initContainers=[named("first", "echo \"SAID='by first'\" > /d/env")],
        ),
        phase("Succeeded"),
        log="by first\n",
    ),
    Case(
        "next-init-container-waits-for-a-sidecars-startup",
        once(
            "cat /d/log",
            **MOUNT,
            **VOLUMES,
            initContainers=[
                named("first", "echo first >> /d/log"),
                sidecar(
                    "side",
                    "sleep 2; touch /tmp/up; " + SAYS + WAITS,
                    startupProbe={**exec_("cat /tmp/up"), "periodSeconds": 1, "failureThreshold": 30},
                ),
                named("last", "echo last >> /d/log"),
            ],
        ),
        phase("Succeeded"),
        log="first\nside\nlast\n",
    ),
    Case(
        "next-init-container-waits-for-a-sidecars-hook",
        once(
            "cat /d/log",
            **MOUNT,
            **VOLUMES,
            initContainers=[
                sidecar("side", lifecycle={"postStart": exec_("sleep 1; echo hook >> /d/log")}),
                named("last", "echo last >> /d/log"),
            ],
        ),
        phase("Succeeded"),
        log="side\nhook\nlast\n",
    ),
    Case(
        "next-container-waits-for-the-hook-of-the-one-before",
        pod(
            named("one", RUN, lifecycle={"postStart": exec_("sleep 2; touch /d/hooked")}),
            named("app", f"test -f /d/hooked && echo after; {RUN}"),
            **VOLUMES,
        ),
        lambda p: is_true(p, "Ready") and started_before(p, "one", "app"),
        log="",
    ),
    Case(
        "sidecars-end-after-the-pods-work-and-in-reverse",
        once(
            "sleep 1; echo work >> /d/log",
            **MOUNT,
            **VOLUMES,
            initContainers=[hooked("one"), hooked("two")],
            terminationGracePeriodSeconds=60,
        ),
        lambda p: phase("Succeeded")(p) and said("one", "one", "two", "work", "hook", "hook", "end two", "end one")(p),
    ),
    Case(
        "sidecar-starts-again-beside-the-pods-work",
        once(
            "while ! test -f /d/again; do sleep 0.1; done",
            **MOUNT,
            **VOLUMES,
            initContainers=[sidecar("side", "test -f /d/first && touch /d/again; touch /d/first; sleep 1; exit 3")],
        ),
        lambda p: phase("Succeeded")(p) and state(p, "side")["restartCount"] >= 1,
    ),
    Case(
        "no-container-starts-while-an-init-container-fails",
        pod(initContainers=[named("one", "exit 1"), named("two", "true")], **VOLUMES),
        lambda p: (
            state(p, "one")["restartCount"] >= 1
            and phase("Pending")(p)
            and not_initialized(p, "one", "two")
            and state(p, "two")["state"]["waiting"]["reason"] == "PodInitializing"
            and container(p)["state"]["waiting"]["reason"] == "PodInitializing"
        ),
    ),
    Case(
        "pod-fails-with-its-init-container",
        once("true", initContainers=[named("one", "true"), named("two", "exit 1")], **VOLUMES),
        lambda p: (
            phase("Failed")(p)
            and not_initialized(p, "two")
            and state(p, "one")["ready"]
            and "waiting" in container(p)["state"]
        ),
    ),
]

ON = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
AGAIN = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
UNTIL_UP = "test -f /d/done || while ! test -f /d/up; do sleep 0.1; done"
ONCE = "test -f /d/done || { touch /d/done; exit 42; }; "
SOURCE = {"restartPolicy": "Never", "restartPolicyRules": ON}


def counts(**wanted: int) -> Any:
    """How often each container has started again, with the pod Running as a whole."""

    def check(found: Object) -> bool:
        seen = {name: state(found, name).get("restartCount") for name in wanted}
        return phase("Running")(found) and seen == wanted and is_true(found, "Ready")

    return check


def own(policy: str, code: int, **more: Any) -> Object:
    return shell(f"exit {code}", restartPolicy=policy, **more)


AGAIN_AND_AGAIN = [
    Case(
        "starts-over-after-a-container",
        pod(
            named("source", ONCE + RUN, **SOURCE),
            named("app", RUN),
            initContainers=[named("init", "true"), sidecar("side")],
            restartPolicy="Never",
            **VOLUMES,
        ),
        counts(init=1, side=1, source=1, app=1),
    ),
    Case(
        "starts-over-after-a-sidecar",
        pod(
            named("app", f"touch /d/up; {RUN}"),
            initContainers=[
                named("init", "true"),
                sidecar("side"),
                sidecar("source", f"{UNTIL_UP}; {ONCE}{RUN}", restartPolicyRules=ON),
            ],
            restartPolicy="Never",
            **VOLUMES,
        ),
        counts(init=1, side=1, source=1, app=1),
    ),
    Case(
        "starts-over-after-an-init-container",
        pod(
            named("app", RUN),
            initContainers=[sidecar("side"), named("init", "true"), named("source", ONCE, **SOURCE)],
            restartPolicy="Never",
            **VOLUMES,
        ),
        counts(side=1, init=1, source=1, app=0),
    ),
    Case(
        "starts-over-after-a-container-that-started-again-before",
        pod(
            named(
                "source",
                "test -f /d/2 && sleep 1000; test -f /d/1 && touch /d/2 && exit 42; touch /d/1; exit 1",
                restartPolicy="Always",
                restartPolicyRules=ON,
            ),
            named("app", RUN),
            **VOLUMES,
        ),
        counts(source=2, app=1),
    ),
    Case(
        "starts-again-by-its-own-rule",
        pod(own("Never", 42, restartPolicyRules=AGAIN), restartPolicy="Never"),
        restarted,
    ),
    Case(
        "does-not-start-again-as-no-rule-holds",
        pod(own("Never", 1, restartPolicyRules=AGAIN), restartPolicy="Never"),
        lambda p: phase("Failed")(p) and terminated(1, "Error")(p) and not restarted(p),
    ),
    Case("starts-again-by-its-own-policy", pod(own("Always", 1), restartPolicy="Never"), restarted),
    Case(
        "does-not-start-again-by-its-own-policy",
        pod(own("Never", 1), restartPolicy="Always"),
        lambda p: terminated(1, "Error")(p) and not restarted(p),
    ),
]

ORDERED = ORDER + AGAIN_AND_AGAIN
