"""What is taken for granted of a container before its first probe has answered."""

from __future__ import annotations

from typing import Any, cast

import pytest

from agents.kubelet.pods.performer import Recorder
from agents.kubelet.pods.view import PodView
from agents.kubelet.probes.actions import Actions
from agents.kubelet.probes.prober import Prober
from agents.kubelet.runtime.interface import Container, PodIdentity, State
from api.objects import Object
from api.runtime import SystemRuntime, Task

pytestmark = pytest.mark.unit

PROBE = {"tcpSocket": {"port": 80}}
CONTAINER = Container("c0", PodIdentity("u0", "web", "default"), "app", 0, "s0", State.RUNNING, "x:1", "sha256:x")


class Unanswered(SystemRuntime):
    """Starts nothing: no probe is ever asked."""

    def spawn(self, name: str, function: Any, *arguments: Any) -> Task:
        return cast(Task, None)


def pod(container_id: str, **told: bool) -> Object:
    probes = {"startupProbe": PROBE, "livenessProbe": PROBE, "readinessProbe": PROBE}
    status = {"containerStatuses": [{"name": "app", "containerID": f"podman://{container_id}", **told}]}
    metadata = {"name": "web", "namespace": "default", "uid": "u0"}
    return {"metadata": metadata, "spec": {"containers": [{"name": "app", **probes}]}, "status": status}


@pytest.mark.parametrize(
    ("shown", "started", "ready"),
    [
        pytest.param(pod("c0", started=True, ready=True), True, True, id="a container that served goes on serving"),
        pytest.param(pod("c0", started=True, ready=False), True, False, id="one that had started need not again"),
        pytest.param(pod("old", started=True, ready=True), False, False, id="the one before says nothing of it"),
        pytest.param({**pod("c0"), "status": {}}, False, False, id="a container that nobody knows yet"),
    ],
)
def test_a_kubelet_that_starts_again_believes_the_status_of(shown: Object, started: bool, ready: bool) -> None:
    recorder = cast(Recorder, None)
    prober = Prober(Unanswered(), cast(Actions, None), recorder, lambda pod: "10.0.0.1", lambda uid: None)
    reading = prober.readings(shown, PodView(None, (), (CONTAINER,)))["c0"]
    assert (reading.started, reading.ready, reading.live) == (started, ready, True)
