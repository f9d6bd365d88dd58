"""A seed is a run: the same timeline each time, in any process, alone or in a crowd."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from simulation.faults import Fault
from simulation.play import plan_of, play, shrink
from simulation.running import TESTS, simulate
from simulation.scenarios import SCENARIOS, Scenario
from simulation.world import World

pytestmark = pytest.mark.simulation


@pytest.mark.parametrize(
    ("scenario", "seed"),
    [("rolling-while-leaders-change", 7), ("namespaces", 3), ("nodes-come-and-go", 11), ("counting", 5)],
)
def test_the_same_seed_is_the_same_run_in_another_process(scenario: str, seed: int) -> None:
    first, second = (simulate(scenario, "--seed", str(seed)) for _ in range(2))
    assert "digest" in first.stdout, first.stdout + first.stderr
    assert first.stdout == second.stdout


def test_another_seed_is_another_run() -> None:
    outcomes = {play(SCENARIOS["calm"], seed).digest for seed in range(2)}
    assert len(outcomes) == 2


def test_a_seed_is_the_same_run_after_others_in_one_process() -> None:
    """Strings hash otherwise in each process unless that is switched off, so the process is one of our own."""
    script = (
        "from simulation.play import play\n"
        "from simulation.scenarios import SCENARIOS\n"
        "before = play(SCENARIOS['ordinals'], 3)\n"
        "play(SCENARIOS['jobs'], 1)\n"
        "after = play(SCENARIOS['ordinals'], 3)\n"
        "assert before.timeline == after.timeline\n"
        "assert before.digest == after.digest\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONHASHSEED": "0"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def _impatient(world: World) -> None:
    """Breaks if, and only if, the API server is away for more than three seconds."""
    world.run(10)
    times = [float(line.split()[0]) for line in world.timeline if "crash apiserver-0" in line]
    if len(times) == 2 and times[1] - times[0] > 3:
        world.checks.violated("patience", "the API server was away for too long")
    world.checks.raise_if_broken(world)


def test_a_failing_plan_shrinks_to_the_fault_that_matters() -> None:
    scenario = Scenario("impatient", _impatient)
    plan = (
        Fault(at=0.5, lasts=1.0, kind="slow", target="node0", amount=0.1),
        Fault(at=1.0, lasts=7.5, kind="crash", target="apiserver-0"),
        Fault(at=2.0, lasts=1.0, kind="compact"),
    )
    assert play(scenario, 1, plan).rule == "patience"
    assert shrink(scenario, 1, plan) == (Fault(at=1.0, lasts=3.75, kind="crash", target="apiserver-0"),)


def test_plans_differ_by_seed_and_scenario() -> None:
    plans = {plan_of(SCENARIOS[name], seed) for name in ("deleting", "adopting") for seed in range(20)}
    assert len(plans) == 40


@pytest.mark.timeout(120)
def test_a_long_run_stops_cleanly_at_an_interrupt() -> None:
    command = [sys.executable, "-m", "simulation", "calm", "--seeds", "100000", "--processes", "1"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    running = subprocess.Popen(
        command, cwd=TESTS, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stdout is not None
    try:
        assert running.stdout.readline() == "playing on 1 processors\n"
        os.killpg(running.pid, signal.SIGINT)
        said, _ = running.communicate(timeout=60)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 0
    assert "interrupted" in said
    assert "seeds played, 0 failed" in said
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)
