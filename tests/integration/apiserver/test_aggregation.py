"""APIServices: local ones are always there; an add-on's group is discovered, and requests for it handed on."""

from __future__ import annotations

from typing import Any

import pytest
from crd_objects import eventually
from webhook_server import webhook_server

from api.objects import condition
from control.apiserver.identity import AUTHENTICATED_GROUP, MASTERS_GROUP, User

pytestmark = pytest.mark.integration

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
METRICS = "/apis/metrics.k8s.io/v1beta1"
AGGREGATED = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
POD = "io.k8s.api.core.v1.Pod"
RESOURCES = {
    "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1",
    "resources": [{"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get"]}],
}  # fmt: skip


@pytest.fixture
def addon(tmp_path):
    with webhook_server(tmp_path) as made:
        made.documents[METRICS] = RESOURCES
        made.documents[f"{METRICS}/pods"] = {"kind": "PodMetricsList", "items": []}
        yield made


def available(cluster: Any, name: str) -> Any:
    status, found, _ = cluster.request("GET", f"{SERVICES}/{name}")
    return condition(found, "Available") if status == 200 else None


def register(cluster: Any, addon: Any) -> None:
    spec = {"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"name": "hook", "namespace": "default"}, "caBundle": addon.ca_bundle}  # fmt: skip
    body = {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": spec}
    status, refused, _ = cluster.request("POST", SERVICES, body)
    assert status == 201, refused


def serve_addon(cluster: Any, addon: Any) -> None:
    port = {"name": "", "port": addon.port, "protocol": "TCP"}
    service = {"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443, "targetPort": addon.port}]}}
    assert cluster.request("POST", "/api/v1/namespaces/default/services", service)[0] == 201
    labels = {"kubernetes.io/service-name": "hook"}
    metadata = {"name": "hook-1", "namespace": "default", "labels": labels}
    body = {"metadata": metadata, "addressType": "IPv4", "ports": [port], "endpoints": [{"addresses": ["127.0.0.1"]}]}
    made = cluster.server.endpoint("discovery.k8s.io", "v1", "endpointslices")
    cluster.server.storage.create(made.key("default", "hook-1"), body)


def test_local_groups_have_services_that_are_always_available(cluster):
    found = eventually(lambda: available(cluster, "v1.apps"))
    assert (found["status"], found["reason"]) == ("True", "Local")
    labels = cluster.request("GET", f"{SERVICES}/v1.")[1]["metadata"]["labels"]
    assert labels == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}


def test_an_addon_is_asked_discovered_and_reached_with_the_users_identity(cluster, addon):
    register(cluster, addon)
    found = eventually(lambda: available(cluster, "v1beta1.metrics.k8s.io"))
    assert (found["status"], found["reason"]) == ("False", "ServiceNotFound")
    refused = cluster.request("GET", f"{METRICS}/pods")
    assert refused[:2] == (503, b"service unavailable\n")
    assert refused[2]["Content-Type"] == "text/plain; charset=utf-8"
    serve_addon(cluster, addon)
    # Any change makes the controller look again.
    cluster.request("PATCH", f"{SERVICES}/v1beta1.metrics.k8s.io", {"metadata": {"labels": {"look": "now"}}},
                    {"Content-Type": "application/merge-patch+json"})  # fmt: skip
    eventually(lambda: available(cluster, "v1beta1.metrics.k8s.io")["status"] == "True")
    cluster.server.cache.catch_up()
    assert "metrics.k8s.io" in {group["name"] for group in cluster.request("GET", "/apis")[1]["groups"]}
    items = cluster.raw("GET", "/apis", AGGREGATED)["items"]
    (group,) = [item for item in items if item["metadata"]["name"] == "metrics.k8s.io"]
    assert group["versions"][0]["resources"][0]["responseKind"]["kind"] == "PodMetrics"
    assert cluster.request("GET", METRICS)[1] == RESOURCES
    user = User("jane", (MASTERS_GROUP, "dev", AUTHENTICATED_GROUP), extra={"scopes": ("a", "b")})
    headers = {"X-Remote-User": "root", "Authorization": "Bearer secret"}
    status, body, _ = cluster.request("GET", f"{METRICS}/pods?limit=1", None, headers, user)
    assert (status, body["kind"]) == (200, "PodMetricsList")
    path, seen = addon.heads[-1]
    assert path == f"{METRICS}/pods?limit=1"
    assert (seen.get_all("X-Remote-User"), seen.get("Authorization")) == (["jane"], None)
    assert seen.get_all("X-Remote-Group") == [MASTERS_GROUP, "dev", AUTHENTICATED_GROUP]
    assert seen.get_all("X-Remote-Extra-scopes") == ["a", "b"]


PODS = {"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/PodMetricsList"}}}}}
DOCUMENT = {
    "swagger": "2.0", "info": {"title": "metrics", "version": "1"},
    "paths": {f"{METRICS}/pods": PODS, "/apis/other.example.com/v1/pods": PODS, "/healthz": {}},
    "definitions": {
        "PodMetricsList": {"properties": {"items": {"items": {"$ref": f"#/definitions/{POD}"}}}},
        POD: {"description": "not the one of this server"}, "Unused": {},
    },
}  # fmt: skip


def test_what_an_addon_says_of_its_api_is_part_of_the_documents(cluster, addon):
    link = f"/openapi/v3{METRICS}?hash=abc"
    addon.documents["/openapi/v3"] = {"paths": {METRICS[1:]: {"serverRelativeURL": link}}}
    addon.documents[f"/openapi/v3{METRICS}"] = {"openapi": "3.0.0", "paths": {}}
    addon.documents["/openapi/v2"] = DOCUMENT
    serve_addon(cluster, addon)
    register(cluster, addon)
    eventually(lambda: (available(cluster, "v1beta1.metrics.k8s.io") or {}).get("status") == "True")
    cluster.server.cache.catch_up()
    index = cluster.request("GET", "/openapi/v3")[1]["paths"]
    assert index[METRICS[1:]] == {"serverRelativeURL": link}
    assert cluster.request("GET", link)[1] == {"openapi": "3.0.0", "paths": {}}
    assert addon.heads[-1][0] == link
    document = cluster.request("GET", "/openapi/v2")[1]
    assert document["paths"][f"{METRICS}/pods"] == PODS
    assert {"/healthz", "/apis/other.example.com/v1/pods"} & set(document["paths"]) == set()
    items = document["definitions"]["PodMetricsList"]["properties"]["items"]["items"]
    assert document["definitions"][items["$ref"].removeprefix("#/definitions/")]["description"].startswith("not the")
    assert document["definitions"][POD]["description"].startswith("Pod is")
    assert "Unused" not in document["definitions"]
    cluster.request("DELETE", f"{SERVICES}/v1beta1.metrics.k8s.io")
    cluster.server.cache.catch_up()
    assert cluster.request("GET", "/openapi/v3")[1]["paths"][METRICS[1:]] != {"serverRelativeURL": link}
    assert cluster.request("GET", "/openapi/v2")[1]["paths"][f"{METRICS}/pods"] != PODS


def test_an_addon_that_describes_itself_in_version_2_only_is_in_version_3_too(cluster, addon):
    addon.documents["/openapi/v2"] = DOCUMENT
    serve_addon(cluster, addon)
    register(cluster, addon)
    eventually(lambda: (available(cluster, "v1beta1.metrics.k8s.io") or {}).get("status") == "True")
    cluster.server.cache.catch_up()
    link = cluster.request("GET", "/openapi/v3")[1]["paths"][METRICS[1:]]["serverRelativeURL"]
    document = cluster.request("GET", link)[1]
    assert (document["openapi"], set(document["paths"])) == ("3.0.0", {f"{METRICS}/pods"})
    answer = document["paths"][f"{METRICS}/pods"]["get"]["responses"]["200"]["content"]["application/json"]
    assert answer == {"schema": {"$ref": "#/components/schemas/PodMetricsList"}}
    assert set(document["components"]["schemas"]) == {"PodMetricsList", POD}


def test_what_delegated_authentication_reads_is_there(cluster):
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    data = cluster.request("GET", path)[1]["data"]
    assert data["requestheader-username-headers"] == '["X-Remote-User"]'
