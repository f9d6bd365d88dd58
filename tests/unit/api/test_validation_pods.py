"""Pods' own resources, claims of devices, restart rules and signals: one row a rule."""

from __future__ import annotations

from typing import Any

import pytest
from test_validation import CONTAINER, made, sentences

from api.defaults.pods import default_pod
from api.objects import Object, copy
from api.validation import container_ends, pod_resources

pytestmark = pytest.mark.unit


def asking(requests: Object | None = None, limits: Object | None = None, **more: Any) -> Object:
    return CONTAINER | {"resources": {"requests": requests or {}, "limits": limits or {}}} | more


def rules(*given: Object, **container: Any) -> Object:
    return {"containers": [CONTAINER | container | {"restartPolicyRules": list(given)}]}


RULE: Object = {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}
SPECS: list[tuple[Object, list[str]]] = [
    ({"resources": {"requests": {"cpu": "1"}}, "containers": [asking({"cpu": "1"})]}, []),
    ({"resources": {"requests": {"cpu": "1"}}, "containers": [asking({"cpu": "1500m"})]},
     ['spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests '
      "of 1500m"]),
    ({"resources": {"requests": {"cpu": "1"}}, "initContainers": [asking({"cpu": "2"}, name="i")]},
     ['spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests '
      "of 2"]),
    ({"resources": {"requests": {"cpu": "1"}}, "containers": [asking({"ephemeral-storage": "1Gi"})]}, []),
    ({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
      "containers": [asking({"cpu": "1"}, {"cpu": "2"})]},
     ['spec.resources.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits of 1']),
    ({"resources": {"limits": {"a.b/gpu": "1"}, "requests": {"a.b/gpu": "1"}}},
     [f'spec.resources.{field}[a.b/gpu]: Unsupported value: "a.b/gpu": supported values: "cpu", "hugepages-", "memory"'
      for field in ("limits", "requests")]),
    ({"resources": {"claims": [{"name": "a"}]}},
     ["spec.resources.claims: Forbidden: claims cannot be set for Resources at pod-level"]),
    ({"resourceClaims": [{"name": "a", "resourceClaimName": "x"}, {"name": "b", "resourceClaimTemplateName": "y"}]},
     []),
    ({"resourceClaims": [{"name": "a", "resourceClaimName": "x"}, {"name": "a", "resourceClaimName": "y"}]},
     ['spec.resourceClaims[1].name: Duplicate value: "a"']),
    ({"resourceClaims": [{"name": "", "resourceClaimName": "x"}]}, ["spec.resourceClaims[0].name: Required value"]),
    ({"resourceClaims": [{"name": "a"}]},
     ['spec.resourceClaims[0]: Invalid value: {"name":"a"}: must specify one of: `resourceClaimName`, '
      "`resourceClaimTemplateName`"]),
    ({"resourceClaims": [{"name": "a", "resourceClaimName": "x", "resourceClaimTemplateName": "y"}]},
     ['spec.resourceClaims[0]: Invalid value: {"name":"a","resourceClaimName":"x","resourceClaimTemplateName":"y"}: at '
      "most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"]),
    (rules(RULE, restartPolicy="Never"), []),
    (rules(RULE | {"action": "RestartAllContainers"}, restartPolicy="Never"), []),
    (rules(RULE),
     ["spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used"]),
    (rules({"action": "Stop"}, restartPolicy="Never"),
     ['spec.containers[0].restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart", '
      '"RestartAllContainers"',
      "spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified"]),
    (rules(RULE | {"exitCodes": {"operator": "Is", "values": list(range(256))}}, restartPolicy="Never"),
     ['spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: "Is": supported values: "In", '
      '"NotIn"',
      "spec.containers[0].restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items"]),
    ({"os": {"name": "linux"}, "containers": [CONTAINER | {"lifecycle": {"stopSignal": "SIGRTMIN+15"}}]}, []),
    ({"containers": [CONTAINER | {"lifecycle": {"stopSignal": "SIGUSR1"}}]},
     ["spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`"]),
    ({"os": {"name": "windows"}, "containers": [CONTAINER | {"lifecycle": {"stopSignal": "SIGUSR1"}}]},
     ['spec.containers[0].lifecycle.stopSignal: Unsupported value: "SIGUSR1": supported values: "SIGKILL", "SIGTERM"']),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "wanted"), SPECS, ids=lambda value: str(value)[:60])
def test_what_a_pod_may_say(spec: Object, wanted: list[str]) -> None:
    assert sentences(made("v1/Pod", lambda pod: pod["spec"].update(copy(spec)))) == wanted


def test_linux_has_the_signals_of_its_manual() -> None:
    assert len(container_ends._LINUX) == 65


def test_a_pods_own_requests_default_to_what_its_containers_need() -> None:
    spec: Object = {
        "resources": {"limits": {"cpu": "4", "memory": "1Gi"}},
        "containers": [asking({"cpu": "1"})],
        "initContainers": [asking({"cpu": "2"}, name="i"), asking({"cpu": "500m"}, name="s", restartPolicy="Always")],
    }
    default_pod({"metadata": {}, "spec": spec})
    assert spec["resources"]["requests"] == {"cpu": "2", "memory": "1Gi"}
    assert pod_resources.own("spec", spec) == []


def test_amounts_that_are_none_are_told_of_once() -> None:
    spec = {"resources": {"requests": {"cpu": "1"}}, "containers": [asking({"cpu": "x"})]}
    found = sentences(made("v1/Pod", lambda pod: pod["spec"].update(spec)))
    assert [one.partition(":")[0] for one in found] == ["spec.containers[0].resources.requests[cpu]"]


def test_what_a_stored_object_breaks_already_is_not_held_against_another_change() -> None:
    old_pod = made("v1/Pod", lambda one: one["spec"]["containers"][0].update({"lifecycle": {"stopSignal": "SIGUSR1"}}))
    freed = copy(old_pod)
    freed["metadata"]["labels"] = {"freed": "yes"}
    assert sentences(freed, old_pod) == []
    old_set = made("apps/v1/ReplicaSet")
    old_set["spec"]["template"]["spec"] = copy(old_pod["spec"])
    scaled = copy(old_set)
    scaled["spec"]["replicas"] = 0
    assert sentences(scaled, old_set) == []
    scaled["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["stopSignal"] = "SIGNONE"
    scaled["spec"]["template"]["spec"]["os"] = {"name": "linux"}
    assert len(sentences(scaled, old_set)) == 1
