"""Which ended containers may run again, and that a pod's status may not say it of others."""

from __future__ import annotations

from typing import Any

import pytest

from api.objects import Object
from api.restarts import restarts_after
from api.validation import pod_status


def rule(action: str, operator: str, *values: int) -> Object:
    return {"restartPolicyRules": [{"action": action, "exitCodes": {"operator": operator, "values": list(values)}}]}


NEVER, ALWAYS, ON_FAILURE = ({"restartPolicy": policy} for policy in ("Never", "Always", "OnFailure"))
CASES: list[tuple[Object, Object, int, bool]] = [
    ({}, {}, 0, True),
    (ALWAYS, {}, 0, True),
    (NEVER, {}, 1, False),
    (ON_FAILURE, {}, 0, False),
    (ON_FAILURE, {}, 1, True),
    (NEVER, ALWAYS, 0, True),
    (NEVER, ON_FAILURE, 0, False),
    (NEVER, NEVER | rule("Restart", "In", 42), 42, True),
    (NEVER, NEVER | rule("Restart", "In", 42), 1, False),
    (NEVER, NEVER | rule("Restart", "NotIn", 42), 1, True),
    (NEVER, NEVER | rule("RestartAllContainers", "In", 42), 42, True),
    (ALWAYS, NEVER, 1, False),
]


@pytest.mark.parametrize(("pod", "own", "code", "again"), CASES)
def test_own_rules_count_before_the_own_policy_and_that_before_the_pods(
    pod: Object, own: Object, code: int, again: bool
) -> None:
    assert restarts_after(pod, own, code) is again


def refused(spec: Object, *, ended: str, code: int, field: str = "containerStatuses") -> list[Any]:
    """What is said against a status in which the ended container runs again."""
    before = {field: [{"name": ended, "state": {"terminated": {"exitCode": code}}}]}
    after = {field: [{"name": ended, "state": {"running": {}}}]}
    return [cause.field for cause in pod_status.changed({"spec": spec, "status": after},
                                                           {"spec": spec, "status": before})]  # fmt: skip


@pytest.mark.parametrize(("pod", "own", "code", "again"), CASES)
def test_a_status_revives_only_containers_that_may_run_again(pod: Object, own: Object, code: int, again: bool) -> None:
    spec = pod | {"containers": [own | {"name": "app"}]}
    lenient = pod == ALWAYS
    assert refused(spec, ended="app", code=code) == ([] if again or lenient else ["status.containerStatuses[0].state"])


def test_a_pod_that_may_start_over_revives_all_its_containers() -> None:
    source = NEVER | rule("RestartAllContainers", "In", 42) | {"name": "source"}
    spec = NEVER | {"containers": [{"name": "app"}, source], "initContainers": [{"name": "init"}]}
    assert refused(spec, ended="app", code=0) == []
    assert refused(spec, ended="init", code=0, field="initContainerStatuses") == []


@pytest.mark.parametrize("policy", [NEVER, ALWAYS])
def test_a_container_that_was_added_ends_for_good(policy: Object) -> None:
    spec = policy | {"containers": [{"name": "app"}], "ephemeralContainers": [{"name": "debugger"}]}
    field = "ephemeralContainerStatuses"
    assert refused(spec, ended="debugger", code=1, field=field) == [f"status.{field}[0].state"]


def test_sidecars_run_again_and_init_containers_after_a_failure() -> None:
    spec = ON_FAILURE | {"containers": [{"name": "app"}], "initContainers": [ALWAYS | {"name": "side"}, {"name": "i"}]}
    field = "initContainerStatuses"
    assert refused(spec, ended="side", code=0, field=field) == []
    assert refused(spec, ended="i", code=1, field=field) == []
    assert refused(spec, ended="i", code=0, field=field) == [f"status.{field}[0].state"]
