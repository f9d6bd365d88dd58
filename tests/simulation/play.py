"""Play a scenario with a seed, say what broke, and shrink a failing plan to the faults that matter.

    python -m simulation.play SCENARIO SEED        play one and print its timeline
    python -m simulation.play --seeds N            play N seeds over all scenarios, on all processors

Invariant: a failure is reported with everything that replays it: scenario, seed and plan.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass

from simulation import faults
from simulation.checks import Violation
from simulation.faults import Plan
from simulation.scenarios import SCENARIOS, Scenario
from simulation.world import World


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
    replay = f"python -m simulation.play {outcome.scenario} {outcome.seed}"
    return (
        f"{outcome.scenario}, seed {outcome.seed}: {outcome.violation}\nfaults that matter:\n{steps}\nreplay: {replay}"
    )


def _play_by_number(number: int) -> Outcome:
    names = list(SCENARIOS)
    return play(SCENARIOS[names[number % len(names)]], number // len(names))


def _many(count: int) -> int:
    began = time.monotonic()
    failed = 0
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        for done, outcome in enumerate(pool.imap_unordered(_play_by_number, range(count), chunksize=1), 1):
            if outcome.violation:
                failed += 1
                print(report(outcome, outcome.plan), flush=True)
            if done % 100 == 0:
                print(f"{done} of {count} seeds, {failed} failed, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{count - failed} passed, {failed} failed")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="?", choices=list(SCENARIOS))
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=0, help="how many seeds over all scenarios")
    parser.add_argument("-v", action="store_true", help="show what the components log")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO if arguments.v else logging.CRITICAL)
    if arguments.seeds:
        return _many(arguments.seeds)
    if not arguments.scenario:
        parser.error("name a scenario, or give --seeds")
    scenario = SCENARIOS[arguments.scenario]
    outcome = play(scenario, arguments.seed)
    print("\n".join(outcome.timeline))
    if not outcome.violation:
        print(f"every rule held; {outcome.virtual_seconds:.0f} virtual seconds, {outcome.steps} steps")
        return 0
    print(report(outcome, shrink(scenario, arguments.seed, outcome.plan)))
    return 1


if __name__ == "__main__":
    sys.exit(main())
