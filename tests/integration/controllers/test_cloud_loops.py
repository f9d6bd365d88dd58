"""The cloud controllers against the real API server: machines from files, addresses from a pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.objects import is_true
from control.cloud import static, vagrant
from control.cloud.command import controllers
from control.cloud.provider import Provider

pytestmark = pytest.mark.integration


def run(plane: Any, provider: Provider) -> None:
    term = controllers(plane.as_user("system:cloud-controller-manager"), plane.runtime, provider)
    plane.spawn("cloud", term.run)


def test_a_service_is_announced_by_another_node_seconds_after_its_own_is_silent(plane: Any, tmp_path: Path) -> None:
    file = tmp_path / "static.yaml"
    file.write_text("loadBalancer: {addresses: [192.0.2.1-192.0.2.2]}\n")
    silent: set[str] = set()
    run(plane, static.load(file, plane.runtime, lambda address, port: address not in silent))
    plane.nodes(3, port=10250)
    for name in ("a", "b", "c"):
        spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
        plane.client.create("services", {"metadata": {"name": name, "namespace": "default"}, "spec": spec})

    def found(name: str) -> Any:
        return plane.find("services", name, "default") or {}

    def address(name: str) -> str:
        return next(iter(static.addresses_of(found(name))), "")

    def announcer(name: str) -> str:
        return str(found(name)["metadata"].get("annotations", {}).get(static.ANNOUNCER, ""))

    plane.until(lambda: sum(1 for name in "abc" if address(name)) == 2, "both addresses of the pool are given")
    served = [name for name in "abc" if address(name)]
    assert {address(name) for name in served} == {"192.0.2.1", "192.0.2.2"}
    first = announcer(served[0])
    node = plane.find("nodes", first)
    silent.add(next(one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"))
    plane.until(lambda: announcer(served[0]) not in ("", first), "another node announces it", 8)
    assert is_true(plane.find("nodes", first), "Ready"), "long before its lease has run out"
    plane.client.delete("services", served[0], "default")
    waiting = next(name for name in "abc" if name not in served)
    plane.until(lambda: address(waiting), "the address is given to the one that waited", 40)


def test_where_traffic_stays_local_a_node_with_a_ready_endpoint_announces(plane: Any, tmp_path: Path) -> None:
    file = tmp_path / "static.yaml"
    file.write_text("loadBalancer: {addresses: [192.0.2.1-192.0.2.2]}\n")
    run(plane, static.load(file, plane.runtime, lambda address, port: True))
    plane.nodes(3, port=10250)
    names = sorted(node["metadata"]["name"] for node in plane.client.list("nodes").items)
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]}
    metadata = {"name": "near", "namespace": "default"}
    plane.client.create("services", {"metadata": metadata, "spec": spec})

    def shown(name: str, *, ready: bool = True) -> dict[str, Any]:
        return {"metadata": metadata | {"labels": {"kubernetes.io/service-name": "near"}}, "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.244.0.9"], "nodeName": name, "conditions": {"ready": ready}}],
                "ports": [{"port": 8080}]}  # fmt: skip

    def announcer() -> str:
        found = plane.find("services", "near", "default") or {"metadata": {}}
        return str(found["metadata"].get("annotations", {}).get(static.ANNOUNCER, ""))

    plane.client.create("endpointslices.discovery.k8s.io", shown(names[0]))
    for name in (names[0], names[2], names[1]):
        plane.client.update("endpointslices.discovery.k8s.io", shown(name))
        plane.until(lambda name=name: announcer() == name, f"{name}, where the endpoint is, announces it", 20)


def test_a_destroyed_machine_takes_its_node_along_and_a_halted_one_is_tainted(plane: Any, tmp_path: Path) -> None:
    states = tmp_path / "states"
    states.write_text("1,n1,state,running\n1,n2,state,running\n")
    (tmp_path / "vagrant.yaml").write_text("directory: .\ncommand: [cat, states]\n")
    uninitialized = [{"key": "node.cloudprovider.kubernetes.io/uninitialized", "effect": "NoSchedule", "value": "true"}]
    for name in ("n1", "n2"):
        plane.client.create("nodes", {"metadata": {"name": name}, "spec": {"taints": uninitialized}})
    run(plane, vagrant.load(tmp_path / "vagrant.yaml", plane.runtime))

    def taints(name: str) -> set[str]:
        return {one["key"] for one in plane.find("nodes", name)["spec"].get("taints") or []}

    plane.until(lambda: not any("uninitialized" in key for key in taints("n1") | taints("n2")), "both are initialised")
    assert plane.find("nodes", "n1")["spec"]["providerID"] == "vagrant://n1"
    states.write_text("1,n1,state,not_created\n1,n2,state,poweroff\n")
    plane.until(lambda: plane.find("nodes", "n1") is None, "the node of the destroyed machine is gone", 40)
    plane.until(lambda: "node.cloudprovider.kubernetes.io/shutdown" in taints("n2"), "the halted one's is tainted", 40)
