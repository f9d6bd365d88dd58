"""CustomResourceDefinitions end to end: established, served in every way that built-in resources are, cleaned up."""

from __future__ import annotations

import pytest
from crd_objects import CRDS, SPEC, WIDGETS, eventually, schema, serve, version, widget, widgets

from api.custom.structure import PRESERVE
from api.objects import condition, is_true
from api.resources import find
from control.apiserver.storage import LARGEST_OBJECT, _encoded

pytestmark = pytest.mark.unit

MERGE = {"Content-Type": "application/merge-patch+json"}
LIST = {"type": "array", "items": {"type": "object"}, PRESERVE: True}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def test_a_definition_is_established_and_told_by_discovery(cluster):
    made = serve(cluster, widgets())
    assert made["status"]["acceptedNames"]["singular"] == "widget"
    assert made["status"]["storedVersions"] == ["v1"]
    assert {one["manager"] for one in made["metadata"]["managedFields"]} == {"unknown", "kube-apiserver"}
    names = {one["name"]: one for one in cluster.request("GET", "/apis/example.com/v1")[1]["resources"]}
    assert set(names) == {"widgets", "widgets/status", "widgets/scale"}
    assert names["widgets"]["shortNames"] == ["wg"]
    assert names["widgets"]["categories"] == ["all"]
    groups = {group["name"]: group for group in cluster.request("GET", "/apis")[1]["groups"]}
    assert groups["example.com"]["preferredVersion"]["version"] == "v1"


def test_the_group_prefers_its_most_stable_version(cluster):
    serve(cluster, widgets(version("v1alpha1")))
    serve(
        cluster, widgets(version("v1"), kind="Gadget", plural="gadgets", names={"plural": "gadgets", "kind": "Gadget"})
    )
    group = cluster.request("GET", "/apis/example.com")[1]
    assert [one["version"] for one in group["versions"]] == ["v1", "v1alpha1"]


def test_objects_are_pruned_defaulted_and_judged(cluster):
    serve(cluster, widgets())
    status, made, headers = cluster.request("POST", f"{WIDGETS}?fieldValidation=Warn", widget(junk=1))
    assert (status, made["spec"]) == (201, {"size": 2, "mode": "a"})
    assert headers["Warning"] == '299 - "unknown field \\"spec.junk\\""'
    status, refused, _ = cluster.request("POST", f"{WIDGETS}?fieldValidation=Strict", widget("x", junk=1))
    assert status == 400
    assert 'unknown field "spec.junk"' in refused["message"]
    status, refused, _ = cluster.request("POST", WIDGETS, widget("y", size=10))
    assert (status, refused["details"]["causes"][0]["field"]) == (422, "spec.size")


def test_status_and_scale_are_subresources(cluster):
    serve(cluster, widgets())
    made = cluster.request("POST", WIDGETS, widget() | {"status": {"ready": 7}})[1]
    assert "status" not in made
    assert made["metadata"]["generation"] == 1
    changes = {"spec": {"size": 9}, "status": {"ready": 3, "pods": "a=b"}}
    changed = cluster.request("PATCH", f"{WIDGETS}/w/status", changes, MERGE)[1]
    assert (changed["spec"]["size"], changed["status"]["ready"], changed["metadata"]["generation"]) == (2, 3, 1)
    scale = cluster.request("GET", f"{WIDGETS}/w/scale")[1]
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 3, "selector": "a=b"})
    cluster.request("PATCH", f"{WIDGETS}/w/scale", {"spec": {"replicas": 5}}, MERGE)
    found = cluster.request("GET", f"{WIDGETS}/w")[1]
    assert (found["spec"]["size"], found["status"]["ready"], found["metadata"]["generation"]) == (5, 3, 2)


def test_apply_owns_what_was_applied_and_not_the_defaults(cluster):
    serve(cluster, widgets())
    media = {"Content-Type": "application/apply-patch+yaml"}
    for manager in ("one", "two"):
        body = widget(parts=[{"id": manager}])
        status, made, _ = cluster.request("PATCH", f"{WIDGETS}/w?fieldManager={manager}", body, media)
        assert status in (200, 201)
    assert [part["id"] for part in made["spec"]["parts"]] == ["one", "two"]
    assert made["spec"]["mode"] == "a"
    assert all("f:mode" not in entry["fieldsV1"]["f:spec"] for entry in made["metadata"]["managedFields"])


def test_tables_have_the_columns_of_the_definition(cluster):
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size", "description": "how big"}]
    serve(cluster, widgets(version(additionalPrinterColumns=columns)))
    cluster.request("POST", WIDGETS, widget())
    table = cluster.request("GET", WIDGETS, None, TABLE)[1]
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size"]
    assert table["rows"][0]["cells"] == ["w", 2]


def test_selectable_fields_select_and_others_are_refused(cluster):
    serve(cluster, widgets(version(selectableFields=[{"jsonPath": ".spec.color"}])))
    for name, color in (("r", "red"), ("g", "green")):
        cluster.request("POST", WIDGETS, widget(name, color=color))
    found = cluster.request("GET", f"{WIDGETS}?fieldSelector=spec.color%3Dred")[1]
    assert [item["metadata"]["name"] for item in found["items"]] == ["r"]
    assert cluster.request("GET", f"{WIDGETS}?fieldSelector=spec.size%3D2")[0] == 400


def test_a_version_that_others_share_shows_each_object_in_its_own_version(cluster):
    other = version(
        "v2",
        storage=False,
        schema=schema(
            spec=SPEC | {"properties": {**SPEC["properties"], "extra": {"type": "string", "default": "new"}}}
        ),
    )
    serve(cluster, widgets(version(), other))
    cluster.request("POST", WIDGETS, widget())
    second = cluster.request("GET", f"{WIDGETS.replace('v1', 'v2')}/w")[1]
    assert (second["apiVersion"], second["spec"]["extra"]) == ("example.com/v2", "new")
    first = cluster.request("GET", WIDGETS)[1]["items"][0]
    assert (first["apiVersion"], "extra" in first["spec"]) == ("example.com/v1", False)
    second["spec"]["size"] = 8
    changed = cluster.request("PUT", f"{WIDGETS.replace('v1', 'v2')}/w", second)[1]
    assert (changed["apiVersion"], changed["spec"]["size"]) == ("example.com/v2", 8)
    assert cluster.request("GET", f"{WIDGETS}/w")[1]["spec"]["size"] == 8


def test_changing_the_storage_version_is_recorded_and_old_objects_stay_readable(cluster):
    made = serve(cluster, widgets())
    cluster.request("POST", WIDGETS, widget())
    made["spec"]["versions"][0]["storage"] = False
    made["spec"]["versions"].append(version("v2"))
    status, changed, _ = cluster.request("PUT", f"{CRDS}/widgets.example.com", made)
    assert (status, changed["status"]["storedVersions"]) == (200, ["v1", "v2"])
    path = f"{WIDGETS.replace('v1', 'v2')}/w"
    found = eventually(lambda: (answer := cluster.request("GET", path))[0] == 200 and answer[1])
    assert found["apiVersion"] == "example.com/v2"


def test_a_deprecated_version_warns(cluster):
    serve(cluster, widgets(version(deprecated=True)))
    assert cluster.request("GET", WIDGETS)[2]["Warning"] == '299 - "example.com/v1 Widget is deprecated"'


def test_names_that_are_taken_are_refused_until_they_are_free(cluster):
    serve(cluster, widgets())
    other = widgets(kind="Other", plural="others")
    cluster.request("POST", CRDS, other)

    def state():
        return cluster.request("GET", f"{CRDS}/others.example.com")[1]

    found = eventually(lambda: (one := state()) and condition(one, "NamesAccepted") and one)
    assert condition(found, "NamesAccepted")["reason"] == "ShortNamesConflict"
    assert condition(found, "Established")["reason"] == "NotAccepted"
    cluster.request("DELETE", f"{CRDS}/widgets.example.com")
    eventually(lambda: is_true(state(), "Established"))


def test_deleting_a_definition_deletes_its_objects_and_then_itself(cluster):
    serve(cluster, widgets())
    cluster.request("POST", WIDGETS, widget())
    held = widget("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    cluster.request("POST", WIDGETS, held)
    gone = cluster.request("DELETE", f"{CRDS}/widgets.example.com")[1]
    assert gone["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    eventually(lambda: cluster.request("GET", f"{WIDGETS}/w")[0] == 404)
    assert cluster.request("GET", f"{CRDS}/widgets.example.com")[0] == 200
    assert cluster.request("POST", WIDGETS, widget("late"))[0] == 405
    cluster.request("PATCH", f"{WIDGETS}/held", {"metadata": {"finalizers": None}}, MERGE)
    eventually(lambda: cluster.request("GET", f"{CRDS}/widgets.example.com")[0] == 404)
    assert cluster.request("GET", WIDGETS)[0] == 404
    assert "example.com" not in {group["name"] for group in cluster.request("GET", "/apis")[1]["groups"]}


def test_a_watch_sees_changes_in_the_version_it_asked_for(cluster):
    serve(cluster, widgets(version(), version("v2", storage=False)))
    cluster.request("POST", WIDGETS, widget())
    path = f"{WIDGETS.replace('v1', 'v2')}?watch=true&timeoutSeconds=1"
    assert b'"apiVersion":"example.com/v2"' in cluster.text("GET", path)


@pytest.mark.parametrize("document", ["/openapi/v2", "/openapi/v3/apis/example.com/v1"])
def test_openapi_describes_custom_resources(cluster, document):
    cluster.request("GET", document)
    serve(cluster, widgets())
    found = cluster.request("GET", document)[1]
    definitions = found.get("definitions") or found["components"]["schemas"]
    described = definitions["com.example.v1.Widget"]
    assert described["properties"]["spec"]["properties"]["size"]["description"] == "How large it is."
    assert described["x-kubernetes-group-version-kind"] == [{"group": "example.com", "kind": "Widget", "version": "v1"}]
    assert "com.example.v1.WidgetList" in definitions
    assert f"{WIDGETS.replace('default', '{namespace}')}/{{name}}/status" in found["paths"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param({PRESERVE: True}, None, id="the root keeps anything: kubectl is told nothing"),
        pytest.param({"properties": {"spec": {"type": "object", PRESERVE: True}}}, {PRESERVE: True}, id="an object"),
        pytest.param({"properties": {"spec": LIST}}, {PRESERVE: True}, id="a list"),
    ],
)
def test_openapi_2_says_no_more_of_what_is_kept_unknown_than_kubectl_can_bear(cluster, shape, expected):
    made = version()
    made["schema"]["openAPIV3Schema"] = {"type": "object", "description": "Told.", **shape}
    serve(cluster, widgets(made))
    described = cluster.request("GET", "/openapi/v2")[1]["definitions"]["com.example.v1.Widget"]
    if expected is None:
        assert set(described) == {"type", "x-kubernetes-group-version-kind"}
    else:
        assert described["properties"]["spec"] == expected
    third = cluster.request("GET", "/openapi/v3/apis/example.com/v1")[1]["components"]["schemas"]
    assert {"apiVersion", "kind", "metadata"} <= set(third["com.example.v1.Widget"]["properties"])


@pytest.mark.parametrize("document", ["/openapi/v2", "/openapi/v3/apis/example.com/v1"])
def test_openapi_describes_embedded_resources_as_resources(cluster, document):
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"size": {"type": "integer"}}}
    serve(cluster, widgets(version(schema=schema(spec={"type": "object", "properties": {"inner": embedded}}))))
    found = cluster.request("GET", document)[1]
    definitions = found.get("definitions") or found["components"]["schemas"]
    inner = definitions["com.example.v1.Widget"]["properties"]["spec"]["properties"]["inner"]
    assert set(inner["properties"]) == {"apiVersion", "kind", "metadata", "size"}
    assert inner["required"] == ["kind", "apiVersion"]


def test_what_is_too_large_for_the_store_is_refused_as_by_etcd(cluster):
    serve(cluster, widgets())
    large = widget(color="x" * LARGEST_OBJECT)
    status, refused, _ = cluster.request("POST", WIDGETS, large)
    assert (status, refused["message"], refused.get("reason")) == (500, "etcdserver: request is too large", None)
    assert cluster.request("POST", WIDGETS, widget())[0] == 201
    assert cluster.request("PATCH", f"{WIDGETS}/w", {"spec": large["spec"]}, MERGE)[0] == 500
    assert cluster.request("POST", WIDGETS, widget(color="x" * 2 * LARGEST_OBJECT))[0] == 413
    # What is built in is not kept as JSON there, where its fields have no names.
    ports = [{"name": "a", "port": 1}] * 75_000
    endpoints = {"metadata": {"name": "e"}, "subsets": [{"ports": ports}]}
    assert len(_encoded(endpoints, find("endpoints"))) > LARGEST_OBJECT
