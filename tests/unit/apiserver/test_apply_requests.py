"""Server-side apply over the wire: what a configuration must be, and applying the scale of a workload."""

from __future__ import annotations

from typing import Any

import pytest
from apiserver_objects import deployment
from crd_objects import WIDGETS, schema, serve, version, widget, widgets

pytestmark = pytest.mark.unit

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MEDIA = {"Content-Type": "application/apply-patch+yaml"}


def applied(cluster: Any, path: str, body: Any, manager: str = "me", **more: str) -> tuple[int, Any]:
    query = "&".join(f"{key}={value}" for key, value in {"fieldManager": manager, **more}.items())
    return cluster.request("PATCH", f"{path}?{query}", body, MEDIA)[:2]


def with_spec(**spec: Any) -> Any:
    made = deployment("d")
    return made | {"spec": made["spec"] | spec}


def with_pod(**spec: Any) -> Any:
    return with_spec(template={"metadata": {"labels": {"app": "d"}}, "spec": spec})


CONTAINERS = ".spec.template.spec.containers"
MISFITS = [
    (with_spec(replicas="2"), ".spec.replicas: expected numeric (int or float), got string"),
    (with_spec(paused="yes"), ".spec.paused: expected boolean, got &{yes}"),
    (with_spec(selector=None, strategy=[1]), ".spec.strategy: expected map, got &{[1]}"),
    (with_pod(nodeName=3), ".spec.template.spec.nodeName: expected string, got &value.valueUnstructured{Value:3}"),
    (with_pod(containers={"a": "b"}), f"{CONTAINERS}: expected list, got &{{map[a:b]}}"),
    (with_pod(containers=[{"image": "i"}]),
     f'{CONTAINERS}: element 0: associative list with keys has an element that omits key field "name" '
     "(and doesn't have default value)"),
    (with_pod(containers=[{"name": "a"}, {"name": "a"}]), f'{CONTAINERS}: duplicate entries for key [name="a"]'),
    (with_spec(replicas="2", paused=1),
     "errors:\n  .spec.replicas: expected numeric (int or float), got string\n"
     "  .spec.paused: expected boolean, got &{1}"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "sentence"), MISFITS, ids=[case[1][:50] for case in MISFITS])
def test_a_configuration_that_does_not_fit_is_refused_in_the_originals_words(cluster, body, sentence):
    status, refused = applied(cluster, f"{DEPLOYMENTS}/d", body)
    assert refused["message"] == (
        f"failed to create typed patch object (default/d; apps/v1, Kind=Deployment): {sentence}"
    )
    assert (status, "reason" in refused) == (500, False)


def test_keys_of_lists_may_be_left_to_their_defaults(cluster):
    part = {"type": "object", "required": ["id"],
            "properties": {"id": {"type": "string"}, "side": {"type": "string", "default": "left"}}}  # fmt: skip
    parts = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id", "side"]}
    serve(cluster, widgets(version(schema=schema(parts=parts | {"items": part}))))
    assert applied(cluster, f"{WIDGETS}/w", widget() | {"parts": [{"id": "a"}]})[0] == 201
    status, refused = applied(cluster, f"{WIDGETS}/w", widget() | {"parts": [{"side": "left"}]})
    assert (status, 'omits key field "id"' in refused["message"]) == (500, True)


def test_what_no_schema_describes_may_be_anything(cluster):
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    serve(cluster, widgets(version(schema={"openAPIV3Schema": anything}, subresources={})))
    status, made = applied(cluster, f"{WIDGETS}/w", widget() | {"text": "a", "list": [{"a": 1}], "map": {"b": [2]}})
    assert (status, made["list"], made["map"]) == (201, [{"a": 1}], {"b": [2]})
    owned = made["metadata"]["managedFields"][0]["fieldsV1"]
    assert (owned["f:text"], owned["f:list"], owned["f:map"]) == ({}, {}, {".": {}, "f:b": {}})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "invalid object type: /, Kind="),
        ({"apiVersion": "v1", "kind": "Deployment"}, "invalid object type: /v1, Kind=Deployment"),
        ({"apiVersion": "apps/v1", "kind": "ReplicaSet"}, "invalid object type: apps/v1, Kind=ReplicaSet"),
    ],
)
def test_a_configuration_says_itself_what_it_is(cluster, given, sentence):
    status, refused = applied(cluster, f"{DEPLOYMENTS}/d", given | {"metadata": {"name": "d"}})
    assert (status, refused["message"]) == (400, sentence)


def scale(replicas: int) -> Any:
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": replicas}}


def test_a_scale_is_applied_and_held_by_who_applied_it(cluster):
    applied(cluster, f"{DEPLOYMENTS}/d", with_spec(replicas=1), "owner")
    status, refused = applied(cluster, f"{DEPLOYMENTS}/d/scale", scale(4), "scaler")
    assert (status, refused["details"]["causes"][0]["field"]) == (409, ".spec.replicas")
    status, found = applied(cluster, f"{DEPLOYMENTS}/d/scale", scale(4), "scaler", force="true")
    assert (status, found["kind"], found["spec"]) == (200, "Scale", {"replicas": 4})
    made = cluster.request("GET", f"{DEPLOYMENTS}/d")[1]
    held = {entry["manager"]: entry for entry in made["metadata"]["managedFields"]}
    assert made["spec"]["replicas"] == 4
    assert "f:replicas" not in held["owner"]["fieldsV1"]["f:spec"]
    scaler = held["scaler"]
    assert (scaler["fieldsV1"], scaler["subresource"]) == ({"f:spec": {"f:replicas": {}}}, "scale")
    assert (scaler["operation"], scaler["apiVersion"]) == ("Apply", "apps/v1")
    assert applied(cluster, f"{DEPLOYMENTS}/d/scale", scale(4) | {"kind": "Deployment"}, "scaler")[0] == 400


def test_the_scale_of_a_custom_resource_is_applied_where_its_definition_has_it(cluster):
    serve(cluster, widgets())
    cluster.request("POST", WIDGETS, widget(size=2))
    body = scale(5) | {"metadata": {"name": "w"}}
    status, found = applied(cluster, f"{WIDGETS}/w/scale", body, "scaler", force="true")
    assert (status, found["spec"]) == (200, {"replicas": 5})
    assert cluster.request("GET", f"{WIDGETS}/w")[1]["spec"]["size"] == 5


def test_an_item_goes_with_who_stated_it_whatever_others_set_in_it(cluster):
    path = f"{DEPLOYMENTS}/d"
    containers = [{"name": name, "image": "web:1"} for name in ("a", "b")]
    applied(cluster, path, with_pod(containers=containers[:1]))
    made = cluster.request("GET", path)[1]
    made["spec"]["template"]["spec"]["containers"][0]["workingDir"] = "/w"
    assert cluster.request("PUT", f"{path}?fieldManager=you", made)[0] == 200
    status, found = applied(cluster, path, with_pod(containers=containers[1:]))
    assert (status, [one["name"] for one in found["spec"]["template"]["spec"]["containers"]]) == (200, ["b"])


def managers(obj: Any) -> list[str]:
    return [entry["manager"] for entry in obj["metadata"].get("managedFields") or []]


@pytest.mark.parametrize("nobody", [[], [{}]])
def test_an_empty_list_of_managers_ends_tracking(cluster, nobody):
    path = f"{DEPLOYMENTS}/d"
    made = applied(cluster, path, deployment("d"))[1]
    assert managers(made) == ["me"]
    made["metadata"] |= {"managedFields": nobody, "labels": {"a": "b"}}
    assert managers(cluster.request("PUT", path, made)[1]) == []
    merge = {"Content-Type": "application/merge-patch+json"}
    changed = cluster.request("PATCH", path, {"metadata": {"labels": {"a": "c"}, "managedFields": nobody}}, merge)[1]
    assert "managedFields" not in changed["metadata"]


def test_a_subresource_does_not_say_who_manages_what(cluster):
    path = f"{DEPLOYMENTS}/d"
    made = applied(cluster, path, deployment("d"))[1]
    made["metadata"]["managedFields"][0]["manager"] = "you"
    made["status"] = {"replicas": 0, "observedGeneration": 1}
    assert managers(cluster.request("PUT", f"{path}/status?fieldManager=it", made)[1]) == ["me", "it"]


def test_what_one_manager_says_of_a_custom_resources_metadata_stays_when_another_applies(cluster):
    serve(cluster, widgets())
    path = f"{WIDGETS}/shared"
    mine, others = {"labels": {"a": "1"}, "finalizers": ["x.io/f"]}, {"labels": {"b": "1"}, "annotations": {"c": "1"}}
    assert applied(cluster, path, _with_metadata(mine), "me")[0] == 201
    status, shared = applied(cluster, path, _with_metadata(others), "you")
    assert status == 200
    assert shared["metadata"]["labels"] == {"a": "1", "b": "1"}
    assert (shared["metadata"]["finalizers"], shared["metadata"]["annotations"]) == (["x.io/f"], {"c": "1"})
    status, refused = applied(cluster, path, _with_metadata({"labels": {"b": "2"}}), "me")
    assert (status, refused["details"]["causes"][0]["field"]) == (409, ".metadata.labels.b")
    left = applied(cluster, path, _with_metadata({}), "me")[1]["metadata"]
    assert left["labels"] == {"b": "1"}
    assert "finalizers" not in left


def _with_metadata(metadata: Any) -> Any:
    made = widget("shared")
    return made | {"metadata": made["metadata"] | metadata}
