"""Deliberate bugs, put into the components one by one: the simulator finds each and names the rule that it breaks.

Each patch stores the seed that found it. Where code has moved and that seed finds it no more, others are searched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from simulation.deliberate import ROOT, Bug, DoesNotFit, bugs, parse
from simulation.rules import RULES
from simulation.running import simulate
from simulation.scenarios import SCENARIOS

pytestmark = pytest.mark.simulation

MOST_SEEDS = 2000
BUGS = list(bugs().values())
# Bugs that the simulator found when nobody had put them in; docs/simulation.md tells of them.
REAL = (
    "bound-pods-cannot-be-preempted",
    "failed-evictions-wake-nobody",
    "hindered-pods-are-not-woken",
    "hung-writes-outlive-the-lead",
    "kubelets-forget-after-a-restart",
    "leases-outlive-their-nodes",
    "preemptors-are-not-woken",
    "quota-is-given-back-early",
)


def test_there_are_enough_bugs_and_each_breaks_a_known_rule() -> None:
    assert len(BUGS) >= 10
    for bug in BUGS:
        assert bug.rule in RULES
        assert bug.scenario in SCENARIOS


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[str]]]:
    """What the simulator says of each bug at the seed that found it; as many play at once as there are processors."""
    tests = (test for test in request.session.items if isinstance(test, pytest.Function))
    wanted = [test.callspec.params["bug"] for test in tests if test.function is test_the_simulator_finds]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {bug.name: pool.submit(_play, bug, bug.seed, 1) for bug in wanted}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_simulator_finds(bug: Bug, played: dict[str, Future[str]]) -> None:
    said = played[bug.name].result()
    if f"{bug.rule}: " not in said:
        said = _play(bug, 0, MOST_SEEDS)
    assert f"{bug.rule}: " in said, said[-3000:]


@pytest.mark.parametrize("name", REAL)
def test_the_seed_that_found_a_real_bug_holds_without_it(name: str) -> None:
    bug = bugs()[name]
    done = simulate(bug.scenario, "--seed", str(bug.seed), "--seeds", "1")
    assert done.returncode == 0, done.stdout[-3000:]


def _play(bug: Bug, first: int, seeds: int) -> str:
    arguments = ("--seed", str(first), "--seeds", str(seeds), "--first-failure", "--bug", bug.name)
    return simulate(bug.scenario, *arguments).stdout


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_changes_what_is_read_and_no_file(bug: Bug) -> None:
    for path, before, after in bug.hunks:
        source = (ROOT / path).read_text()
        changed = bug.apply(path, source)
        assert before in source
        assert after in changed
        assert changed != source


def test_a_patch_that_does_not_fit_is_an_error() -> None:
    head = "What: nothing\nScenario: calm\nSeed: 0\nRule: convergence\n\n"
    bug = parse("stale", head + "--- a/api/leader.py\n+++ b/api/leader.py\n@@ -1 +1 @@\n-no such line\n+another\n")
    with pytest.raises(DoesNotFit, match=r"0 times in api/leader\.py"):
        bug.apply("api/leader.py", (ROOT / "api/leader.py").read_text())
