"""What a running pod may get other resources for: one row a rule."""

from __future__ import annotations

from typing import Any

import pytest
from test_validation import CONTAINER, made, sentences

from api.objects import Object, copy

pytestmark = pytest.mark.unit

MIRROR = "kubernetes.io/config.mirror"
USUAL = {"requests": {"cpu": "20m", "memory": "20Mi"}, "limits": {"cpu": "30m", "memory": "30Mi"}}
ALIKE = {"requests": {"cpu": "20m", "memory": "20Mi"}, "limits": {"cpu": "20m", "memory": "20Mi"}}
ASKED = {"requests": {"cpu": "20m"}}
OTHER_CLASS = "Pod QOS Class may not change as a result of resizing"


def pod(*resources: dict[str, Any], **spec: Any) -> Object:
    containers = [CONTAINER | {"name": f"c{index}", "resources": one} for index, one in enumerate(resources)]
    return made("v1/Pod", lambda one: one["spec"].update({"containers": copy(containers)} | copy(spec)))


def step(resources: dict[str, Any], **more: Any) -> list[Object]:
    return [CONTAINER | {"name": "first", "resources": resources} | more]


ROWS: list[tuple[Object, Object, list[str]]] = [
    (pod(USUAL), pod({"requests": {"cpu": "10m", "memory": "30Mi"}, "limits": {"cpu": "1", "memory": "40Mi"}}), []),
    (pod(ASKED, {}), pod(ASKED | {"limits": {"cpu": "40m"}}, {"requests": {"memory": "5Mi"}}), []),
    (pod({}), pod(ASKED), [f'spec: Invalid value: "BestEffort": {OTHER_CLASS}']),
    (pod(ALIKE), pod({**ALIKE, "requests": {"cpu": "10m", "memory": "20Mi"}}),
     [f'spec: Invalid value: "Guaranteed": {OTHER_CLASS}']),
    (pod(USUAL), pod(ALIKE), [f'spec: Invalid value: "Burstable": {OTHER_CLASS}']),
    (pod(ASKED, ASKED), pod(ASKED, {}),
     ["spec.containers[1].resources.requests: Forbidden: resource requests cannot be removed"]),
    (pod(USUAL), pod({**USUAL, "limits": {"cpu": "30m"}}),
     ["spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"]),
    (pod(ASKED, initContainers=step(ASKED, restartPolicy="Always")),
     pod(ASKED, initContainers=step({"requests": {"cpu": "5m"}}, restartPolicy="Always")), []),
    (pod({}, resources=USUAL), pod({}, resources={**USUAL, "limits": {"cpu": "40m", "memory": "50Mi"}}), []),
    (pod(ASKED), pod(ASKED, resources=ASKED), []),
    (pod(USUAL, resources={}), pod({**USUAL, "limits": {"cpu": "40m", "memory": "30Mi"}}, resources={}), []),
    (pod({}, resources={**ASKED, "limits": {}}), pod({}, resources={"requests": {"cpu": "9m"}}), []),
    (pod({}, resources={"requests": USUAL["requests"]}), pod({}, resources=ASKED),
     ["spec.resources.requests: Forbidden: resource requests cannot be removed"]),
    (pod({}, resources=USUAL), pod({}, resources=ALIKE), [f'spec: Invalid value: "Burstable": {OTHER_CLASS}']),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "wanted"), ROWS)
def test_a_resize_is_judged(old: Object, new: Object, wanted: list[str]) -> None:
    assert sentences(new, old, "resize") == wanted


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (pod(ASKED), pod(ASKED | {"limits": {"ephemeral-storage": "1Gi"}})),
        (pod(ASKED, initContainers=step(ASKED)), pod(ASKED, initContainers=step({"requests": {"cpu": "5m"}}))),
        (pod(ASKED), pod(ASKED, hostname="other")),
        (pod(ASKED, resources=ASKED), pod(ASKED, resources=ASKED | {"limits": {"hugepages-2Mi": "2Mi"}})),
    ],
)
def test_nothing_but_cpu_and_memory_is_resized(old: Object, new: Object) -> None:
    (said,) = sentences(new, old, "resize")
    assert said.startswith("spec: Forbidden: only cpu and memory resources are mutable\n")


def test_what_cannot_be_resized_at_all() -> None:
    static, windows = pod(ASKED, nodeName="n"), pod(ASKED, os={"name": "windows"})
    static["metadata"]["annotations"] = {MIRROR: "x"}
    for old, wanted in ((static, "static pods cannot be resized"), (windows, "windows pods cannot be resized")):
        new = copy(old)
        new["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "40m"}}
        assert sentences(new, old, "resize") == [f": Forbidden: {wanted}"]
