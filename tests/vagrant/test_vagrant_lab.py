"""`vagrant up` from nothing to a cluster that answers, and back to nothing, on real virtual machines.

The tests are the stations of one journey and run in this order.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Machines

pytestmark = [pytest.mark.vagrant, pytest.mark.timeout(3600)]

WORKERS = {"node1": "192.168.56.11", "node2": "192.168.56.12"}


def test_up_alone_ends_with_a_cluster_and_says_how_to_reach_it(machines: Machines) -> None:
    said = machines.vagrant("up")
    assert "The lab is up" in said
    assert "export KUBECONFIG=" in said
    answering(machines)


def test_nodes_are_known_by_their_private_addresses(machines: Machines) -> None:
    nodes = json.loads(machines.kubectl("get", "nodes", "-o", "json"))["items"]
    addresses = {
        node["metadata"]["name"]: [one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"]
        for node in nodes
    }
    assert addresses == {name: [address] for name, address in WORKERS.items()}


def test_podman_on_a_machine_shows_containers_under_plain_names(machines: Machines) -> None:
    said = machines.vagrant("ssh", "node1", "-c", "sudo podman ps --format '{{.Names}}'")
    assert "web_demo-" in said
    assert "_default_" in said


def test_the_directory_of_the_vagrantfile_is_an_inventory(machines: Machines) -> None:
    graph = machines.wherry("inventory", "-i", ".", "--graph")
    assert "@control" in graph
    assert all(name in graph for name in WORKERS)
    said = machines.wherry("up", "-i", ".", "--kubeconfig", str(machines.log.with_name("admin.kubeconfig")))
    assert "nothing had to be changed" in said


def test_halted_machines_come_back_with_everything_that_ran(machines: Machines) -> None:
    machines.vagrant("halt")
    machines.vagrant("up")
    answering(machines)


def test_a_worker_made_anew_rejoins(machines: Machines) -> None:
    machines.vagrant("destroy", "-f", "node2")
    machines.vagrant("up", "node2")
    answering(machines)


def test_the_control_machine_can_provision_by_itself(machines: Machines, wheels: Path) -> None:
    said = machines.vagrant("provision", WHERRY_INSIDE="1")
    assert "The lab is up" in said
    answering(machines)


def test_destroy_leaves_nothing(machines: Machines) -> None:
    machines.vagrant("destroy", "-f")
    assert not machines.host.run("virsh", "list", "--all", "--name").strip()
    assert "box.img" in machines.host.run("virsh", "vol-list", "default")
    assert len(machines.host.run("virsh", "vol-list", "default").strip().splitlines()) == 3
    assert not (ROOT / ".lab" / "vagrant").exists()


def answering(machines: Machines) -> None:
    """Both workers are Ready, three replicas run, and the demo answers through either."""
    ready = "{.items[*].status.conditions[?(@.type=='Ready')].status}"
    eventually(lambda: machines.kubectl("get", "nodes", "-o", f"jsonpath={ready}").split() == ["True", "True"], 600)
    available = "jsonpath={.status.availableReplicas}"
    eventually(lambda: machines.kubectl("get", "deployment", "demo", "-o", available).strip() == "3", 600)
    for address in WORKERS.values():
        eventually(lambda address=address: "It lands anywhere." in machines.page(address), 300)


def eventually(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition; a failing command counts as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
            last = "the condition is not true"
        except AssertionError as error:
            last = str(error)
        assert time.monotonic() < deadline, last
        time.sleep(2)
