"""Custom resources as people and operators use them: kubectl, and an operator by kopf, unmodified."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from client_cluster import ClientCluster, Program

pytestmark = pytest.mark.integration

DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "boats.harbour.example"},
    "spec": {
        "group": "harbour.example",
        "scope": "Namespaced",
        "names": {"plural": "boats", "kind": "Boat", "shortNames": ["bo"], "categories": ["all"]},
        "versions": [
            {
                "name": "v1", "served": True, "storage": True,
                "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.masts", "statusReplicasPath": ".status.masts"}},
                "additionalPrinterColumns": [
                    {"name": "Masts", "type": "integer", "jsonPath": ".spec.masts"},
                    {"name": "Crew", "type": "string", "jsonPath": ".status.crew"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["masts"], "properties": {
                        "masts": {"type": "integer", "minimum": 1, "description": "How many masts she carries."},
                        "sail": {"type": "string", "default": "sprit"}},
                        "x-kubernetes-validations": [{"rule": "self.masts < 6", "message": "no boat has so many"}]},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}},
            }
        ],
    },
}  # fmt: skip
OPERATOR = """
import kopf

@kopf.on.create("harbour.example", "v1", "boats")
def created(spec, name, namespace, patch, **_):
    patch.status["crew"] = f"{spec['masts'] * 2} sailors"
    return {"masts": spec["masts"]}

@kopf.on.delete("harbour.example", "v1", "boats")
def deleted(name, **_):
    print(f"farewell {name}", flush=True)
"""


@pytest.fixture(scope="module")
def boats(cluster: ClientCluster) -> Iterator[None]:
    """The definition, established."""
    cluster.client.create("customresourcedefinitions.apiextensions.k8s.io", DEFINITION)

    def established() -> bool:
        found = cluster.client.get("customresourcedefinitions.apiextensions.k8s.io", "boats.harbour.example")
        return any(one["type"] == "Established" for one in (found.get("status") or {}).get("conditions") or [])

    cluster.until(established, "boats are served")
    yield
    cluster.client.delete("customresourcedefinitions.apiextensions.k8s.io", "boats.harbour.example")


def manifest(tmp_path: Path, name: str, **spec: object) -> str:
    path = tmp_path / f"{name}.yaml"
    boat = {"apiVersion": "harbour.example/v1", "kind": "Boat", "metadata": {"name": name}, "spec": spec}
    path.write_text(yaml.safe_dump(boat))
    return str(path)


def test_kubectl_applies_explains_scales_and_shows_custom_resources(boats, kubectl_here: Program, tmp_path: Path):
    kubectl = kubectl_here
    assert "boat.harbour.example/ketch created" in kubectl("apply", "-f", manifest(tmp_path, "ketch", masts=2))
    assert "configured" in kubectl("apply", "-f", manifest(tmp_path, "ketch", masts=3))
    head, row = kubectl("get", "bo").splitlines()
    assert head.split() == ["NAME", "MASTS", "CREW"]
    assert row.split() == ["ketch", "3"]
    assert "How many masts she carries." in kubectl("explain", "boats.spec.masts")
    kubectl("scale", "boat/ketch", "--replicas=4")
    kubectl("patch", "boat", "ketch", "--subresource=status", "--type=merge", "-p", '{"status":{"crew":"many"}}')
    assert kubectl("get", "boat", "ketch", "-o", "jsonpath={.spec.masts} {.spec.sail} {.status.crew}") == "4 sprit many"
    assert "ketch" in kubectl("get", "all")
    assert "no boat has so many" in kubectl.refused("apply", "-f", manifest(tmp_path, "ark", masts=7))
    galley = manifest(tmp_path, "galley", masts=1, oars=40)
    assert 'unknown field "spec.oars"' in kubectl.refused("apply", "-f", galley)
    assert "deleted" in kubectl("delete", "boat", "ketch")


def test_an_operator_by_kopf_runs(boats, cluster: ClientCluster, kubectl_here: Program, namespace: str, tmp_path: Path):
    script, log = tmp_path / "operator.py", tmp_path / "operator.log"
    script.write_text(OPERATOR)
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", namespace, str(script)]
    environment = {"KUBECONFIG": str(cluster.kubeconfig), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    with log.open("w") as output:
        operator = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        kubectl_here("apply", "-f", manifest(tmp_path, "yawl", masts=2))
        crew = lambda: kubectl_here("get", "boat", "yawl", "-o", "jsonpath={.status.crew}")  # noqa: E731
        cluster.until(lambda: crew() == "4 sailors", f"the operator has manned the boat: {log.read_text()[-2000:]}")
        kubectl_here("delete", "boat", "yawl", "--timeout=60s")
        cluster.until(lambda: "farewell yawl" in log.read_text(), "the operator has said farewell")
    finally:
        operator.terminate()
        operator.wait(30)
