"""What is added to claims and volumes as they are made, and what pods learn of their node."""

from __future__ import annotations

import pytest
from apiserver_objects import pod

pytestmark = pytest.mark.unit

ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


def test_claims_and_volumes_are_guarded_from_the_beginning(client):
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    made = client.create("persistentvolumeclaims", {"metadata": {"name": "c", "namespace": "default"}, "spec": asked})
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/v"}}
    for name, given in (("v", []), ("w", ["kubernetes.io/pv-protection"]), ("x", ["example.com/f"])):
        volume = {"metadata": {"name": name, "finalizers": given}, "spec": spec}
        expected = [*(one for one in given if one != "kubernetes.io/pv-protection"), "kubernetes.io/pv-protection"]
        assert client.create("persistentvolumes", volume)["metadata"]["finalizers"] == expected


def test_classes_of_attributes_are_guarded_from_the_beginning(client):
    body = {"metadata": {"name": "fast"}, "driverName": "a.example", "parameters": {"iops": "1"}}
    made = client.create("volumeattributesclasses.storage.k8s.io", body)
    assert made["metadata"]["finalizers"] == ["kubernetes.io/vac-protection"]


def test_a_pod_carries_zone_and_region_of_its_node(cluster):
    client = cluster.client()
    labels = {ZONE: "z", REGION: "r", "topology.kubernetes.io/rack": "k"}
    client.create("nodes", {"metadata": {"name": "n", "labels": labels}})
    client.create("nodes", {"metadata": {"name": "plain"}})
    cluster.server.cache.catch_up()
    claimed = pod("a", nodeName="n")
    claimed["metadata"]["labels"] = {ZONE: "mine", "app": "a"}
    assert client.create("pods", claimed)["metadata"]["labels"] == {ZONE: "z", REGION: "r", "app": "a"}
    assert "labels" not in client.create("pods", pod("b", nodeName="plain"))["metadata"]
    client.create("pods", pod("c"))
    target = {"target": {"kind": "Node", "name": "n"}, "metadata": {"name": "c"}}
    assert cluster.request("POST", "/api/v1/namespaces/default/pods/c/binding", target)[0] == 201
    bound = client.get("pods", "c", "default")
    assert (bound["spec"]["nodeName"], bound["metadata"]["labels"]) == ("n", {ZONE: "z", REGION: "r"})
