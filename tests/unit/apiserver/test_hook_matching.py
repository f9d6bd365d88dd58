"""Which operations a webhook or a policy is about."""

from __future__ import annotations

from typing import Any

import pytest
from apiserver_objects import config_map
from crd_objects import serve, version, widgets

from control.apiserver.admission.matching import Match
from control.apiserver.identity import User
from control.apiserver.operation import CONNECT, CREATE, DELETE, UPDATE, Operation

pytestmark = pytest.mark.unit

ANY = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
PODS, NODES, DEPLOYMENTS = ("", "v1", "pods"), ("", "v1", "nodes"), ("apps", "v1", "deployments")
NAMESPACES, POLICIES = ("", "v1", "namespaces"), ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies")

# What differs from a rule about everything, the address and the subresource asked for, the verb, and what is meant.
RULES: list[tuple[dict[str, Any], tuple[str, str, str], str, str, bool]] = [
    ({}, PODS, "", CREATE, True),
    ({}, POLICIES, "", CREATE, False),
    ({"apiGroups": ["apps", "batch"]}, DEPLOYMENTS, "", CREATE, True),
    ({"apiGroups": ["apps", "batch"]}, PODS, "", CREATE, False),
    ({"apiVersions": ["v2"]}, PODS, "", CREATE, False),
    ({"operations": ["UPDATE", "DELETE"]}, PODS, "", DELETE, True),
    ({"operations": ["UPDATE", "DELETE"]}, PODS, "", CREATE, False),
    ({"operations": ["CONNECT"]}, PODS, "exec", CONNECT, False),
    ({"operations": ["CONNECT"], "resources": ["pods/exec"]}, PODS, "exec", CONNECT, True),
    ({"resources": ["*"]}, PODS, "status", UPDATE, False),
    ({"resources": ["pods/*"]}, PODS, "", CREATE, True),
    ({"resources": ["pods/*"]}, PODS, "status", UPDATE, True),
    ({"resources": ["pods/*"]}, NODES, "status", UPDATE, False),
    ({"resources": ["*/status"]}, NODES, "status", UPDATE, True),
    ({"resources": ["*/status"]}, NODES, "", UPDATE, False),
    ({"resources": ["*/*"]}, DEPLOYMENTS, "scale", UPDATE, True),
    ({"scope": "Namespaced"}, PODS, "", CREATE, True),
    ({"scope": "Namespaced"}, NAMESPACES, "", CREATE, False),
    ({"scope": "Cluster"}, NAMESPACES, "", CREATE, True),
    ({"scope": "Cluster"}, PODS, "", CREATE, False),
    ({"scope": "*"}, NODES, "", CREATE, True),
]  # fmt: skip


def operation(cluster: Any, address: tuple[str, str, str], subresource: str = "", verb: str = CREATE) -> Operation:
    endpoint = cluster.server.endpoint(*address)
    return Operation(cluster.server, endpoint, verb, User("a"), "default", "x", subresource)


def test_rules_name_operations_groups_versions_resources_and_scopes(cluster):
    for change, address, subresource, verb, meant in RULES:
        match = Match.from_json({"rules": [ANY | change]})
        found = match.find(operation(cluster, address, subresource, verb), {}, None)
        assert (found is not None) == meant, (change, address, subresource, verb)


def test_a_webhook_without_rules_is_about_nothing_and_a_policy_about_everything(cluster):
    asked = operation(cluster, PODS)
    assert Match.from_json({"rules": []}).find(asked, {}, None) is None
    assert Match.from_json({"resourceRules": []}, "resourceRules").find(asked, {}, None) is asked.endpoint
    excluded = {"excludeResourceRules": [ANY]}
    assert Match.from_json(excluded, "resourceRules").find(asked, {}, None) is None


def test_labels_are_those_of_what_has_some(cluster):
    selector = {"rules": [ANY | {"resources": ["*/*"]}], "objectSelector": {"matchLabels": {"a": "b"}}}
    match, plain, labelled = Match.from_json(selector), config_map("m"), config_map("m")
    labelled["metadata"]["labels"] = {"a": "b"}
    asked = operation(cluster, ("", "v1", "configmaps"), "", UPDATE)
    for new, old, meant in ((plain, plain, False), (plain, labelled, True), (labelled, plain, True)):
        assert (match.find(asked, new, old) is not None) == meant
    options = {"kind": "PodExecOptions", "apiVersion": "v1", "command": ["ls"]}
    assert match.find(operation(cluster, PODS, "exec", CONNECT), options, None) is None


def test_the_first_rule_about_another_version_decides_which_one_is_spoken(cluster):
    serve(cluster, widgets(version("v1"), version("v2", storage=False), version("v3", storage=False)))
    rules = [ANY | {"apiVersions": [one]} for one in ("v2", "v1")]
    match = Match.from_json({"rules": rules})
    for asked, spoken in (("v3", "v2"), ("v1", "v1"), ("v2", "v2")):
        found = match.find(operation(cluster, ("example.com", asked, "widgets")), {}, None)
        assert found is not None
        assert found.entry.resource.version == spoken
    exact = Match.from_json({"rules": rules, "matchPolicy": "Exact"})
    assert exact.find(operation(cluster, ("example.com", "v3", "widgets")), {}, None) is None
