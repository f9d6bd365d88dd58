"""Where pods may go, and what marks of their own they may bear: one row a rule."""

from __future__ import annotations

from typing import Any

import pytest
from test_validation import CONTAINER, made, put, sentences

from api.objects import copy
from api.validation.scheduling import spread_constraints
from control.apiserver.strategies.pod_completion import merge_label_keys

pytestmark = pytest.mark.unit

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
MIRROR = "kubernetes.io/config.mirror"
NO_KEY = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def by_field(**requirement: Any) -> dict[str, Any]:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]} | requirement]}
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}}


def near(**term: Any) -> dict[str, Any]:
    return {"affinity": {"podAffinity": {REQUIRED: [{"labelSelector": {}, "topologyKey": "zone"} | term]}}}


def spread(**constraint: Any) -> dict[str, Any]:
    usual = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    return {"topologySpreadConstraints": [usual | constraint]}


def labelled(kind: str = REQUIRED, **requirement: Any) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": "rank", "operator": "In", "values": ["-1"]} | requirement]}
    wanted = {"nodeSelectorTerms": [term]} if kind == REQUIRED else [{"weight": 1, "preference": term}]
    return {"affinity": {"nodeAffinity": {kind: wanted}}}


def tolerating(value: str, operator: str = "Gt") -> dict[str, Any]:
    return {"tolerations": [{"key": "rank", "operator": operator, "value": value}]}


NO_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
LABELLED = f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0]"
TOLERATING = "spec.tolerations[0].value: Invalid value: "
FIELD = f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchFields[0]"
NEAR = f"spec.affinity.podAffinity.{REQUIRED}[0]"
SPREAD = "spec.topologySpreadConstraints[0]"
HOST_PORT = {"ports": [{"containerPort": 80, "hostPort": 80}]}
MERGED = [{"key": "a", "operator": "In", "values": ["b"]}]
SPECS: list[tuple[dict[str, Any], list[str]]] = [
    (labelled(), [f'{LABELLED}.values[0]: Invalid value: "-1": {NO_VALUE}']),
    (labelled("preferredDuringSchedulingIgnoredDuringExecution"), []),
    (labelled(values=["1"]), []),
    (tolerating("-950", "Lt"), []),
    (tolerating("0100"), [f'{TOLERATING}"0100": must be a valid decimal integer in canonical form']),
    (tolerating(""), [f'{TOLERATING}"": must be non-empty']),
    (by_field(), []),
    (by_field(operator="Exists"), [f'{FIELD}.operator: Invalid value: "Exists": not a valid selector operator']),
    (by_field(values=["a", "b"]),
     [f"{FIELD}.values: Required value: must be only one value when `operator` is 'In' or 'NotIn' for node field "
      "selector"]),
    (by_field(key="metadata.uid"), [f'{FIELD}.key: Invalid value: "metadata.uid": not a valid field selector key']),
    (near(), []),
    (near(topologyKey=""),
     [f"{NEAR}.topologyKey: Required value: can not be empty",
      f'{NEAR}.topologyKey: Invalid value: "": name part must be non-empty',
      f'{NEAR}.topologyKey: Invalid value: "": {NO_KEY}']),
    (near(namespaces=["shop", "my_shop"]),
     [f"{NEAR}.namespace: Invalid value: \"my_shop\": a lowercase RFC 1123 label must consist of lower case "
      "alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or "
      "'123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"]),
    (near(namespaceSelector={"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}),
     [f"{NEAR}.namespaceSelector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is "
      "'Exists' or 'DoesNotExist'"]),
    (near(matchLabelKeys=["a"], mismatchLabelKeys=["a"]),
     [f'{NEAR}.matchLabelKeys[0]: Invalid value: "a": exists in both matchLabelKeys and mismatchLabelKeys']),
    (near(labelSelector=None, matchLabelKeys=["a"]),
     [f"{NEAR}.matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"]),
    (spread(minDomains=2, nodeAffinityPolicy="Honor", nodeTaintsPolicy="Ignore", matchLabelKeys=["a"]), []),
    (spread(minDomains=0, whenUnsatisfiable="ScheduleAnyway"),
     [f"{SPREAD}.minDomains: Invalid value: 0: must be greater than zero",
      f"{SPREAD}.minDomains: Invalid value: 0: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not "
      "ScheduleAnyway"]),
    (spread(whenUnsatisfiable=""),
     [f'{SPREAD}.whenUnsatisfiable: Unsupported value: "": supported values: "DoNotSchedule", "ScheduleAnyway"']),
    (spread(nodeTaintsPolicy="Maybe"),
     [f'{SPREAD}.nodeTaintsPolicy: Unsupported value: "Maybe": supported values: "Honor", "Ignore"']),
    (spread(labelSelector={"matchLabels": {"a": "b"}, "matchExpressions": MERGED}, matchLabelKeys=["a"]),
     [f'{SPREAD}[0]: Invalid value: "a": exists in both matchLabelKeys and labelSelector']),
    (near(labelSelector={"matchExpressions": MERGED * 2}, mismatchLabelKeys=["a"]), []),
    (spread(labelSelector={"matchExpressions": MERGED}, matchLabelKeys=["a"]), []),
    ({"topologySpreadConstraints": spread()["topologySpreadConstraints"] * 2},
     [f'{SPREAD}.{{topologyKey, whenUnsatisfiable}}: Duplicate value: "{{zone, DoNotSchedule}}"']),
    ({"hostnameOverride": f"{'a' * 62}.b", "setHostnameAsFQDN": False}, []),
    ({"hostnameOverride": "a" * 63 + ".b", "setHostnameAsFQDN": True},
     ["spec.hostnameOverride: Too long: may not be more than 64 bytes",
      "spec.hostnameOverride: Forbidden: may not be set when setHostnameAsFQDN is true"]),
    ({"hostnameOverride": "a", "hostNetwork": True},
     ["spec.hostnameOverride: Forbidden: may not be set when hostNetwork is true"]),
    ({"initContainers": [CONTAINER | HOST_PORT | {"name": name} for name in "ab"]}, []),
    ({"initContainers": [CONTAINER | {"name": "a", "ports": HOST_PORT["ports"] * 2}]},
     ['spec.initContainers[0].ports[1].hostPort: Duplicate value: "TCP//80"']),
    ({"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
     ["spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when "
      "serviceAccountName is not set"]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "wanted"), SPECS, ids=lambda value: "-".join(value)[:50])
def test_a_pod_is_judged(spec: dict[str, Any], wanted: list[str]) -> None:
    assert sentences(made("v1/Pod", lambda pod: pod["spec"].update(spec))) == wanted


def test_the_mark_of_a_mirror_is_there_from_the_start_and_on_a_node() -> None:
    plain = made("v1/Pod", put("spec/nodeName", "n"))
    mirror = copy(plain)
    mirror["metadata"]["annotations"] = {MIRROR: "x"}
    path = f"metadata.annotations[{MIRROR}]"
    assert sentences(mirror) == sentences(mirror, copy(mirror)) == []
    assert sentences(mirror, plain) == [f"{path}: Forbidden: may not add mirror pod annotation"]
    assert sentences(plain, mirror) == [f"{path}: Forbidden: may not remove or update mirror pod annotation"]
    homeless = made("v1/Pod", lambda pod: pod["metadata"].update(annotations={MIRROR: "x"}))
    assert sentences(homeless) == [
        f'{path}: Invalid value: "x": must set spec.nodeName if mirror pod annotation is set'
    ]


@pytest.mark.timeout(5)
def test_many_constraints_are_not_compared_with_each_other() -> None:
    constraints = [spread(topologyKey=f"a{number}")["topologySpreadConstraints"][0] for number in range(8000)]
    assert spread_constraints("spec", {"topologySpreadConstraints": constraints}) == []


@pytest.mark.timeout(10)
def test_many_keys_are_added_to_a_selector_at_once() -> None:
    constraint: dict[str, Any] = {"labelSelector": {}, "matchLabelKeys": ["a"] * 200_000}
    merge_label_keys({"metadata": {"labels": {"a": "b"}}, "spec": {"topologySpreadConstraints": [constraint]}})
    assert len(constraint["labelSelector"]["matchExpressions"]) == 200_000
