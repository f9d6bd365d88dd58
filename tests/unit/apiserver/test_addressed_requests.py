"""Where a request is addressed to, and which options it may carry: what does not go together is refused first."""

from __future__ import annotations

import pytest
from apiserver_objects import config_map, pod

pytestmark = pytest.mark.unit

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}
WRONG = 'PatchOptions.meta.k8s.io "" is invalid: '


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v1/pods"), ("DELETE", "/api/v1/configmaps")])
def test_only_reading_goes_across_namespaces(cluster, method, path):
    cluster.request("POST", MAPS, config_map("stays"))
    body = pod("p") if method == "POST" else None
    status, refused, _ = cluster.request(method, path, body)
    assert (status, refused["reason"]) == (405, "MethodNotAllowed")
    assert cluster.request("GET", f"{MAPS}/stays")[0] == 200


def test_a_namespace_in_an_object_that_is_in_none_is_passed_over(cluster):
    role = {"metadata": {"name": "r", "namespace": "default"}, "rules": []}
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    status, made, _ = cluster.request("POST", path, role)
    assert (status, "namespace" in made["metadata"]) == (201, False)
    assert cluster.request("PUT", f"{path}/r", role)[0] == 200
    patch = {"metadata": {"namespace": "default", "labels": {"a": "b"}}}
    assert cluster.request("PATCH", f"{path}/r", patch, MERGE)[0] == 200


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({}, "the name of the object (a based on URL) was undeterminable: name must be provided"),
        ({"name": "b"}, "the name of the object (b) does not match the name on the URL (a)"),
    ],
)
def test_an_object_that_replaces_another_says_which(cluster, metadata, sentence):
    for _ in range(2):
        status, refused, _ = cluster.request("PUT", f"{MAPS}/a", {"metadata": metadata})
        assert (status, refused["message"]) == (400, sentence)
        cluster.request("POST", MAPS, config_map("a"))


@pytest.mark.parametrize(
    ("method", "query", "sentence"),
    [
        ("PATCH", "force=true", f"{WRONG}force: Forbidden: may not be specified for non-apply patch"),
        ("PATCH", "fieldManager=a%01b",
         f'{WRONG}fieldManager: Invalid value: "a\\u0001b": should only contain printable characters'),
        ("DELETE", "dryRun=No",
         'DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["No"]: supported values: "All"'),
    ],
)  # fmt: skip
def test_options_that_do_not_exist_are_refused_before_the_object_is_looked_for(cluster, method, query, sentence):
    status, refused, _ = cluster.request(method, f"{MAPS}/none?{query}", {}, MERGE if method == "PATCH" else {})
    assert (status, refused["message"]) == (422, sentence)
