"""Sizes, revisions and conditions of Deployments."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import NOW, at, meta, names
from hypothesis import given
from hypothesis import strategies as st

from control.controllers.deployment import history, rolling, status

pytestmark = pytest.mark.unit


def deployment(replicas: int = 4, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:2"}]}}
    base = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"metadata": meta("web", generation=1), "spec": base | {"progressDeadlineSeconds": 600} | spec}


def replicaset(name: str, replicas: int, available: int | None = None, **annotations: str) -> dict[str, Any]:
    ready = replicas if available is None else available
    state = {"replicas": replicas, "readyReplicas": ready, "availableReplicas": ready, "observedGeneration": 1}
    return {
        "metadata": meta(name, annotations=annotations, generation=1),
        "spec": {"replicas": replicas},
        "status": state,
    }


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        ("25%", "25%", 4, (5, 3)),
        ("25%", "25%", 1, (2, 1)),
        ("25%", "25%", 10, (13, 8)),
        (0, 0, 3, (3, 2)),
        (1, 0, 3, (4, 3)),
        (0, 9, 3, (3, 0)),
    ],
)
def test_percentages_round_in_favour_of_more_pods(surge: Any, unavailable: Any, replicas: int, expected: Any) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    limits = rolling.bounds(deployment(replicas, strategy=strategy))
    assert (limits.limit, limits.least) == expected


ROLLS: dict[str, tuple[rolling.Bounds, Any, list[Any], dict[str, int]]] = {
    "grow as far as the surge allows": (
        rolling.Bounds(4, 1, 1), replicaset("new", 0), [replicaset("old", 4)], {"new": 1},
    ),
    "shrink as far as availability allows": (
        rolling.Bounds(4, 1, 1), replicaset("new", 1, 0), [replicaset("old", 4)], {"old": 3},
    ),
    "pods that serve nobody go first": (
        rolling.Bounds(4, 0, 1), replicaset("new", 0), [replicaset("a", 2, 2), replicaset("b", 2, 1)],
        {"b": 1},
    ),
    "nothing moves while the new pods are not available": (
        rolling.Bounds(4, 1, 0), replicaset("new", 1, 0), [replicaset("old", 4)], {},
    ),
    "the end": (rolling.Bounds(4, 1, 1), replicaset("new", 4), [replicaset("old", 1)], {"old": 0}),
    "a new set that is too large shrinks": (
        rolling.Bounds(2, 1, 1), replicaset("new", 4), [], {"new": 2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ROLLS)
def test_next_step_of_a_rolling_update(case: str) -> None:
    limits, newest, old, expected = ROLLS[case]
    steps = rolling.roll(limits, newest, old)
    assert {step.replicaset["metadata"]["name"]: step.replicas for step in steps} == expected


@given(
    wanted=st.integers(1, 20),
    surge=st.integers(0, 5),
    unavailable=st.integers(0, 5),
    luck=st.lists(st.booleans(), min_size=5, max_size=300),
)
def test_a_rollout_keeps_its_bounds_and_ends(wanted: int, surge: int, unavailable: int, luck: list[bool]) -> None:
    if surge == 0 and unavailable == 0:
        unavailable = 1
    limits = rolling.Bounds(wanted, surge, min(unavailable, wanted))
    newest, old = replicaset("new", 0), [replicaset("old", wanted)]
    for lucky in [*luck, *([True] * 200)]:
        for step in rolling.roll(limits, newest, [one for one in old if rolling.replicas_of(one)]):
            available = rolling.available_of(step.replicaset)
            step.replicaset["spec"]["replicas"] = step.replicas
            step.replicaset["status"]["availableReplicas"] = min(available, step.replicas)
        assert rolling.replicas_of(newest) + rolling.replicas_of(old[0]) <= limits.limit
        assert rolling.available_of(newest) + rolling.available_of(old[0]) >= limits.least
        if lucky and rolling.available_of(newest) < rolling.replicas_of(newest):
            newest["status"]["availableReplicas"] += 1
    assert (rolling.replicas_of(newest), rolling.replicas_of(old[0])) == (wanted, 0)


def sized(name: str, replicas: int, of: int, surge: int = 0, created: float = 0) -> dict[str, Any]:
    """A ReplicaSet that was part of a Deployment of `of` replicas when it was sized."""
    found = replicaset(name, replicas, **{history.DESIRED: str(of), history.MAXIMUM: str(of + surge)})
    found["metadata"]["creationTimestamp"] = at(created)
    return found


# name: (wanted, surge, the newest if there is one, the old ones, the sizes that change)
SCALES: dict[str, tuple[int, int, Any, list[Any], dict[str, int]]] = {
    "in proportion, with the surge": (20, 5, sized("n", 5, 10, 3), [sized("o", 8, 10, 3)], {"o": 15, "n": 10}),
    "one alone takes all": (5, 0, sized("n", 2, 2), [], {"n": 5}),
    "one alone, though not the newest": (5, 0, sized("n", 0, 4), [sized("o", 4, 4)], {"o": 5}),
    "what is left over goes to the newest of equals": (
        5, 0, None, [sized("new", 2, 4, created=9), sized("old", 2, 4)], {"new": 3},
    ),
    "and is taken from the oldest": (
        2, 0, sized("n", 1, 3, created=9), [sized("b", 1, 3, created=5), sized("a", 1, 3)], {"a": 0},
    ),
    "the larger before the newer": (9, 0, sized("n", 2, 6, created=9), [sized("o", 4, 6)], {"o": 6, "n": 3}),
    "to nothing": (0, 0, sized("n", 2, 6), [sized("o", 4, 6)], {"o": 0, "n": 0}),
    "old ones go once the newest is complete": (3, 0, sized("n", 3, 6), [sized("o", 4, 6)], {"o": 0}),
    "nothing to do": (6, 0, sized("n", 2, 6), [sized("o", 4, 6)], {}),
}  # fmt: skip


@pytest.mark.parametrize("case", SCALES)
def test_scaling_in_the_middle_of_a_rollout(case: str) -> None:
    wanted, surge, newest, old, expected = SCALES[case]
    steps = rolling.scale(rolling.Bounds(wanted, surge, 0), newest, old, rolling=True)
    assert {step.replicaset["metadata"]["name"]: step.replicas for step in steps} == expected


def test_a_changed_number_is_told_from_the_sizes_that_were_noted() -> None:
    assert rolling.is_scaling(deployment(20), [sized("n", 5, 10), sized("o", 8, 10)])
    assert not rolling.is_scaling(deployment(10), [sized("n", 5, 10), sized("o", 0, 3)])


def test_one_template_has_one_name_and_a_collision_gives_another() -> None:
    template = deployment()["spec"]["template"]
    again = {"spec": template["spec"], "metadata": template["metadata"]}
    assert history.template_hash(template, 0) == history.template_hash(again, 0)
    assert history.template_hash(template, 0) != history.template_hash(template, 1)


def test_the_current_replicaset_is_found_by_its_template_alone() -> None:
    owner = deployment()
    made = history.new_replicaset(owner, 4, 5, 1)
    made["metadata"]["creationTimestamp"] = at(0)
    other = replicaset("other", 1)
    other["spec"]["template"] = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}
    assert history.current(owner, [other, made]) is made
    assert made["spec"]["selector"]["matchLabels"].keys() == {"app", history.HASH_LABEL}


def test_a_rollback_gets_a_new_revision_and_remembers_the_old_one() -> None:
    one = replicaset("old", 0, **{history.REVISION: "1"})
    found = history.current_annotations(deployment(), one, 3)
    assert (found[history.REVISION], found[history.REVISION_HISTORY]) == ("3", "1")


def test_empty_replicasets_beyond_the_limit_go_oldest_revision_first() -> None:
    old = [replicaset(f"r{n}", 0, **{history.REVISION: str(n)}) for n in (3, 1, 2)]
    assert names(history.superfluous(deployment(revisionHistoryLimit=1), old)) == ["r1", "r2"]


CONDITIONS: dict[str, tuple[Any, Any, Any, dict[str, tuple[str, str]]]] = {
    "complete": (
        deployment(2), {}, replicaset("new", 2),
        {"Available": ("True", "MinimumReplicasAvailable"), "Progressing": ("True", "NewReplicaSetAvailable")},
    ),
    "progressing": (
        deployment(4), {}, replicaset("new", 2),
        {"Available": ("False", "MinimumReplicasUnavailable"), "Progressing": ("True", "ReplicaSetUpdated")},
    ),
    "stuck": (
        deployment(2),
        {"updatedReplicas": 2, "replicas": 2, "conditions": [
            {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "lastUpdateTime": at(-700),
             "lastTransitionTime": at(-700), "message": ""}]},
        replicaset("new", 2, 0),
        {"Available": ("False", "MinimumReplicasUnavailable"), "Progressing": ("False", "ProgressDeadlineExceeded")},
    ),
    "without a deadline nothing is said of progress": (
        deployment(2, progressDeadlineSeconds=None),
        {"conditions": [
            {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "lastUpdateTime": at(-700),
             "lastTransitionTime": at(-700), "message": ""}]},
        replicaset("new", 2),
        {"Available": ("True", "MinimumReplicasAvailable")},
    ),
    "once complete it does not fall back when scaled": (
        deployment(4),
        {"updatedReplicas": 2, "replicas": 2, "conditions": [
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "lastUpdateTime": at(-700),
             "lastTransitionTime": at(-700), "message": ""}]},
        replicaset("new", 4, 2),
        {"Available": ("False", "MinimumReplicasUnavailable"), "Progressing": ("True", "NewReplicaSetAvailable")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CONDITIONS)
def test_conditions(case: str) -> None:
    owner, before, newest, expected = CONDITIONS[case]
    owner = owner | {"status": before}
    found = status.calculate(owner, newest, [newest], rolling.bounds(owner), NOW)
    status.progress(owner, found, newest, [newest], NOW)
    assert {one["type"]: (one["status"], one["reason"]) for one in found["conditions"]} == expected


def test_pausing_and_resuming_is_noted_once() -> None:
    state: dict[str, Any] = {}
    assert status.pausing(deployment(paused=True), state, NOW)
    assert state["conditions"][0]["reason"] == "DeploymentPaused"
    assert not status.pausing(deployment(paused=True), state, NOW)
    assert status.pausing(deployment(), state, NOW)
    assert state["conditions"][0]["reason"] == "DeploymentResumed"
