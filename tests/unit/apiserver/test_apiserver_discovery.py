"""Discovery, OpenAPI, and how refusals look."""

from __future__ import annotations

import orjson
import pytest
from apiserver_objects import config_map

pytestmark = pytest.mark.unit


def test_every_served_resource_is_discovered(cluster):
    found = set()
    for group, versions in cluster.server.registry.groups().items():
        for version in versions:
            path = f"/apis/{group}/{version}" if group else f"/api/{version}"
            status, body, _ = cluster.request("GET", path)
            assert (status, body["kind"]) == (200, "APIResourceList")
            found |= {(group, version, resource["name"]) for resource in body["resources"]}
    served = {
        (entry.resource.group, entry.resource.version, name)
        for entry in cluster.server.registry.entries()
        for name in (entry.resource.plural, *(f"{entry.resource.plural}/{sub}" for sub in entry.subresources))
    }
    assert found == served


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery_is_cacheable(cluster, path):
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
    status, body, headers = cluster.request("GET", path, headers=accept)
    assert status == 200
    assert orjson.loads(body)["kind"] == "APIGroupDiscoveryList"
    again = cluster.request("GET", path, headers=accept | {"If-None-Match": headers["Etag"]})
    assert again[0] == 304


def test_openapi_documents_are_closed_under_reference(cluster):
    _, index, _ = cluster.request("GET", "/openapi/v3")
    assert "apis/apps/v1" in index["paths"]
    for entry in index["paths"].values():
        _, document, _ = cluster.request("GET", entry["serverRelativeURL"])
        schemas = document["components"]["schemas"]
        text = orjson.dumps(document).decode()
        links = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
        assert links <= set(schemas)


@pytest.mark.parametrize("path", ["/openapi/v2", "/openapi/v3/api/v1", "/openapi/v3/apis/apps/v1"])
def test_every_parameter_of_a_query_is_described(cluster, path):
    _, document, _ = cluster.request("GET", path)
    asked = [
        parameter
        for methods in document["paths"].values()
        for operation in methods.values()
        for parameter in operation["parameters"]
        if parameter["in"] != "body"
    ]
    assert {parameter["name"] for parameter in asked} >= {"namespace", "labelSelector", "dryRun", "force"}
    assert not {parameter["name"] for parameter in asked if not parameter.get("description")}


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("POST", "/api/v1/namespaces/default/configmaps/a", 405, "MethodNotAllowed"),
        ("PUT", "/api/v1/namespaces/default/configmaps", 405, "MethodNotAllowed"),
        ("GET", "/api/v1/namespaces/default/configmaps?limit=x", 400, "BadRequest"),
        ("GET", "/api/v1/namespaces/default/configmaps?labelSelector=a,,b", 400, "BadRequest"),
    ],
)
def test_refusals_have_status_and_reason(cluster, method, path, status, reason):
    found, body, _ = cluster.request(method, path, config_map("a") if method != "GET" else None)
    assert (found, body["kind"], body["reason"], body["code"]) == (status, "Status", reason, status)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"metadata": 3}',
        b'{"metadata": {"name": 5}}',
        b'{"kind": "Pod", "apiVersion": "v1"}',
        b'{"kind": "ConfigMap", "apiVersion": "v2"}',
        b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": []}',
        b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "labels": 5}}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"k8s\x00\x01",
    ],
)
@pytest.mark.parametrize("media", ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"])
def test_a_malformed_body_is_the_clients_fault(cluster, content, media):
    path = "/api/v1/namespaces/default/configmaps"
    status, body, _ = cluster.request("POST", path, content, {"Content-Type": media})
    assert 400 <= status < 500, body
    assert body["kind"] == "Status"


def test_a_body_over_the_limit_is_too_large(cluster):
    path = "/api/v1/namespaces/default/configmaps"
    status, body, _ = cluster.request("POST", path, b" " * (3 * 1024 * 1024 + 1))
    assert (status, body["reason"]) == (413, "RequestEntityTooLarge")


def test_a_refusal_is_compact_json_with_a_newline(cluster):
    from api.transport import Request

    admin = cluster.client().transport
    text = admin.send(Request("GET", "/api/v1/namespaces/default/configmaps/nope")).read()
    assert text == (
        b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
        b'"message":"configmaps \\"nope\\" not found","reason":"NotFound",'
        b'"details":{"name":"nope","kind":"configmaps"},"code":404}\n'
    )
