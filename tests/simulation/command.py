"""Plays seeds of scenarios.

    python -m simulation SCENARIO --seed N             play one seed and print its timeline
    python -m simulation SCENARIO --seeds N            play N seeds of it, on all processors
    python -m simulation --seeds N [--first-failure]   play N seeds over all scenarios
    python -m simulation … --bug NAME                  with a deliberate bug of tests/simulation/bugs

Invariant: the same command prints the same timeline, whatever the machine and the moment.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys

from simulation import crowd
from simulation.play import play, report, shrink
from simulation.scenarios import SCENARIOS, Scenario

_SAME_HASHES = {"PYTHONHASHSEED": "0"}


def play_one(scenario: Scenario, seed: int, bug: str) -> int:
    """Play one seed and print its timeline; on failure shrink its plan. The exit status."""
    outcome = play(scenario, seed)
    print("\n".join(outcome.timeline))
    print(f"{outcome.virtual_seconds:.3f} virtual seconds, {outcome.steps} steps, digest {outcome.digest:08x}")
    if not outcome.violation:
        print("every rule held")
        return 0
    print(report(outcome, shrink(scenario, seed, outcome.plan), bug))
    return 1


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="?", choices=list(SCENARIOS))
    parser.add_argument("--seed", type=int, default=0, help="play this seed (default: 0)")
    parser.add_argument("--seeds", type=int, default=0, help="play so many seeds, from --seed on")
    parser.add_argument("--first-failure", action="store_true", help="stop at the first failing seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="at once (default: all processors)")
    parser.add_argument("--bug", default="", help="put this deliberate bug in")
    parser.add_argument("-v", action="store_true", help="show what the components log")
    arguments = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set of strings must be that of every other run.
        os.execve(sys.executable, [sys.executable, "-m", "simulation", *sys.argv[1:]], os.environ | _SAME_HASHES)
    logging.basicConfig(level=logging.INFO if arguments.v else logging.CRITICAL)
    if not arguments.seeds:
        if not arguments.scenario:
            parser.error("name a scenario, or give --seeds")
        return play_one(SCENARIOS[arguments.scenario], arguments.seed, arguments.bug)
    names = [arguments.scenario] if arguments.scenario else list(SCENARIOS)
    tasks = crowd.tasks(names, arguments.seed, arguments.seeds)
    processes = min(arguments.processes, arguments.seeds)
    failed = crowd.play_many(tasks, processes, first_failure=arguments.first_failure, bug=arguments.bug)
    return 1 if failed else 0
