"""MutatingAdmissionPolicy: configurations and JSON patches, conditions, parameters, a second round, refusals."""

from __future__ import annotations

from typing import Any

import pytest
from apiserver_objects import config_map, pod
from crd_objects import eventually

pytestmark = pytest.mark.unit

GROUP = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"


def rule(resource: str = "configmaps", group: str = "") -> dict[str, Any]:
    return {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}


def configuration(text: str) -> dict[str, Any]:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}


def patch(text: str) -> dict[str, Any]:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": text}}


def post(cluster: Any, plural: str, name: str, spec: dict[str, Any]) -> Any:
    status, answer, _ = cluster.request("POST", f"{GROUP}/mutatingadmission{plural}", {
        "metadata": {"name": name}, "spec": spec})  # fmt: skip
    assert status in (201, 422), answer
    return answer


def policy(cluster: Any, *mutations: dict[str, Any], name: str = "p", rules: Any = None, **spec: Any) -> None:
    constraints = {"resourceRules": rules or [rule()]}
    made = post(cluster, "policies", name, {"matchConstraints": constraints, "mutations": list(mutations),
                                            "reinvocationPolicy": "Never", **spec})  # fmt: skip
    assert made["kind"] == "MutatingAdmissionPolicy", made
    reference = spec.get("paramKind") and {"name": "params", "namespace": "default", "parameterNotFoundAction": "Deny"}
    post(cluster, "policybindings", name, {"policyName": name} | ({"paramRef": reference} if reference else {}))
    cluster.server.cache.catch_up()


MUTATIONS = [
    ("a configuration", configuration('Object{data: {"b": object.data.a + "2"}}'), {"a": "1", "b": "12"}),
    ("nothing", configuration("Object{}"), {"a": "1"}),
    ("a choice", configuration('has(object.data.z) ? Object{data: {"z": "1"}} : Object{data: {"y": "1"}}'),
     {"a": "1", "y": "1"}),
    ("a variable", configuration('Object{data: {"v": variables.twice}}'), {"a": "1", "v": "11"}),
    ("patches", patch('[JSONPatch{op: "add", path: "/data/" + jsonpatch.escapeKey("x/y~"), value: request.operation}, '
                      'JSONPatch{op: "remove", path: "/data/a"}]'), {"x/y~": "CREATE"}),
    ("a patch whose test fails", patch('[JSONPatch{op: "test", path: "/data/a", value: "2"}, '
                                       'JSONPatch{op: "remove", path: "/data/a"}]'), {"a": "1"}),
]  # fmt: skip


@pytest.mark.parametrize(("mutation", "data"), [case[1:] for case in MUTATIONS], ids=[case[0] for case in MUTATIONS])
def test_a_mutation_changes_what_is_stored(cluster, mutation, data):
    policy(cluster, mutation, variables=[{"name": "twice", "expression": "object.data.a + object.data.a"}])
    status, made, _ = cluster.request("POST", f"{MAPS}?dryRun=All", config_map("m", a="1"))
    if "x/y~" in data:
        # The policy did as it was told, and the result is checked like anybody's.
        assert (status, made["details"]["causes"][0]["field"]) == (422, "data[x/y~]")
    else:
        assert (status, made["data"]) == (201, data)


def test_configurations_merge_lists_by_their_keys_and_the_servers_own_plugins_see_the_result(cluster):
    added = (
        'Object{spec: Object.spec{initContainers: [Object.spec.initContainers{name: "proxy", image: "p:1", '
        'restartPolicy: "Always"}]}}'
    )
    policy(cluster, configuration(added), rules=[rule("pods")], matchConditions=[
        {"name": "new", "expression": "!object.spec.initContainers.exists(c, c.name == 'proxy')"}],
        failurePolicy="Ignore")  # fmt: skip
    client = cluster.client()
    plain = client.create("pods", pod("plain"))
    assert "initContainers" not in plain["spec"], "the condition fails for a pod without such containers"
    made = client.create("pods", pod("p", initContainers=[{"name": "first", "image": "f:1"}]))
    containers = made["spec"]["initContainers"]
    assert [one["name"] for one in containers] == ["first", "proxy"]
    volumes = [one["name"] for one in made["spec"]["volumes"]]
    assert len(volumes) == 1
    assert [mount["name"] for mount in containers[1]["volumeMounts"]] == volumes


def test_parameters_are_seen_and_must_be_there(cluster):
    policy(cluster, configuration('Object{data: {"b": params.data.b}}'),
           paramKind={"apiVersion": "v1", "kind": "ConfigMap"})  # fmt: skip
    status, refused, _ = cluster.request("POST", MAPS, config_map("m"))
    assert (status, refused["reason"]) == (403, "Invalid")
    assert "no params found for policy binding with `Deny` parameterNotFoundAction" in refused["message"]
    cluster.request("DELETE", f"{GROUP}/mutatingadmissionpolicybindings/p")
    cluster.server.cache.catch_up()
    cluster.request("POST", MAPS, config_map("params", b="7"))
    reference = {"name": "params", "parameterNotFoundAction": "Deny"}
    post(cluster, "policybindings", "again", {"policyName": "p", "paramRef": reference})
    cluster.server.cache.catch_up()
    assert cluster.request("POST", MAPS, config_map("m"))[1]["data"] == {"b": "7"}


@pytest.mark.parametrize(("policy_of_first", "data"), [("Never", "1"), ("IfNeeded", "11")])
def test_a_policy_sees_again_what_a_later_one_changed_if_it_wants_to(cluster, policy_of_first, data):
    longer = configuration('Object{data: {"a": (has(object.data.a) ? object.data.a : "") + "1"}}')
    policy(cluster, longer, name="first", reinvocationPolicy=policy_of_first)
    policy(cluster, configuration('Object{data: {"b": "x"}}'), name="second")
    assert cluster.request("POST", MAPS, config_map("m"))[1]["data"] == {"a": data, "b": "x"}


REFUSALS = [
    (configuration('Object{data: {"b": object.data.z}}'), "no such key: z"),
    (configuration('Object{metadata: Object.spec{name: "x"}}'),
     'type mismatch: unexpected type name "Object.spec", expected "Object.metadata", which matches field name path from'
     " root Object type"),
    (configuration('Object{nonsense: "x"}'), "error applying patch: failed to convert patch object to typed object: "
     ".nonsense: field not declared in schema"),
    (patch('[JSONPatch{op: "replace", path: "/data/z", value: "1"}]'),
     "JSONPath: the server rejected our request due to an error in our request: the path /data/z does not exist: "
     "missing path"),
    (configuration("Object{data: variables.broken}"), 'composited variable "broken" fails to evaluate: no such key: z'),
]  # fmt: skip


@pytest.mark.parametrize(("mutation", "why"), REFUSALS, ids=[case[1][:30] for case in REFUSALS])
@pytest.mark.parametrize("failure_policy", ["Fail", "Ignore"])
def test_a_mutation_that_fails_refuses_unless_the_policy_fails_open(cluster, mutation, why, failure_policy):
    policy(cluster, mutation, failurePolicy=failure_policy,
           variables=[{"name": "broken", "expression": "object.data.z"}])  # fmt: skip
    status, answer, _ = cluster.request("POST", MAPS, config_map("m", a="1"))
    if failure_policy == "Ignore":
        assert (status, answer["data"]) == (201, {"a": "1"})
        return
    said = f"policy 'p' with binding 'p' denied request: {why}"
    assert (status, answer["reason"], answer["message"]) == (403, "Invalid", said)
    assert answer["details"] == {"name": "m", "kind": "configmaps", "causes": [{"message": said}]}


def test_whole_lists_and_maps_are_not_to_be_stated(cluster):
    text = 'Object{spec: Object.spec{nodeSelector: {"a": "b"}, tolerations: []}}'
    policy(cluster, configuration(text), rules=[rule("pods")])
    status, refused, _ = cluster.request("POST", "/api/v1/namespaces/default/pods", pod("p"))
    atomic = "may not mutate atomic arrays, maps or structs: .spec.nodeSelector, .spec.tolerations"
    assert (status, refused["message"].partition("invalid ApplyConfiguration: ")[2]) == (403, atomic)


def test_an_object_of_another_version_is_changed_in_the_version_that_rules_name(cluster):
    rules = [rule("horizontalpodautoscalers", "autoscaling")]
    policy(cluster, configuration("Object{spec: Object.spec{targetCPUUtilizationPercentage: 7}}"), rules=rules)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    body = {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    metrics = cluster.request("POST", path, body)[1]["spec"]["metrics"]
    assert [one["resource"]["target"]["averageUtilization"] for one in metrics] == [7]


WRONG = [
    ({"mutations": []}, "spec.mutations", "Required value: mutations must contain at least one item"),
    ({"mutations": [{"patchType": "x"}]}, "spec.mutations[0].patchType",
     'Unsupported value: "x": supported values: "ApplyConfiguration", "JSONPatch"'),
    ({"mutations": [{"patchType": "JSONPatch"}]}, "spec.mutations[0].jsonPatch",
     "Required value: must be specified when patchType is JSONPatch"),
    ({"mutations": [configuration("object")]}, "spec.mutations[0].applyConfiguration.expression",
     'Invalid value: "object": must evaluate to Object but got dyn'),
    ({"mutations": [patch("Object{}")]}, "spec.mutations[0].jsonPatch.expression",
     'Invalid value: "Object{}": must evaluate to list(JSONPatch) but got map(string, dyn)'),
    ({"reinvocationPolicy": "x"}, "spec.reinvocationPolicy",
     'Unsupported value: "x": supported values: "IfNeeded", "Never"'),
    ({"matchConstraints": {"resourceRules": [rule() | {"operations": ["DELETE"]}]}},
     "spec.matchConstraints.resourceRules[0].operations[0]",
     'Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE"'),
    ({"variables": [{"name": "var", "expression": "1"}]}, "spec.variables[0].name",
     'Invalid value: "var": name is not a valid CEL identifier'),
    ({"paramKind": {"apiVersion": "a/b/c", "kind": "X"}}, "spec.paramKind.apiVersion",
     'Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'),
]  # fmt: skip


def test_a_policy_that_cannot_work_is_refused(cluster):
    for wrong, field, message in WRONG:
        spec = {"matchConstraints": {"resourceRules": [rule()]}, "mutations": [configuration("Object{}")]} | wrong
        causes = post(cluster, "policies", "p", spec)["details"]["causes"]
        assert [(cause["field"], cause["message"]) for cause in causes] == [(field, message)]
    spec = {"policyName": "p", "paramRef": {"name": "a", "selector": {}}}
    causes = post(cluster, "policybindings", "b", spec)["details"]["causes"]
    assert [(cause["field"], cause["message"]) for cause in causes] == [
        ("spec.paramRef.name", "Forbidden: name and selector are mutually exclusive"),
        ("spec.paramRef.selector", "Forbidden: name and selector are mutually exclusive"),
        ("spec.paramRef.parameterNotFoundAction", "Required value"),
    ]
    assert eventually(lambda: cluster.request("GET", f"{GROUP}/mutatingadmissionpolicies")[1]["items"] == [])
