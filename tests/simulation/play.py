"""Play a scenario with a seed, say what broke, and shrink a failing plan to the faults that matter.

    python -m simulation.play SCENARIO --seed N             play one seed and print its timeline
    python -m simulation.play SCENARIO --seeds N            play N seeds of it, on all processors
    python -m simulation.play --seeds N [--first-failure]   play N seeds over all scenarios

Invariant: a failure is reported with everything that replays it: scenario, seed and plan.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from simulation import faults
from simulation.checks import Violation
from simulation.faults import Plan
from simulation.scenarios import SCENARIOS, Scenario
from simulation.world import World

_SAME_HASHES = {"PYTHONHASHSEED": "0"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one play; `violation` is empty if every rule held."""

    scenario: str
    seed: int
    plan: Plan
    violation: str
    timeline: tuple[str, ...]
    virtual_seconds: float
    steps: int


def plan_of(scenario: Scenario, seed: int) -> Plan:
    """The faults that a seed brings; none for a calm scenario."""
    if not scenario.kinds:
        return ()
    return faults.draw(
        f"{scenario.name}/{seed}",
        scenario.kinds,
        scenario.targets,
        most=scenario.most,
        span=scenario.span,
        longest=scenario.longest,
    )


def play(scenario: Scenario, seed: int, plan: Plan | None = None) -> Outcome:
    """Play once; with `plan` instead of the seed's own faults."""
    chosen = plan_of(scenario, seed) if plan is None else plan
    world = World(seed, nodes=scenario.nodes, standby=scenario.standby)
    violation = ""
    try:
        world.start()
        faults.carry_out(world, chosen)
        scenario.workload(world)
        world.until_faults_end(chosen)
        world.checks.at_rest(world)
        world.checks.idempotent(world)
    except Violation as error:
        violation = str(error)
    finally:
        world.close()
    return Outcome(
        scenario.name, seed, chosen, violation, tuple(world.timeline), world.runtime.now, world.runtime.steps
    )


def shrink(scenario: Scenario, seed: int, plan: Plan) -> Plan:
    """The plan without the faults that are not needed for a failure."""
    index = 0
    while index < len(plan):
        without = plan[:index] + plan[index + 1 :]
        if play(scenario, seed, without).violation:
            plan = without
        else:
            index += 1
    return plan


def report(outcome: Outcome, plan: Plan) -> str:
    """What a person needs to understand and replay a failure."""
    steps = "\n".join(f"  {fault}" for fault in plan) or "  none"
    replay = f"python -m simulation.play {outcome.scenario} --seed {outcome.seed}"
    return (
        f"{outcome.scenario}, seed {outcome.seed}: {outcome.violation}\nfaults that matter:\n{steps}\nreplay: {replay}"
    )


def _play_by_number(task: tuple[str, int]) -> Outcome:
    name, seed = task
    return play(SCENARIOS[name], seed)


def play_many(tasks: Sequence[tuple[str, int]], *, first_failure: bool) -> int:
    """Play (scenario, seed) pairs on all processors; the number that failed. Prints each failure and a summary."""
    began = time.monotonic()
    failed = done = 0
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        for outcome in pool.imap_unordered(_play_by_number, tasks, chunksize=1):
            done += 1
            if outcome.violation:
                failed += 1
                print(report(outcome, outcome.plan), flush=True)
                if first_failure:
                    break
            if done % 100 == 0:
                print(f"{done} of {len(tasks)} seeds, {failed} failed, {time.monotonic() - began:.0f} s", flush=True)
        pool.terminate()
    print(f"{done - failed} seeds held, {failed} failed, {time.monotonic() - began:.0f} s")
    return failed


def play_one(scenario: Scenario, seed: int) -> int:
    """Play one seed and print its timeline; on failure shrink its plan. The exit status."""
    outcome = play(scenario, seed)
    print("\n".join(outcome.timeline))
    if not outcome.violation:
        print(f"every rule held; {outcome.virtual_seconds:.0f} virtual seconds, {outcome.steps} steps")
        return 0
    print(report(outcome, shrink(scenario, seed, outcome.plan)))
    return 1


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="?", choices=list(SCENARIOS))
    parser.add_argument("--seed", type=int, default=0, help="play this seed (default: 0)")
    parser.add_argument("--seeds", type=int, default=0, help="play so many seeds, from --seed on")
    parser.add_argument("--first-failure", action="store_true", help="stop at the first failing seed")
    parser.add_argument("-v", action="store_true", help="show what the components log")
    arguments = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set of strings must be that of every other run.
        os.execve(sys.executable, [sys.executable, "-m", "simulation.play", *sys.argv[1:]], os.environ | _SAME_HASHES)
    logging.basicConfig(level=logging.INFO if arguments.v else logging.CRITICAL)
    if not arguments.seeds:
        if not arguments.scenario:
            parser.error("name a scenario, or give --seeds")
        return play_one(SCENARIOS[arguments.scenario], arguments.seed)
    names = [arguments.scenario] if arguments.scenario else list(SCENARIOS)
    numbers = range(arguments.seeds)
    tasks = [(names[number % len(names)], arguments.seed + number // len(names)) for number in numbers]
    return 1 if play_many(tasks, first_failure=arguments.first_failure) else 0


if __name__ == "__main__":
    sys.exit(main())
