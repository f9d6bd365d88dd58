"""A cluster's life: made by one release, upgraded under load, its certificates replaced, a node gone and back, reset.

The tests share one lab and run in the order in which they stand: each begins where the one before it ended.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from labs import Lab, eventually
from operations import WORKLOAD, constant_load, other_release, run_release, state

from control.cli.lab import paths

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

HOSTS = ("control", "node1", "node2")


@dataclass
class Life:
    """The lab, its hosts' state before, and the release that the cluster was made by."""

    lab: Lab
    before: dict[str, set[str]]
    tree: Path


KERNEL = ("link ", "route ", "table ")


@pytest.fixture(scope="module")
def life(kubectl: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """A cluster made by another release, with a workload that serves."""
    made = Lab(f"life-{os.getpid()}", kubectl)
    try:
        made.lab("up", "--hosts-only")
        before = {host: state(made, host) for host in HOSTS}
        tree = other_release(tmp_path_factory.mktemp("release"))
        run_release(tree, "up", "-i", str(made.inventory))
        made.kubectl("apply", "-f", "-", stdin=WORKLOAD)
        eventually(lambda: _serves(made), 90, "three replicas serve")
        yield Life(made, before, tree)
    finally:
        made.lab("down", check=False)


def _serves(lab: Lab) -> bool:
    return len(lab.running_pods("app=web")) == 3 and "Answered by pod" in lab.ask("node1")


def _release(lab: Lab, host: str) -> str:
    return lab.ssh(host, "readlink /opt/wherry/current").strip()


def _ready(lab: Lab) -> list[str]:
    nodes = json.loads(lab.kubectl("get", "nodes", "-o", "json"))["items"]
    return sorted(
        node["metadata"]["name"]
        for node in nodes
        if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
        and not node["spec"].get("unschedulable")
    )


def test_an_upgrade_fails_no_request(life: Life) -> None:
    old = {host: _release(life.lab, host) for host in HOSTS}
    with constant_load(life.lab, "node1") as load:
        life.lab.wherry("upgrade", "-i", str(life.lab.inventory))
    assert load.failures == []
    assert load.answered > 50
    new = {host: _release(life.lab, host) for host in HOSTS}
    assert len(set(new.values())) == 1 and not set(new.values()) & set(old.values())
    assert _ready(life.lab) == ["node1", "node2"]
    eventually(lambda: _serves(life.lab), 60, "three replicas serve")


def test_another_upgrade_changes_nothing(life: Life) -> None:
    assert "nothing had to be changed" in life.lab.wherry("upgrade", "-i", str(life.lab.inventory)).stdout


def test_all_certificates_are_replaced_while_everything_runs(life: Life) -> None:
    lab = life.lab
    before = json.loads(lab.wherry("certs", "status", "--json", "-i", str(lab.inventory)).stdout)
    with constant_load(lab, "node1") as load:
        lab.wherry("certs", "rotate", "--lifetime", "1h", "-i", str(lab.inventory))
    after = json.loads(lab.wherry("certs", "status", "--json", "-i", str(lab.inventory)).stdout)
    assert load.failures == []
    assert set(after) == set(HOSTS)
    for host in HOSTS:
        old = {entry["file"]: entry for entry in before[host]}
        for entry in after[host]:
            if "-ca" in entry["subject"]:
                assert entry == old[entry["file"]]
            else:
                assert entry["begins"] > old[entry["file"]]["begins"], entry
    control = [entry for entry in after["control"] if "-ca" not in entry["subject"]]
    assert {round(entry["ends"] - entry["begins"], -2) for entry in control} <= {3600, 3900}
    pod = lab.running_pods("app=web")[0]["metadata"]["name"]
    assert lab.kubectl("exec", pod, "--", "/bin/sh", "-c", "echo heard") == "heard\n"


def test_a_node_leaves_and_comes_back(life: Life) -> None:
    lab = life.lab
    with constant_load(lab, "node1") as load:
        lab.wherry("remove-node", "-i", str(lab.inventory), "node2")
        assert _ready(lab) == ["node1"]
        gone = {line for line in state(lab, "node2") - life.before["node2"] if not line.startswith("path d")}
        assert gone == set()
        lab.wherry("add-node", "-i", str(lab.inventory), "node2")
    assert load.failures == []
    assert _ready(lab) == ["node1", "node2"]


def test_a_host_made_anew_under_its_old_name_rejoins(life: Life) -> None:
    """Its disk is lost, with its SSH key, its certificate and its pods; only the cluster still recalls it."""
    lab, known = life.lab, life.lab.files / "known_hosts"
    trusted = known.read_text()
    lab.lab("power-off", "node2")
    shutil.rmtree(paths.of(lab.name).host("node2"))
    lab.lab("up", "--hosts-only")
    known.write_text(trusted)
    done = lab.wherry("add-node", "-i", str(lab.inventory), "node2", check=False)
    assert done.returncode == 1
    assert "node2: the host key of" in done.stderr and "has changed" in done.stderr
    for command in re.findall(r"`(ssh-key[^`]*)`", done.stderr):
        subprocess.run(command, shell=True, check=True, capture_output=True)
    assert lab.ssh("node2", "test -e /opt/wherry || echo none").strip() == "none"
    # It is another host now, with keys of its own: the test of reset compares with its disk. A lab host's links and
    # rules outlive its power, so of those it is still what was there before the cluster.
    disk = {fact for fact in state(lab, "node2") if not fact.startswith(KERNEL)}
    life.before["node2"] = disk | {fact for fact in life.before["node2"] if fact.startswith(KERNEL)}
    lab.wherry("add-node", "-i", str(lab.inventory), "node2")
    assert _ready(lab) == ["node1", "node2"]
    assert "nothing had to be changed" in lab.wherry("up", "-i", str(lab.inventory)).stdout
    eventually(lambda: _serves(lab), 90, "three replicas serve")


def test_only_workers_of_the_inventory_are_added(life: Life) -> None:
    done = life.lab.wherry("add-node", "-i", str(life.lab.inventory), "node9", check=False)
    assert done.returncode == 1
    assert "node9: not in group `workers`" in done.stderr


def test_a_shell_and_a_log_of_a_host_are_one_command_away(life: Life) -> None:
    inventory = str(life.lab.inventory)
    assert life.lab.wherry("ssh", "-i", inventory, "node1", "hostname").stdout == "node1\n"
    assert "apiserver" in life.lab.wherry("logs", "-i", inventory, "control", "apiserver").stdout


def test_tokens_are_made_listed_and_revoked(life: Life) -> None:
    words = ("--kubeconfig", str(life.lab.files / "admin.kubeconfig"))
    token = life.lab.wherry("token", "create", "--ttl", "1h", *words).stdout.strip()
    assert token in life.lab.wherry("token", "list", "--show-secrets", *words).stdout
    life.lab.wherry("token", "revoke", token, *words)
    assert token.partition(".")[0] not in life.lab.wherry("token", "list", *words).stdout


def test_reset_leaves_the_hosts_as_they_were(life: Life) -> None:
    life.lab.wherry("reset", "-i", str(life.lab.inventory), "--yes", "--images")
    for host in HOSTS:
        assert sorted(state(life.lab, host) - life.before[host]) == [], host
        assert sorted(life.before[host] - state(life.lab, host)) == [], host
