"""An operator written with kopf watches its own kind, makes children, reports status and hears of deletions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from client_cluster import ClientCluster

pytestmark = pytest.mark.integration

GROUP = "sea.example.com"
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"boats.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "boats", "singular": "boat", "kind": "Boat"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"crew": {"type": "integer", "minimum": 1}}},
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}
OPERATOR = """
import kopf
import kubernetes

kubernetes.config.load_kube_config()


@kopf.on.create("sea.example.com", "v1", "boats")
@kopf.on.update("sea.example.com", "v1", "boats", field="spec.crew")
def manned(spec, name, namespace, body, **_):
    kopf.info(body, reason="Manned", message=f"{spec['crew']} are on board")
    crew = {"metadata": {"name": f"{name}-crew"}, "data": {"crew": str(spec["crew"])}}
    kopf.adopt(crew)
    core = kubernetes.client.CoreV1Api()
    try:
        core.create_namespaced_config_map(namespace, crew)
    except kubernetes.client.ApiException as error:
        if error.status != 409:
            raise
        core.patch_namespaced_config_map(crew["metadata"]["name"], namespace, crew)
    return {"crew": spec["crew"]}


@kopf.on.delete("sea.example.com", "v1", "boats")
def sunk(name, namespace, **_):
    body = {"metadata": {"name": f"{name}-wreck"}}
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, body)
"""


def test_it_follows_its_objects_from_creation_to_deletion(
    cluster: ClientCluster, namespace: str, tmp_path: Path
) -> None:
    client = cluster.client
    client.create("customresourcedefinitions.apiextensions.k8s.io", DEFINITION)
    path = f"/apis/{GROUP}/v1/namespaces/{namespace}/boats"
    cluster.until(lambda: cluster.found(path), "the new kind is served")
    script = tmp_path / "operator.py"
    script.write_text(OPERATOR)
    log = (tmp_path / "kopf.log").open("w")
    running = subprocess.Popen(
        [sys.executable, "-m", "kopf", "run", "--standalone", f"--namespace={namespace}", str(script)],
        env=cluster.environment(tmp_path), stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip

    def maps() -> dict[str, dict[str, str]]:
        return {item["metadata"]["name"]: item.get("data", {}) for item in client.list("configmaps", namespace).items}

    try:
        cluster.send(
            "POST",
            path,
            {"apiVersion": f"{GROUP}/v1", "kind": "Boat", "metadata": {"name": "wherry"}, "spec": {"crew": 2}},
        )
        cluster.until(lambda: maps().get("wherry-crew") == {"crew": "2"}, "the operator has made a ConfigMap")
        boat = f"{path}/wherry"
        cluster.until(
            lambda: cluster.send("GET", boat).get("status", {}).get("manned") == {"crew": 2}, "status is reported"
        )
        cluster.send("PATCH", boat, {"spec": {"crew": 3}})
        cluster.until(lambda: maps().get("wherry-crew") == {"crew": "3"}, "the operator has seen the change")
        events = lambda: {item["reason"] for item in client.list("events", namespace).items}  # noqa: E731
        cluster.until(lambda: "Manned" in events(), "the operator's words are events")
        assert cluster.send("GET", boat)["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
        cluster.send("DELETE", boat)
        cluster.until(lambda: "wherry-wreck" in maps(), "the operator has handled the deletion")
        cluster.until(lambda: not cluster.found(boat), "the boat is gone")
        cluster.until(lambda: "wherry-crew" not in maps(), "its ConfigMap is collected")
    finally:
        running.terminate()
        running.wait(30)
        client.delete("customresourcedefinitions.apiextensions.k8s.io", f"boats.{GROUP}")
