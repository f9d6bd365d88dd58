"""What a pod as a whole asks for: one row a rule."""

from __future__ import annotations

from typing import Any

import pytest

from api.pod_resources import limits_of, requests_of, taken_by

pytestmark = pytest.mark.unit


def step(requests: str = "", limits: str = "", *, sidecar: bool = False) -> dict[str, Any]:
    """A container that asks for cpu."""
    asked = {kind: {"cpu": text} for kind, text in (("requests", requests), ("limits", limits)) if text}
    return {"resources": asked} | ({"restartPolicy": "Always"} if sidecar else {})


# name: (containers, init containers, the rest of the spec, requests of cpu, limits of cpu)
CASES: dict[str, tuple[list[Any], list[Any], dict[str, Any], str, str]] = {
    "nothing": ([step()], [], {}, "", ""),
    "containers add up": ([step("1", "2"), step("500m")], [], {}, "1500m", "2"),
    "a limit is a request": ([step(limits="2")], [], {}, "2", "2"),
    "an init step only raises": ([step("1")], [step("3", "4"), step("2")], {}, "3", "4"),
    "a smaller init step changes nothing": ([step("1", "1")], [step("500m", "500m")], {}, "1", "1"),
    "sidecars run beside the containers": ([step("1")], [step("1", sidecar=True)], {}, "2", ""),
    "and beside the init steps after them": (
        [step("1")], [step("1", sidecar=True), step("4"), step("1", sidecar=True)], {}, "5", "",
    ),
    "not beside those before them": ([step("1")], [step("4"), step("1", sidecar=True)], {}, "4", ""),
    "the pod's own level stands above": ([step("1", "1")], [], {"resources": {"requests": {"cpu": "3"}}}, "3", "1"),
    "the overhead comes on top, to limits that there are": (
        [step("1", "2")], [], {"overhead": {"cpu": "100m"}}, "1100m", "2100m",
    ),
    "and to requests in any case": ([step()], [], {"overhead": {"cpu": "100m"}}, "100m", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_pod_asks_for(case: str) -> None:
    containers, inits, rest, requests, limits = CASES[case]
    spec = {"containers": containers, "initContainers": inits} | rest
    assert {name: str(amount) for name, amount in requests_of(spec).items()} == ({"cpu": requests} if requests else {})
    assert {name: str(amount) for name, amount in limits_of(spec).items()} == ({"cpu": limits} if limits else {})


def resized(asked: str, has: str, reason: str = "") -> dict[str, Any]:
    """A pod of one container that has so much cpu and asks for so much now."""
    conditions = [{"type": "PodResizePending", "status": "True", "reason": reason}] if reason else []
    statuses = [{"name": "c", "resources": {"requests": {"cpu": has}}}] if has else []
    spec = {"containers": [{"name": "c"} | step(asked)], "overhead": {"cpu": "100m"}}
    return {"spec": spec, "status": {"containerStatuses": statuses, "conditions": conditions}}


def resized_whole(asked: str, has: str, reason: str = "") -> dict[str, Any]:
    """The same of a pod that has and asks for it as a whole."""
    found = resized("500m", "500m", reason)
    found["spec"]["resources"] = {"requests": {"cpu": asked}}
    found["status"]["allocatedResources"] = {"cpu": has}
    return found


@pytest.mark.parametrize(
    ("pod", "taken"),
    [
        pytest.param(resized("1", ""), "1100m", id="nothing is known"),
        pytest.param(resized("1", "1"), "1100m", id="it has what it asks for"),
        pytest.param(resized("2", "1"), "2100m", id="it grows"),
        pytest.param(resized("1", "2"), "2100m", id="it shrinks"),
        pytest.param(resized("9", "1", "Deferred"), "9100m", id="it may grow later"),
        pytest.param(resized("9", "1", "Infeasible"), "1100m", id="it can never grow so much"),
        pytest.param(resized_whole("2", "1"), "2100m", id="it grows as a whole"),
        pytest.param(resized_whole("1", "2"), "2100m", id="it shrinks as a whole"),
        pytest.param(resized_whole("9", "1", "Infeasible"), "1100m", id="it can never grow so much as a whole"),
    ],
)
def test_a_pod_on_its_node_takes(pod: dict[str, Any], taken: str) -> None:
    assert {name: str(amount) for name, amount in taken_by(pod).items()} == {"cpu": taken}
