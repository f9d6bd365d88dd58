"""What probes ask of a container, what their answers amount to, and what holds before the first of them."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from agents.kubelet.pods.performer import Recorder
from agents.kubelet.pods.view import PodView
from agents.kubelet.probes.actions import Actions
from agents.kubelet.probes.prober import Prober
from agents.kubelet.probes.target import Answer, Target
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


class Asking(SystemRuntime):
    """Asks each probe at once, again and again until there are no answers left."""

    def __init__(self, answers: list[Answer]) -> None:
        super().__init__()
        self.answers = answers
        self.left: list[Answer] = []
        self.asked: list[Object] = []
        self.told: list[str] = []

    def spawn(self, name: str, function: Any, *arguments: Any) -> Task:
        self.left = list(self.answers)
        function(*arguments)
        return cast(Task, None)

    def event(self) -> Any:
        runtime = self

        class Over(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                return not runtime.left

        return Over()

    def perform(self, handler: Object, target: Target, timeout: float) -> Answer:
        self.asked.append(handler)
        return self.left.pop(0)

    def record(self, obj: Object, kind: str, reason: str, message: str, field_path: str = "") -> None:
        self.told.append(message)


def asked(answers: list[Answer], stopping: int = 99, **probes: Object) -> tuple[Asking, Prober, Object]:
    """A prober that has put every question; after so many of them the container is being ended."""
    clock = Asking(answers)
    prober = Prober(
        clock, cast(Actions, clock), clock, lambda pod: "10.0.0.1", lambda uid: None,
        lambda container_id: len(clock.asked) >= stopping,
    )  # fmt: skip
    shown: Object = {"metadata": {"name": "web", "namespace": "default", "uid": "u0"}}
    shown |= {"spec": {"containers": [{"name": "app", "env": VARIABLES, **probes}]}}
    prober.readings(shown, PodView(None, (), (CONTAINER,)))
    return clock, prober, shown


VARIABLES = [
    {"name": "DIRECTORY", "value": "/run"},
    {"name": "UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
]
GOOD, BAD, LOST = Answer(True), Answer(False, "no"), Answer(False, "away", unknown=True)
ANSWERS = [
    ("good", [GOOD], (True, True), ""),
    ("bad, but not yet often enough", [GOOD, BAD, BAD], (True, True), "Readiness probe failed: no"),
    ("bad often enough", [GOOD, BAD, BAD, BAD], (False, False), "Liveness probe failed: no"),
    ("a good one between", [GOOD, BAD, BAD, GOOD, BAD], (True, True), "Liveness probe failed: no"),
    ("never put", [GOOD, *[LOST] * 9], (True, True), "Liveness probe errored and resulted in unknown state: away"),
    ("never put from the first on", [LOST] * 9, (False, True), "Readiness probe errored and resulted in unknown state"),
    ("not put between bad ones", [GOOD, BAD, BAD, LOST, BAD], (False, False), "Liveness probe failed: no"),
    ("warned of", [Answer(True, "elsewhere", warning=True)], (True, True), "Readiness probe warning: elsewhere"),
]


@pytest.mark.parametrize(("answers", "wanted", "told"), [pytest.param(*row[1:], id=row[0]) for row in ANSWERS])
def test_what_answers_amount_to(answers: list[Answer], wanted: tuple[bool, bool], told: str) -> None:
    clock, prober, shown = asked(answers, livenessProbe=PROBE, readinessProbe=PROBE)
    reading = prober.readings(shown, PodView(None, (), (CONTAINER,)))["c0"]
    assert (reading.ready, reading.live) == wanted
    assert any(message.startswith(told) for message in clock.told) if told else not clock.told


@pytest.mark.parametrize(("kind", "asked_more"), [("livenessProbe", 0), ("startupProbe", 0), ("readinessProbe", 2)])
def test_a_container_that_is_ended_for_its_probe_is_not_asked_again(kind: str, asked_more: int) -> None:
    clock, _, _ = asked([BAD] * 5, **{kind: PROBE})
    assert len(clock.asked) == 3 + asked_more


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("kind", ["livenessProbe", "startupProbe", "readinessProbe"])
def test_a_container_that_is_being_ended_is_only_asked_whether_it_is_ready(kind: str, before: int) -> None:
    clock, _, _ = asked([BAD] * 2, stopping=before, **{kind: PROBE})
    ready = kind == "readinessProbe"
    # What it answered to a question that was under way does not count, either.
    assert (len(clock.asked), len(clock.told)) == ((2, 2) if ready else (before, 0))


def test_the_command_of_a_probe_knows_the_containers_literal_variables() -> None:
    words = ["$(DIRECTORY)/up", "$(UID)", "$(NONE)", "$$(DIRECTORY)"]
    clock, _, _ = asked([GOOD], readinessProbe={"exec": {"command": words}}, livenessProbe=PROBE)
    (command,) = [handler["exec"]["command"] for handler in clock.asked if "exec" in handler]
    assert command == ["/run/up", "", "$(NONE)", "$(DIRECTORY)"]
    assert PROBE in clock.asked
