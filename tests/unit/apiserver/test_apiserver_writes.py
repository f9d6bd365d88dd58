"""Create, update, patch and delete as clients see them."""

from __future__ import annotations

import base64

import pytest
from apiserver_objects import config_map, deployment, pod

from api import errors
from api.client import APPLY_PATCH, JSON_PATCH, STRATEGIC_MERGE_PATCH
from api.pki import Subject, new_key, new_request

pytestmark = pytest.mark.unit


def test_create_sets_what_only_the_server_sets(client):
    given = config_map("a", x="1")
    given["metadata"] |= {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7}
    made = client.create("configmaps", given)["metadata"]
    assert made["uid"] != "mine"
    assert not made["creationTimestamp"].startswith("2001")
    assert "generation" not in made
    assert made["resourceVersion"].isdigit()


def test_a_second_object_of_a_name_is_refused(client):
    client.create("configmaps", config_map("a"))
    with pytest.raises(errors.AlreadyExists, match='configmaps "a" already exists'):
        client.create("configmaps", config_map("a"))


def test_generate_name_makes_distinct_names(client):
    body = config_map("x")
    del body["metadata"]["name"]
    body["metadata"]["generateName"] = "x-"
    made = {client.create("configmaps", body)["metadata"]["name"] for _ in range(20)}
    assert len(made) == 20
    assert all(name.startswith("x-") and len(name) == 7 for name in made)


def test_an_update_of_a_stale_object_is_a_conflict(client):
    old = client.create("configmaps", config_map("a", x="1"))
    client.patch("configmaps", "a", {"data": {"x": "2"}}, "default")
    with pytest.raises(errors.Conflict, match="the object has been modified; please apply your changes"):
        client.update("configmaps", old | {"data": {"x": "3"}})


def test_an_update_without_version_replaces(client):
    client.create("configmaps", config_map("a", x="1"))
    assert client.update("configmaps", config_map("a", y="2"))["data"] == {"y": "2"}


def test_an_update_of_version_zero_is_one_without_version(client):
    client.create("configmaps", config_map("a", x="1"))
    body = config_map("a", y="2")
    body["metadata"]["resourceVersion"] = "0"
    assert client.update("configmaps", body)["data"] == {"y": "2"}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l", "namespace": "default"}}
    client.create("leases.coordination.k8s.io", lease)
    lease["metadata"]["resourceVersion"] = "0"
    with pytest.raises(errors.Invalid, match="Invalid value: 0: must be specified for an update"):
        client.update("leases.coordination.k8s.io", lease)


def test_an_update_that_changes_nothing_is_not_a_write(client):
    made = client.create("configmaps", config_map("a", x="1"))
    assert client.update("configmaps", made)["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_what_only_a_stale_cache_shows_already_is_written(cluster, client, monkeypatch):
    client.create("configmaps", config_map("a", x="1"))
    cache = cluster.server.cache
    cache.catch_up()
    seen = {}

    def lagging(key, peek=cache.peek):
        return seen.setdefault(key, peek(key))

    with monkeypatch.context() as patched:
        patched.setattr(cache, "peek", lagging)
        assert client.patch("configmaps", "a", {"data": {"x": "2"}}, "default")["data"] == {"x": "2"}
        assert client.patch("configmaps", "a", {"data": {"x": "1"}}, "default")["data"] == {"x": "1"}
    assert client.get("configmaps", "a", "default")["data"] == {"x": "1"}


def test_generation_counts_changes_of_the_spec_only(client):
    made = client.create("deployments.apps", deployment("d"))
    assert made["metadata"]["generation"] == 1
    labelled = client.patch("deployments.apps", "d", {"metadata": {"labels": {"a": "b"}}}, "default")
    assert labelled["metadata"]["generation"] == 1
    scaled = client.patch("deployments.apps", "d", {"spec": {"replicas": 5}}, "default")
    assert scaled["metadata"]["generation"] == 2


def test_status_and_spec_are_written_apart(client):
    client.create("deployments.apps", deployment("d") | {"status": {"replicas": 9}})
    both = {"spec": {"replicas": 4}, "status": {"replicas": 3}}
    main = client.patch("deployments.apps", "d", both, "default")
    assert main["spec"]["replicas"] == 4
    assert not main["status"].get("replicas")
    status = client.patch(
        "deployments.apps", "d", {"spec": {"replicas": 9}, "status": {"replicas": 3}}, "default", subresource="status"
    )
    assert (status["spec"]["replicas"], status["status"]["replicas"]) == (4, 3)


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        (JSON_PATCH, [{"op": "replace", "path": "/data/x", "value": "2"}]),
        ("application/merge-patch+json", {"data": {"x": "2"}}),
        (STRATEGIC_MERGE_PATCH, {"data": {"x": "2"}}),
    ],
)
def test_each_kind_of_patch_changes_the_object(client, content_type, patch):
    client.create("configmaps", config_map("a", x="1", keep="k"))
    patched = client.patch("configmaps", "a", patch, "default", content_type=content_type)
    assert patched["data"] == {"x": "2", "keep": "k"}


def test_strategic_patches_merge_lists_by_key(client):
    client.create("deployments.apps", deployment("d"))
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s"}]}}}}
    patched = client.patch("deployments.apps", "d", patch, "default", content_type=STRATEGIC_MERGE_PATCH)
    assert {one["name"] for one in patched["spec"]["template"]["spec"]["containers"]} == {"main", "side"}


def test_apply_creates_and_takes_fields_back(client):
    def apply(data: dict[str, str]):
        return client.patch(
            "configmaps", "a", config_map("a", **data), "default", content_type=APPLY_PATCH, field_manager="tester"
        )

    assert apply({"x": "1", "y": "2"})["data"] == {"x": "1", "y": "2"}
    assert apply({"x": "1"})["data"] == {"x": "1"}


def test_a_patch_of_a_missing_object_is_not_found(client):
    with pytest.raises(errors.NotFound, match='configmaps "a" not found'):
        client.patch("configmaps", "a", {"data": {}}, "default")


def test_dry_run_stores_nothing(cluster):
    path = "/api/v1/namespaces/default/configmaps?dryRun=All"
    status, made, _ = cluster.request("POST", path, config_map("a", x="1"))
    assert (status, made["data"]) == (201, {"x": "1"})
    assert made["metadata"]["uid"]
    assert "resourceVersion" not in made["metadata"]
    with pytest.raises(errors.NotFound):
        cluster.client().get("configmaps", "a", "default")


def test_delete_answers_a_status_with_the_uid(client):
    made = client.create("configmaps", config_map("a"))
    gone = client.delete("configmaps", "a", "default")
    assert gone["status"] == "Success"
    assert gone["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}


def test_only_who_asks_for_no_orphans_in_the_old_way_is_told_that_a_deletion_goes_on(cluster):
    maps = "/api/v1/namespaces/default/configmaps"
    for name, options in (("a", {"propagationPolicy": "Foreground"}), ("b", {"orphanDependents": False}), ("c", {})):
        body = config_map(name)
        body["metadata"]["finalizers"] = ["example.com/f"]
        cluster.request("POST", maps, body)
        assert cluster.request("DELETE", f"{maps}/{name}", options)[0] == (202 if name == "b" else 200)


def test_delete_keeps_to_its_preconditions(client):
    made = client.create("configmaps", config_map("a"))
    with pytest.raises(errors.Conflict, match=r"ConfigMap \"a\": the UID in the precondition \(other\)"):
        client.delete("configmaps", "a", "default", uid="other")
    client.delete("configmaps", "a", "default", uid=made["metadata"]["uid"])


def test_finalizers_hold_a_deleted_object_until_they_go(client):
    body = config_map("a")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    client.create("configmaps", body)
    held = client.delete("configmaps", "a", "default")
    assert held["metadata"]["deletionTimestamp"]
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    left = client.patch("configmaps", "a", {"metadata": {"finalizers": None}}, "default")["metadata"]
    assert "finalizers" not in left
    assert left["resourceVersion"] == held["metadata"]["resourceVersion"]
    with pytest.raises(errors.NotFound):
        client.get("configmaps", "a", "default")


@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
def test_propagation_leaves_a_finalizer_for_the_collector(client, policy, finalizer):
    client.create("deployments.apps", deployment("d"))
    held = client.delete("deployments.apps", "d", "default", propagation=policy)
    assert held["metadata"]["finalizers"] == [finalizer]


POD_SPEC = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
CONTROLLER = {"metadata": {"name": "r"}, "spec": {"selector": {"a": "b"}, "template": {
    "metadata": {"labels": {"a": "b"}}, "spec": POD_SPEC | {"restartPolicy": "Always"}}}}  # fmt: skip
JOB = {"metadata": {"name": "j"}, "spec": {"template": {"spec": POD_SPEC}}}
PRESERVED = "child pods are preserved by default when jobs are deleted"


@pytest.mark.parametrize(
    ("path", "body", "warned"),
    [
        ("/api/v1/namespaces/default/replicationcontrollers", CONTROLLER, False),
        ("/apis/batch/v1/namespaces/default/jobs", JOB, True),
    ],
)
def test_what_is_older_than_the_collector_leaves_its_pods_unless_told_otherwise(cluster, path, body, warned):
    where = f"{path}/{body['metadata']['name']}"
    assert cluster.request("POST", path, body)[0] == 201
    status, held, headers = cluster.request("DELETE", where)
    assert (status, held["metadata"]["finalizers"]) == (200, ["orphan"])
    assert (PRESERVED in headers.get("Warning", "")) == warned
    status, gone, headers = cluster.request("DELETE", where, {"propagationPolicy": "Background"})
    assert (status, gone["kind"], headers.get("Warning", "")) == (200, "Status", "")


def test_a_deletion_in_the_foreground_is_not_turned_by_a_second_one_that_says_nothing(cluster):
    path = "/apis/batch/v1/namespaces/default/jobs"
    assert cluster.request("POST", path, JOB)[0] == 201
    for body in ({"propagationPolicy": "Foreground"}, None):
        held = cluster.request("DELETE", f"{path}/j", body)[1]
        assert held["metadata"]["finalizers"] == ["foregroundDeletion"]


def test_a_pod_on_a_node_is_deleted_gracefully(client):
    client.create("pods", pod("p", nodeName="n1"))
    first = client.delete("pods", "p", "default")
    assert first["metadata"]["deletionGracePeriodSeconds"] == 30
    shorter = client.delete("pods", "p", "default", grace_period_seconds=5)
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    client.delete("pods", "p", "default", grace_period_seconds=0)
    with pytest.raises(errors.NotFound):
        client.get("pods", "p", "default")


def test_a_pod_without_node_is_deleted_at_once(client):
    client.create("pods", pod("p"))
    client.delete("pods", "p", "default")
    assert client.list("pods", "default").items == []


def test_deletecollection_takes_what_is_selected(cluster):
    client = cluster.client()
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        body = config_map(name)
        body["metadata"]["labels"] = {"l": label}
        client.create("configmaps", body)
    status, listing, _ = cluster.request("DELETE", "/api/v1/namespaces/default/configmaps?labelSelector=l%3Dx")
    assert status == 200
    assert [item["metadata"]["name"] for item in listing["items"]] == ["a", "b"]
    assert [item["metadata"]["name"] for item in client.list("configmaps", "default").items] == ["c"]


def test_a_namespace_stays_until_it_is_finalized(cluster):
    client = cluster.client()
    made = client.create("namespaces", {"metadata": {"name": "n"}})
    assert made["spec"]["finalizers"] == ["kubernetes"]
    assert made["status"]["phase"] == "Active"
    assert made["metadata"]["labels"]["kubernetes.io/metadata.name"] == "n"
    assert client.delete("namespaces", "n")["status"]["phase"] == "Terminating"
    with pytest.raises(errors.Forbidden, match="because it is being terminated"):
        client.create("configmaps", config_map("a", "n"))
    going = client.get("namespaces", "n")
    client.update("namespaces", going | {"spec": {"finalizers": []}}, subresource="finalize")
    with pytest.raises(errors.NotFound):
        client.get("namespaces", "n")


def test_scale_reads_and_writes_replicas(client):
    client.create("deployments.apps", deployment("d", replicas=2))
    scale = client.get("deployments.apps", "d", "default", subresource="scale")
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 2}, "app=d")
    scale["spec"]["replicas"] = 5
    client.update("deployments.apps", scale, subresource="scale")
    assert client.get("deployments.apps", "d", "default")["spec"]["replicas"] == 5
    with pytest.raises(errors.Conflict):
        client.update("deployments.apps", scale, subresource="scale")


def test_a_scale_is_of_its_workload_and_of_known_fields(cluster, client):
    client.create("deployments.apps", deployment("d"))
    path = "/apis/apps/v1/namespaces/default/deployments/d/scale"
    refused = cluster.request("PUT", path, {"metadata": {"name": "other"}, "spec": {"replicas": 2}})
    assert (refused[0], refused[1]["message"]) == (
        400,
        "the name of the object (other) does not match the name on the URL (d)",
    )
    refused = cluster.request("PUT", path, {"spec": {"replicas": 2}})
    assert (refused[0], refused[1]["message"]) == (
        400,
        "the name of the object (d based on URL) was undeterminable: name must be provided",
    )
    body = {"metadata": {"name": "d"}, "spec": {"replicas": 2, "more": 1}}
    assert cluster.request("PUT", f"{path}?fieldValidation=Strict", body)[0] == 400
    status, _, headers = cluster.request("PUT", path, body)
    assert (status, headers["Warning"]) == (200, '299 - "unknown field \\"spec.more\\""')


def test_approval_writes_any_condition_and_status_no_decision(cluster):
    pem = new_request(new_key(), Subject("somebody", ()), ())
    request = base64.b64encode(pem).decode()
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    spec = {"request": request, "signerName": "example.com/x", "usages": ["client auth"]}
    assert cluster.request("POST", path, {"metadata": {"name": "c"}, "spec": spec})[0] == 201

    def write(subresource: str, *types: str) -> list[str]:
        conditions = [{"type": name, "status": "True", "reason": "Test"} for name in types]
        body, merge = {"status": {"conditions": conditions}}, {"Content-Type": "application/merge-patch+json"}
        status, found, _ = cluster.request("PATCH", f"{path}/c/{subresource}", body, merge)
        if status != 200:
            return [one["message"] for one in found["details"]["causes"]]
        return sorted(one["type"] for one in found["status"]["conditions"])

    assert write("approval", "Approved", "Looked") == ["Approved", "Looked"]
    assert write("status", "Approved", "Signed") == ["Approved", "Signed"]
    assert write("status", "Denied", "Approved")[-1] == 'Forbidden: updates may not add a condition of type "Denied"'


def test_an_event_is_judged_by_the_group_that_is_asked(client):
    event = {"kind": "Event", "metadata": {"name": "e", "namespace": "default"}, "reason": "Because"}
    with pytest.raises(errors.Invalid, match="eventTime: Required value"):
        client.create("events.events.k8s.io", event | {"apiVersion": "events.k8s.io/v1", "regarding": {"kind": "Node"}})
    client.create("events", event | {"apiVersion": "v1", "involvedObject": {"kind": "Node"}})


LABELS = {"metadata": {"labels": {"a": ["b"]}}}
READ = "json: cannot unmarshal array into Go struct field"


@pytest.mark.parametrize(
    ("kind", "body", "query", "shown", "why"),
    [
        ("merge-patch", LABELS, "", '"{', READ),
        ("strategic-merge-patch", LABELS, "", '"map[metadata:map[labels:map[a:[b]]]]": ', READ),
        ("json-patch", [{"op": "add", "path": "/metadata/labels", "value": ["b"]}], "", '"{', READ),
        ("merge-patch", {"datum": {}}, "?fieldValidation=Strict", '"{', 'strict decoding error: unknown field "datum"'),
    ],
)
def test_a_patch_that_leaves_no_object_of_its_kind_is_invalid(cluster, kind, body, query, shown, why):
    cluster.client().create("configmaps", config_map("a", x="1"))
    path = f"/api/v1/namespaces/default/configmaps/a{query}"
    status, refused, _ = cluster.request("PATCH", path, body, {"Content-Type": f"application/{kind}+json"})
    assert (status, refused["reason"]) == (422, "Invalid")
    assert refused["message"].startswith(f' "" is invalid: patch: Invalid value: {shown}')
    assert why in refused["message"]
    assert refused["details"]["causes"][0]["field"] == "patch"


def test_the_core_group_may_be_named_as_the_empty_one(cluster):
    body = config_map("a") | {"apiVersion": "/v1"}
    status, made, _ = cluster.request("POST", "/api/v1/namespaces/default/configmaps", body)
    assert (status, made["apiVersion"]) == (201, "v1")
