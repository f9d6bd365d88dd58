"""The described operations, held against the official client, which was generated from the original's document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import kubernetes.client
import pytest
from apiserver_in_process import Cluster, running
from crd_objects import serve, widgets

from control.apiserver.openapi import converting

pytestmark = pytest.mark.unit

NOT_SERVED = re.compile("pod_certificate_request")
POD = "/api/v1/namespaces/{namespace}/pods/{name}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server that serves a custom resource as well."""
    with running() as made:
        serve(made, widgets())
        yield made


@pytest.fixture(scope="module")
def paths(cluster: Cluster) -> Any:
    """The paths of the document of version 2."""
    return cluster.request("GET", "/openapi/v2")[1]["paths"]


def snake(text: str) -> str:
    text = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", text)
    return re.sub(r"([a-z\d])([A-Z])", r"\1_\2", text).lower()


def classes(paths: Any) -> dict[str, set[str]]:
    """The methods of each class that a generator makes."""
    found: dict[str, set[str]] = {}
    for operations in paths.values():
        for operation in operations.values():
            (tag,) = operation["tags"]
            name = "".join(part[:1].upper() + part[1:] for part in tag.split("_"))
            found.setdefault(f"{name}Api", set()).add(snake(operation["operationId"].replace(name, "", 1)))
    return found


def test_a_generated_client_has_the_classes_and_methods_of_the_official_one(paths):
    for name, methods in classes(paths).items():
        official = getattr(kubernetes.client, name, None)
        if official is None:
            assert name in ("MetricsV1beta1Api", "ExampleComV1Api")
            continue
        theirs = {one for one in vars(official) if not one.startswith("_") and not one.endswith("_with_http_info")}
        assert {one for one in theirs ^ methods if not NOT_SERVED.search(one)} <= {"get_api_resources", "close"}, name


def test_an_operation_tells_what_it_does_takes_and_answers(paths):
    delete, read, exec_ = paths[POD]["delete"], paths[POD]["get"], paths[f"{POD}/exec"]["post"]
    assert (read["description"], read["tags"]) == ("read the specified Pod", ["core_v1"])
    assert delete["description"] == "delete a Pod"
    assert set(delete["responses"]) == {"200", "202", "401"}
    assert delete["responses"]["200"]["schema"] == {"$ref": "#/definitions/io.k8s.api.core.v1.Pod"}
    (body,) = [parameter for parameter in delete["parameters"] if parameter["in"] == "body"]
    assert "required" not in body
    assert (exec_["x-kubernetes-action"], exec_["operationId"]) == ("connect", "connectPostCoreV1NamespacedPodExec")
    assert {"command", "container", "tty"} < {parameter["name"] for parameter in exec_["parameters"]}
    assert exec_["responses"]["200"]["schema"] == {"type": "string"}
    assert paths[f"{POD}/proxy/{{path}}"]["get"]["description"] == "connect GET requests to proxy of Pod"
    assert paths[f"{POD}/log"]["get"]["produces"][0] == "text/plain"
    widgets_path = "/apis/example.com/v1/namespaces/{namespace}/widgets"
    assert paths[widgets_path]["post"]["operationId"] == "createExampleComV1NamespacedWidget"


def test_version_3_says_the_same(cluster, paths):
    document = cluster.request("GET", "/openapi/v3/api/v1")[1]
    for path in (POD, f"{POD}/log", f"{POD}/exec"):
        for method, operation in document["paths"][path].items():
            for word in ("description", "operationId", "tags", "x-kubernetes-action"):
                assert operation[word] == paths[path][method][word]
            assert set(operation["responses"]) == set(paths[path][method]["responses"])


def test_what_an_add_on_wrote_in_a_wrong_place_is_left_out():
    odd = {"parameters": ["x"], "responses": [], "consumes": "y", "produces": [1, "a/b"]}
    document = {"paths": {"/a": "b", "/c": {"get": odd, "parameters": {}}}, "definitions": {"D": 1}, "consumes": 3}
    assert converting.version_3(document) == {
        "openapi": "3.0.0",
        "info": {},
        "paths": {"/c": {"get": {"responses": {}}}},
        "components": {"schemas": {}},
    }


def test_version_2_in_the_words_of_version_3():
    body = {"name": "body", "in": "body", "required": True, "schema": {"$ref": "#/definitions/A"}}
    limit = {"name": "limit", "in": "query", "type": "integer", "uniqueItems": True, "description": "how many"}
    operation = {"operationId": "make", "consumes": ["a/b"], "schemes": ["https"], "parameters": [body, limit],
                 "responses": {"200": {"description": "OK", "schema": {"items": {"$ref": "#/definitions/A"}}},
                               "401": {"description": "No"}}}  # fmt: skip
    path = {"name": "name", "in": "path", "required": True, "type": "string"}
    document = {"info": {"title": "t"}, "produces": ["c/d"], "definitions": {"A": {"type": "object"}},
                "paths": {"/x": {"post": operation, "parameters": [path]}}}  # fmt: skip
    link = {"$ref": "#/components/schemas/A"}
    query = {"name": "limit", "in": "query", "description": "how many"}
    made = {
        "operationId": "make",
        "requestBody": {"required": True, "content": {"a/b": {"schema": link}}},
        "parameters": [query | {"schema": {"type": "integer", "uniqueItems": True}}],
        "responses": {
            "200": {"description": "OK", "content": {"c/d": {"schema": {"items": link}}}},
            "401": {"description": "No"},
        },
    }
    shared = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    assert converting.version_3(document) == {
        "openapi": "3.0.0",
        "info": {"title": "t"},
        "paths": {"/x": {"post": made, "parameters": [shared]}},
        "components": {"schemas": {"A": {"type": "object"}}},
    }
