"""ValidatingAdmissionPolicy: expressions refuse, warn, take parameters, and are type-checked."""

from __future__ import annotations

from typing import Any

import pytest
from apiserver_objects import config_map, deployment
from crd_objects import eventually

pytestmark = pytest.mark.unit

GROUP = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"


def rule(resource: str = "configmaps", group: str = "") -> dict[str, Any]:
    return {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}


def policy(cluster: Any, *validations: dict[str, Any], name: str = "p", **spec: Any) -> None:
    body = {"metadata": {"name": name}, "spec": {
        "matchConstraints": {"resourceRules": [rule()]}, "validations": list(validations), **spec}}  # fmt: skip
    status, refused, _ = cluster.request("POST", f"{GROUP}/validatingadmissionpolicies", body)
    assert status == 201, refused


def bind(cluster: Any, *actions: str, name: str = "b", **spec: Any) -> None:
    body = {"metadata": {"name": name}, "spec": {"policyName": "p", "validationActions": list(actions), **spec}}
    status, refused, _ = cluster.request("POST", f"{GROUP}/validatingadmissionpolicybindings", body)
    assert status == 201, refused
    cluster.server.cache.catch_up()


def create(cluster: Any, name: str = "m", **data: str) -> tuple[int, Any, dict[str, str]]:
    return cluster.request("POST", MAPS, config_map(name, **data))


def test_a_policy_without_a_binding_does_nothing(cluster):
    policy(cluster, {"expression": "false"})
    assert create(cluster)[0] == 201


DENIED = "configmaps \"m\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "
CASES = [
    ({"expression": "object.data.a == '2'"}, 422, "Invalid", "failed expression: object.data.a == '2'"),
    ({"expression": "false", "message": "no", "reason": "Forbidden"}, 403, "Forbidden", "no"),
    ({"expression": "false", "messageExpression": "'got ' + object.data.a"}, 422, "Invalid", "got 1"),
    ({"expression": "object.data.z == ''"}, 422, "Invalid",
     "expression 'object.data.z == ''' resulted in error: no such key: z"),
    ({"expression": "variables.twice == '11x'", "message": "v"}, 422, "Invalid", "v"),
    ({"expression": "request.operation != 'CREATE'", "message": "op"}, 422, "Invalid", "op"),
    ({"expression": "namespaceObject.metadata.name == 'other'", "message": "ns"}, 422, "Invalid", "ns"),
]  # fmt: skip


@pytest.mark.parametrize(("validation", "code", "reason", "why"), CASES, ids=[case[3] for case in CASES])
def test_a_failed_validation_refuses_in_the_originals_words(cluster, validation, code, reason, why):
    policy(cluster, validation, variables=[{"name": "twice", "expression": "object.data.a + object.data.a"}])
    bind(cluster, "Deny")
    status, refused, _ = create(cluster, a="1")
    assert (status, refused["reason"], refused["message"]) == (code, reason, DENIED + why)


def test_warnings_and_the_failure_policy(cluster):
    policy(
        cluster, {"expression": "object.data.z == ''"}, {"expression": "false", "message": "hm"}, failurePolicy="Ignore"
    )
    bind(cluster, "Warn")
    status, _, headers = create(cluster)
    assert status == 201
    assert headers["Warning"] == "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': hm\""


def test_parameters_come_from_the_object_that_the_binding_names(cluster):
    create(cluster, "limits", most="3")
    policy(cluster, {"expression": "!has(object.data.n) || int(object.data.n) <= int(params.data.most)"},
           paramKind={"apiVersion": "v1", "kind": "ConfigMap"})  # fmt: skip
    reference = {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"}
    bind(cluster, "Deny", paramRef=reference)
    assert create(cluster, n="3")[0] == 201
    assert create(cluster, "more", n="4")[0] == 422
    cluster.request("DELETE", f"{MAPS}/limits")
    cluster.server.cache.catch_up()
    assert "no params found" in create(cluster, "none", n="1")[1]["message"]


def test_who_is_refused_is_still_warned_of_everything(cluster):
    policy(cluster, {"expression": "false", "message": "one"}, {"expression": "false", "message": "two"})
    bind(cluster, "Deny", name="a")
    bind(cluster, "Warn", name="b")
    status, refused, headers = create(cluster)
    assert (status, refused["message"].endswith("with binding 'a' denied request: one")) == (422, True)
    assert headers["Warning"].endswith("with binding 'b': two\"")


CONFIGURATIONS = [
    ({"apiVersion": "v1", "kind": "ConfigMap"}, {"name": "x"},
     "binding: cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"),
    ({"apiVersion": "v1", "kind": "Namespace"}, {"name": "x", "namespace": "default"},
     "binding: paramRef.namespace must not be provided for a cluster-scoped `paramKind`"),
    ({"apiVersion": "a.b/v1", "kind": "C"}, {"name": "x"},
     "policy: failed to find resource referenced by paramKind: 'a.b/v1, Kind=C'"),
    ({"apiVersion": "v1", "kind": "Namespace"}, {"name": "x"},
     "binding: no params found for policy binding with `Deny` parameterNotFoundAction"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "reference", "why"), CONFIGURATIONS)
def test_parameters_that_cannot_be_had_refuse_whatever_the_binding_says(cluster, kind, reference, why):
    policy(cluster, {"expression": "true"}, paramKind=kind, matchConstraints={"resourceRules": [rule("nodes")]})
    bind(cluster, "Warn", paramRef=reference | {"parameterNotFoundAction": "Deny"})
    status, refused, _ = cluster.request("POST", "/api/v1/nodes", {"metadata": {"name": "n"}})
    assert (status, refused["message"].endswith(f"denied request: failed to configure {why}")) == (422, True), refused


def test_a_binding_may_be_about_less_than_its_policy(cluster):
    policy(cluster, {"expression": "false"})
    bind(cluster, "Deny", matchResources={"objectSelector": {"matchLabels": {"judge": "me"}}})
    assert create(cluster)[0] == 201
    judged = config_map("judged")
    judged["metadata"]["labels"] = {"judge": "me"}
    assert cluster.request("POST", MAPS, judged)[0] == 422


def test_expressions_are_type_checked_against_the_kinds_that_rules_name(cluster):
    policy(
        cluster,
        {"expression": "object.spec.replicas > 1"},
        {"expression": "object.spec.replicas > '1'"},
        {"expression": "object.spec.maxRetries > 0"},
        matchConstraints={"resourceRules": [rule("deployments", "apps")]},
    )
    path = f"{GROUP}/validatingadmissionpolicies/p"
    status = eventually(lambda: cluster.request("GET", path)[1].get("status", {}).get("observedGeneration") and
                        cluster.request("GET", path)[1]["status"])  # fmt: skip
    first, second = status["typeChecking"]["expressionWarnings"]
    assert (first["fieldRef"], second["fieldRef"]) == (
        "spec.validations[1].expression",
        "spec.validations[2].expression",
    )
    assert first["warning"].startswith("apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload")
    assert "undefined field 'maxRetries'" in second["warning"]
    bind(cluster, "Deny")
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    assert cluster.request("POST", deployments, deployment("d", replicas=1))[0] == 422


@pytest.mark.parametrize("expression", ["object.", "1 + 'a'", "nonsense"])
def test_an_expression_that_cannot_be_compiled_is_refused(cluster, expression):
    body = {"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [rule()]}, "validations": [{"expression": expression}]}}  # fmt: skip
    status, refused, _ = cluster.request("POST", f"{GROUP}/validatingadmissionpolicies", body)
    assert (status, refused["details"]["causes"][0]["field"]) == (422, "spec.validations[0].expression")
    assert "compilation failed" in refused["message"]
