"""The columns of pods: one word that sums up the phase, the containers and what hinders them.

Invariant: the word for the status depends on the object alone.
Source: `kubectl get pods` of the original; "Pod phase" and "Container states" in the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api import objects
from api.objects import Object
from control.apiserver.printing.columns import AGE, NAME, NONE, Cells, Column, Printer, age, core, labels_text, since
from control.apiserver.printing.columns import containers_and_images as _names_and_images

_FINISHED = ("Succeeded", "Failed")


@dataclass
class _Summary:
    """What is gathered while looking at the containers."""

    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""
    initializing: bool = False

    def count(self, status: Object) -> None:
        self.restarts += int(status.get("restartCount") or 0)
        terminated = (status.get("lastState") or {}).get("terminated") or {}
        self.last_restart = max(self.last_restart, str(terminated.get("finishedAt") or ""))


def status_word(pod: Object) -> str:
    """What the Status column says: `Running`, `Init:0/1`, `CrashLoopBackOff`, `Terminating`, …"""
    return _summarize(pod).reason


def _summarize(pod: Object) -> _Summary:
    status = pod.get("status") or {}
    summary = _Summary(str(status.get("reason") or status.get("phase") or ""))
    scheduled = objects.condition(pod, "PodScheduled") or {}
    if scheduled.get("reason") == "SchedulingGated":
        summary.reason = "SchedulingGated"
    sidecars = _look_at_init_containers(pod, status, summary)
    if not summary.initializing or objects.is_true(pod, "Initialized"):
        summary.restarts, summary.last_restart = sidecars.restarts, sidecars.last_restart
        _look_at_containers(pod, status, summary)
    if objects.is_deleting(pod):
        if status.get("reason") == "NodeLost":
            summary.reason = "Unknown"
        elif status.get("phase") not in _FINISHED:
            summary.reason = "Terminating"
    return summary


def _look_at_init_containers(pod: Object, status: Object, summary: _Summary) -> _Summary:
    """Stop at the first one that is not done; returns the restarts of sidecars."""
    specs = pod.get("spec", {}).get("initContainers") or []
    restartable = {spec.get("name") for spec in specs if spec.get("restartPolicy") == "Always"}
    sidecars = _Summary("")
    for index, container in enumerate(status.get("initContainerStatuses") or []):
        summary.count(container)
        is_sidecar = container.get("name") in restartable
        if is_sidecar:
            sidecars.count(container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if is_sidecar and container.get("started"):
            summary.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            summary.reason = "Init:" + _end(terminated)
        elif waiting.get("reason") not in (None, "", "PodInitializing"):
            summary.reason = f"Init:{waiting['reason']}"
        else:
            summary.reason = f"Init:{index}/{len(specs)}"
        summary.initializing = True
        break
    return sidecars


def _end(terminated: Object) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _look_at_containers(pod: Object, status: Object, summary: _Summary) -> None:
    running = False
    for container in reversed(status.get("containerStatuses") or []):
        summary.count(container)
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        if waiting.get("reason"):
            summary.reason = str(waiting["reason"])
        elif state.get("terminated") is not None:
            summary.reason = _end(state["terminated"])
        elif container.get("ready") and state.get("running") is not None:
            running = True
            summary.ready += 1
    if summary.reason == "Completed" and running:
        summary.reason = "Running" if objects.is_true(pod, "Ready") else "NotReady"


def _row(pod: Object, now: float) -> Cells:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    summary = _summarize(pod)
    inits = spec.get("initContainers") or []
    total = len(spec.get("containers") or []) + sum(init.get("restartPolicy") == "Always" for init in inits)
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart:
        restarts += f" ({since(summary.last_restart, now)} ago)"
    addresses: list[Any] = status.get("podIPs") or [{"ip": status.get("podIP")}]
    return [
        objects.name_of(pod),
        f"{summary.ready}/{total}",
        summary.reason,
        restarts,
        age(pod, now),
        addresses[0].get("ip") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(pod),
    ]


def _gates(pod: Object) -> str:
    gates = pod.get("spec", {}).get("readinessGates") or []
    met = sum(objects.is_true(pod, gate.get("conditionType", "")) for gate in gates)
    return f"{met}/{len(gates)}" if gates else NONE


def row_conditions(pod: Object) -> list[Object]:
    """What a table row says of a pod that has ended, so that clients can dim it."""
    phase = (pod.get("status") or {}).get("phase")
    if phase == "Succeeded":
        return [_completed("Succeeded", "The pod has completed successfully.")]
    return [_completed("Failed", "The pod failed.")] if phase == "Failed" else []


def _completed(reason: str, message: str) -> Object:
    return {"type": "Completed", "status": "True", "reason": reason, "message": message}


def _template_row(template: Object, now: float) -> Cells:
    inner = template.get("template") or {}
    names, images = _names_and_images(inner)
    return [objects.name_of(template), names, images, labels_text((inner.get("metadata") or {}).get("labels"))]


PRINTERS = {
    "Pod": Printer(
        (
            NAME,
            Column("Ready", "string", "The aggregate readiness state of this pod for accepting traffic."),
            Column("Status", "string", "The aggregate status of the containers in this pod."),
            Column(
                "Restarts", "string", "The number of times the containers in this pod have been restarted and when"
                " the last container in this pod has restarted.",
            ),
            AGE,
            Column("IP", "string", core("PodStatus", "podIP"), priority=1),
            Column("Node", "string", core("PodSpec", "nodeName"), priority=1),
            Column("Nominated Node", "string", core("PodStatus", "nominatedNodeName"), priority=1),
            Column("Readiness Gates", "string", core("PodSpec", "readinessGates"), priority=1),
        ),
        _row,
    ),
    "PodTemplate": Printer(
        (
            NAME,
            Column("Containers", "string", "Names of each container in the template."),
            Column("Images", "string", "Images referenced by each container in the template."),
            Column("Pod Labels", "string", "The labels for the pod template."),
        ),
        _template_row,
    ),
}  # fmt: skip
