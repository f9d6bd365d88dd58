"""How a container ends: its hook, its signal, its patience, and what those bring forward who ask again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from simulation.virtual_runtime import VirtualRuntime

from agents.kubelet.pods.stopper import Stopper
from agents.kubelet.runtime.interface import Container, PodIdentity, State

pytestmark = pytest.mark.unit

# The signal that the image names.
OWN = ""
POD = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [{"name": "c"}]}}
CONTAINER = Container("1", PodIdentity("p", "n", "u"), "c", 0, "s", State.RUNNING, "i", "sha256:i")


class Deaf:
    """A runtime whose container hears nothing but SIGKILL; notes what it was sent, and when."""

    def __init__(self, clock: VirtualRuntime) -> None:
        self.clock, self.sent, self.state = clock, list[tuple[float, str]](), State.RUNNING

    def signal_container(self, container_id: str, signal: str) -> None:
        self.sent.append((round(self.clock.now, 1), signal))
        if signal == "SIGKILL":
            self.state = State.EXITED

    def inspect(self, container_id: str) -> Container:
        return replace(CONTAINER, state=self.state)


@pytest.mark.parametrize(
    ("hook", "grace", "asked", "sent"),
    [
        (0, 30, (), [(0.0, OWN), (30.0, "SIGKILL")]),
        (5, 30, (), [(5.0, OWN), (30.0, "SIGKILL")]),
        (10, 10, (), [(10.0, OWN), (12.0, "SIGKILL")]),
        (0, 30, ((5, 3),), [(0.0, OWN), (8.0, "SIGKILL")]),
        (0, 30, ((5, 60),), [(0.0, OWN), (30.0, "SIGKILL")]),
        # After its hook a container has its two seconds, though the pod's time is over.
        (10, 10, ((10.5, 0), (11, 0)), [(10.0, OWN), (12.0, "SIGKILL")]),
        # As it has without one.
        (0, 0, (), [(0.0, OWN), (2.0, "SIGKILL")]),
        (0, 1, (), [(0.0, OWN), (2.0, "SIGKILL")]),
    ],
)
def test_a_container_is_killed_at_the_last_deadline(
    hook: float, grace: float, asked: tuple[tuple[float, float], ...], sent: list[Any]
) -> None:
    clock = VirtualRuntime()
    runtime: Any = Deaf(clock)
    ended: list[str] = []
    stopper = Stopper(clock, runtime, lambda pod, container, seconds: clock.sleep(hook), ended.append)

    def ask() -> None:
        assert stopper.stop(POD, CONTAINER, grace)
        for when, less in asked:
            clock.sleep(when - clock.now)
            assert not stopper.stop(POD, CONTAINER, less)

    clock.spawn("ask", ask)
    clock.run()
    assert [(round(when), signal) for when, signal in runtime.sent] == [(round(when), signal) for when, signal in sent]
    assert ended == ["u"]


@pytest.mark.parametrize(
    ("hook", "grace", "turn", "sent"),
    [
        (0, 30, 7, [(7, OWN), (30, "SIGKILL")]),
        (5, 30, 2, [(5, OWN), (30, "SIGKILL")]),
        # Source: e2e_node's "should terminate sidecars simultaneously if prestop doesn't exit".
        (0, 5, 20, [(5, OWN), (7, "SIGKILL")]),
    ],
)
def test_a_sidecar_has_its_hook_at_once_and_its_signal_in_its_turn(
    hook: float, grace: float, turn: float, sent: list[Any]
) -> None:
    clock = VirtualRuntime()
    runtime: Any = Deaf(clock)
    hooks: list[float] = []

    def run(pod: Any, container: Container, seconds: float) -> None:
        hooks.append(clock.now)
        clock.sleep(hook)

    stopper = Stopper(clock, runtime, run, lambda uid: None)

    def ask() -> None:
        assert stopper.stop(POD, CONTAINER, grace, turn=False)
        clock.sleep(turn)
        if stopper.is_stopping(CONTAINER.id):
            assert not stopper.stop(POD, CONTAINER, grace - turn)

    clock.spawn("ask", ask)
    clock.run()
    assert hooks == [0]
    assert [(round(when), signal) for when, signal in runtime.sent] == sent


def test_a_sidecar_that_ended_before_its_turn_is_sent_nothing() -> None:
    clock = VirtualRuntime()
    runtime: Any = Deaf(clock)
    stopper = Stopper(clock, runtime, lambda pod, container, seconds: None, lambda uid: None)

    def ask() -> None:
        stopper.stop(POD, CONTAINER, 30, turn=False)
        clock.sleep(3)
        runtime.state = State.EXITED

    clock.spawn("ask", ask)
    clock.run()
    assert runtime.sent == [] and clock.now < 5
