"""Plays a scenario with a seed, says what broke, and shrinks a failing plan to the faults that matter.

Invariant: a failure is reported with everything that replays it: scenario, seed and plan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from simulation import faults
from simulation.checks import Violation
from simulation.faults import Plan
from simulation.scenarios import Scenario
from simulation.world import World

_SHORTEST_FAULT = 0.1
_QUIET_SECONDS = 45.0
# A lost answer may leave a watch open that brings nothing: until its client gives it up, quiet means little.
_QUIET_AFTER_LOSSES = 130.0
_LOSSES = frozenset({"loss", "storm", "cut-off"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one play; `rule` is the rule that broke, empty if all held; `held` counts how often each was."""

    scenario: str
    seed: int
    plan: Plan
    rule: str
    violation: str
    timeline: tuple[str, ...]
    virtual_seconds: float
    steps: int
    digest: int
    held: Mapping[str, int]


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
    world = World(
        seed,
        nodes=scenario.nodes,
        servers=scenario.servers,
        standby=scenario.standby,
        seconds_to_converge=scenario.converges,
    )
    broken: tuple[str, str] = ("", "")
    try:
        world.start()
        faults.carry_out(world, chosen)
        scenario.workload(world)
        world.until_faults_end()
        quiet = _QUIET_AFTER_LOSSES if _LOSSES & {fault.kind for fault in chosen} else _QUIET_SECONDS
        world.checks.at_rest(world, quiet_seconds=quiet, within=scenario.converges + quiet)
        world.checks.idempotent(world)
    except Violation as error:
        broken = error.rule, str(error)
    finally:
        world.close()
    return Outcome(
        scenario.name,
        seed,
        chosen,
        *broken,
        tuple(world.timeline),
        world.runtime.now,
        world.runtime.steps,
        world.runtime.digest,
        dict(world.checks.held),
    )


def shrink(scenario: Scenario, seed: int, plan: Plan) -> Plan:
    """The plan without the faults that a failure does not need, and with shorter ones where those do."""
    index = 0
    while index < len(plan):
        without = plan[:index] + plan[index + 1 :]
        if play(scenario, seed, without).violation:
            plan = without
        else:
            plan = _shorten(scenario, seed, plan, index)
            index += 1
    return plan


def _shorten(scenario: Scenario, seed: int, plan: Plan, index: int) -> Plan:
    """The plan with one fault halved as often as the failure stays."""
    while plan[index].lasts > _SHORTEST_FAULT:
        shorter = dataclasses.replace(plan[index], lasts=plan[index].lasts / 2)
        candidate = (*plan[:index], shorter, *plan[index + 1 :])
        if not play(scenario, seed, candidate).violation:
            break
        plan = candidate
    return plan


def report(outcome: Outcome, plan: Plan, bug: str = "") -> str:
    """What a person needs to understand and replay a failure."""
    steps = "\n".join(f"  {fault}" for fault in plan) or "  none"
    replay = f"PYTHONPATH=tests python -m simulation {outcome.scenario} --seed {outcome.seed}{bug and f' --bug {bug}'}"
    return (
        f"{outcome.scenario}, seed {outcome.seed}: {outcome.violation}\nfaults that matter:\n{steps}\nreplay: {replay}"
    )
