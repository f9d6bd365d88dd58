"""What becomes of a claim's directory on its node once the claim is gone."""

from __future__ import annotations

from typing import Any

import pytest

from api.objects import is_true

pytestmark = pytest.mark.integration

STORAGE = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


class Node:
    """Stands in for the server of a kubelet that counts how often it is asked to remove a directory."""

    def __init__(self, plane: Any) -> None:
        self.asked = 0
        plane.addons["/api/v1/nodes/node-0/proxy/volumes"] = self._remove

    def _remove(self) -> dict[str, Any]:
        self.asked += 1
        return {}


def used_claim(plane: Any, node: Node) -> str:
    """A claim that a pod has used and no pod uses any more; its volume."""
    plane.start()
    plane.nodes(1, port=10250)
    metadata = {"name": "data", "namespace": "default"}
    plane.client.create("persistentvolumeclaims", {"metadata": metadata, "spec": STORAGE})
    plane.until(lambda: plane.find("serviceaccounts", "default", "default"), "pods may be created")
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": volumes, "terminationGracePeriodSeconds": 0}
    plane.client.create("pods", {"metadata": {"name": "user", "namespace": "default"}, "spec": spec})
    plane.until(lambda: is_true(plane.find("pods", "user", "default"), "Ready"), "the pod runs")
    plane.client.delete("pods", "user", "default")
    return str(plane.find("persistentvolumeclaims", "data", "default")["spec"]["volumeName"])


def test_it_is_removed_on_the_node_before_the_volume_goes(plane: Any) -> None:
    node = Node(plane)
    volume = used_claim(plane, node)
    assert node.asked == 0
    plane.client.delete("persistentvolumeclaims", "data", "default")
    plane.until(lambda: plane.find("persistentvolumes", volume) is None, "the volume is gone")
    assert node.asked >= 1


def test_it_stays_with_a_retained_volume_also_when_that_is_deleted(plane: Any) -> None:
    node = Node(plane)
    volume = used_claim(plane, node)
    plane.client.patch("persistentvolumes", volume, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
    plane.client.delete("persistentvolumeclaims", "data", "default")
    plane.until(lambda: plane.find("persistentvolumes", volume)["status"]["phase"] == "Released", "the volume is free")
    plane.client.delete("persistentvolumes", volume)
    plane.until(lambda: plane.find("persistentvolumes", volume) is None, "the volume is gone")
    assert node.asked == 0


def test_a_volume_deleted_before_its_claim_waits_for_it_and_takes_its_directory_along(plane: Any) -> None:
    node = Node(plane)
    volume = used_claim(plane, node)
    plane.client.delete("persistentvolumes", volume)
    plane.client.delete("persistentvolumeclaims", "data", "default")
    plane.until(lambda: plane.find("persistentvolumes", volume) is None, "the volume is gone")
    assert node.asked >= 1
