"""What follows its owner and its namespace when they go: the collecting controllers against the real API server."""

from __future__ import annotations

from typing import Any

import pytest
from crd_objects import version, widget, widgets

from api.errors import NotFound
from api.objects import condition
from api.resources import Resource

pytestmark = pytest.mark.integration


def owner_and_child(plane: Any) -> None:
    owner = plane.client.create("configmaps", {"metadata": {"name": "owner", "namespace": "default"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    references = [reference | {"blockOwnerDeletion": True}]
    plane.client.create(
        "secrets", {"metadata": {"name": "child", "namespace": "default", "ownerReferences": references}}
    )


@pytest.mark.parametrize(
    ("propagation", "child_stays"), [("Background", False), ("Foreground", False), ("Orphan", True)]
)
def test_dependents_follow_their_owner_as_asked(plane: Any, propagation: str, child_stays: bool) -> None:
    plane.start()
    owner_and_child(plane)
    plane.client.delete("configmaps", "owner", "default", propagation=propagation)
    plane.until(lambda: plane.find("configmaps", "owner", "default") is None, "the owner is gone")
    if child_stays:
        plane.until(
            lambda: not plane.find("secrets", "child", "default")["metadata"].get("ownerReferences"), "it is let go"
        )
    else:
        plane.until(lambda: plane.find("secrets", "child", "default") is None, "the child is gone")


def test_a_circle_of_owners_goes_when_one_of_them_is_deleted(plane: Any) -> None:
    plane.start()
    made = {}
    for name in "abc":
        metadata = {"name": name, "namespace": "default"}
        made[name] = plane.client.create("configmaps", {"metadata": metadata})["metadata"]["uid"]
    for name, owner in ("a", "c"), ("b", "a"), ("c", "b"):
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": made[owner]}
        references = [reference | {"blockOwnerDeletion": True}]
        plane.client.patch("configmaps", name, {"metadata": {"ownerReferences": references}}, "default")
    plane.client.delete("configmaps", "a", "default", propagation="Foreground")
    plane.until(lambda: not any(plane.find("configmaps", name, "default") for name in "abc"), "all of them are gone")


def unlistable(plane: Any) -> None:
    """A resource with an object that needs a conversion webhook nobody runs."""
    hook = {"clientConfig": {"url": "https://127.0.0.1:1/"}, "conversionReviewVersions": ["v1"]}
    versions = [version("v1"), version("v2", storage=False)]
    made = widgets(*versions, conversion={"strategy": "Webhook", "webhook": hook})
    plane.client.create("customresourcedefinitions.apiextensions.k8s.io", made)
    kept = Resource("example.com", "v1", "widgets", "Widget", True)
    plane.until(lambda: served(plane, kept), "the definition is served")
    plane.client.create(kept, widget() | {"metadata": {"name": "w", "namespace": "default"}})


def served(plane: Any, resource: Resource) -> bool:
    try:
        return bool(plane.client.list(resource, "default").resource_version)
    except NotFound:
        return False


def test_a_resource_that_cannot_be_listed_holds_up_the_others_for_a_while_only(
    plane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.controllers.garbage_collector._PATIENCE", 1.0)
    plane.extend([])
    unlistable(plane)
    plane.start()
    for name, propagation in (("letting-go", "Orphan"), ("waiting", "Foreground")):
        metadata = {"name": name, "namespace": "default"}
        plane.client.create("configmaps", {"metadata": metadata})
        plane.client.delete("configmaps", name, "default", propagation=propagation)
    plane.until(lambda: plane.find("configmaps", "waiting", "default") is None, "the others are collected")
    assert plane.find("configmaps", "letting-go", "default"), "unseen dependents would be collected later"


def test_an_object_with_an_owner_that_never_was_is_collected(plane: Any) -> None:
    plane.start()
    ghost = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "ghost", "uid": "00000000-0000-0000-0000-000000000000"}]
    metadata = {"name": "child", "namespace": "default", "ownerReferences": ghost}
    plane.client.create("secrets", {"metadata": metadata})
    plane.until(lambda: plane.find("secrets", "child", "default") is None, "the child is gone")


def test_an_owner_in_another_namespace_is_none_but_what_is_in_no_namespace_stays(plane: Any) -> None:
    owner = plane.client.create("configmaps", {"metadata": {"name": "owner", "namespace": "default"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    foreign = {"name": "foreign", "namespace": "kube-public", "ownerReferences": [reference]}
    plane.client.create("secrets", {"metadata": foreign})
    everywhere = {"metadata": {"name": "everywhere", "ownerReferences": [reference]}, "value": 7}
    plane.client.create("priorityclasses.scheduling.k8s.io", everywhere)
    plane.start()
    plane.until(lambda: plane.find("secrets", "foreign", "kube-public") is None, "the foreign one is collected")

    def told() -> set[str]:
        events = plane.client.list("events", "").items
        return {one["involvedObject"]["name"] for one in events if one["reason"] == "OwnerRefInvalidNamespace"}

    plane.until(lambda: told() == {"foreign", "everywhere"}, "both are told of")
    assert plane.find("priorityclasses.scheduling.k8s.io", "everywhere") is not None
    assert plane.find("configmaps", "owner", "default") is not None


def test_a_namespace_is_furnished_and_later_emptied(plane: Any) -> None:
    plane.start()
    plane.client.create("namespaces", {"metadata": {"name": "room"}})
    plane.until(lambda: plane.find("serviceaccounts", "default", "room"), "it has a service account")
    plane.until(lambda: plane.find("configmaps", "kube-root-ca.crt", "room"), "it has the authority")
    held = {"name": "held", "namespace": "room", "finalizers": ["example.com/hold"]}
    plane.client.create("configmaps", {"metadata": held})
    plane.client.delete("namespaces", "room")

    def remaining() -> dict[str, Any]:
        return condition(plane.find("namespaces", "room"), "NamespaceFinalizersRemaining") or {}

    plane.until(lambda: remaining().get("status") == "True", "it says what holds it up")
    assert "example.com/hold in 1 resource instances" in remaining()["message"]
    plane.client.patch("configmaps", "held", {"metadata": {"finalizers": []}}, "room")
    plane.until(lambda: plane.find("namespaces", "room") is None, "it is gone")


def test_the_pods_of_a_namespace_go_before_what_they_rely_on(plane: Any) -> None:
    plane.start()
    plane.client.create("namespaces", {"metadata": {"name": "room"}})
    plane.until(lambda: plane.find("serviceaccounts", "default", "room"), "it has a service account")
    containers = [{"name": "main", "image": "web:1"}]
    held = {"metadata": {"name": "held", "namespace": "room", "finalizers": ["example.com/hold"]}}
    plane.client.create("pods", held | {"spec": {"containers": containers}})
    plane.client.create("configmaps", {"metadata": {"name": "kept", "namespace": "room"}})
    plane.client.delete("namespaces", "room")

    def remaining() -> dict[str, Any]:
        return condition(plane.find("namespaces", "room"), "NamespaceContentRemaining") or {}

    plane.until(lambda: remaining().get("status") == "True", "it says what remains")
    assert remaining()["message"] == "Some resources are remaining: pods. has 1 resource instances"
    assert plane.find("pods", "held", "room")["metadata"]["deletionTimestamp"]
    assert plane.find("configmaps", "kept", "room")
    plane.client.patch("pods", "held", {"metadata": {"finalizers": []}}, "room")
    plane.until(lambda: plane.find("namespaces", "room") is None, "it is gone")


def test_a_namespace_with_a_running_job_can_be_emptied(plane: Any) -> None:
    plane.start()
    plane.nodes(1)
    plane.client.create("namespaces", {"metadata": {"name": "room"}})
    plane.until(lambda: plane.find("serviceaccounts", "default", "room"), "it has a service account")
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "web:1"}]}}
    job = {"metadata": {"name": "long", "namespace": "room"}, "spec": {"template": template}}
    plane.client.create("jobs.batch", job)
    plane.until(lambda: plane.client.list("pods", "room", field_selector="status.phase=Running").items, "its pod runs")
    plane.client.delete("namespaces", "room")
    plane.until(lambda: plane.find("namespaces", "room") is None, "it is gone")
