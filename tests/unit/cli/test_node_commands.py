"""What `wherry nodes`, `add-node` and `upgrade` decide, against an API server in this process."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apiserver_in_process import running

from api.client import Client
from api.runtime import SystemRuntime, micro_timestamp
from control.cli import certs, membership, nodes, provision, up, upgrade
from control.cli.errors import CommandError
from inventory import vault

pytestmark = pytest.mark.unit

INVENTORY = """\
all:
  children:
    control: {hosts: {cp: {ansible_host: 10.0.0.1}}}
    workers: {hosts: {one: {ansible_host: 10.0.0.2, node_address: 192.168.1.2}, two: {}}}
    others: {hosts: {three: {}}}
"""


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with running() as cluster:
        yield cluster.client()


@pytest.fixture
def node(client: Client) -> Iterator[str]:
    client.create("nodes", {"metadata": {"name": "one"}})
    yield "one"
    for pod in client.list("pods").items:
        client.delete("pods", pod["metadata"]["name"], "default", grace_period_seconds=0)
    client.delete("nodes", "one")


def _pod(client: Client, name: str, **metadata: Any) -> None:
    container = {"name": "c", "image": "i"}
    spec = {"nodeName": "one", "containers": [container], "tolerations": [{"operator": "Exists"}]}
    client.create("pods", {"metadata": {"name": name, "namespace": "default", **metadata}, "spec": spec})


def _owner(kind: str) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": kind, "name": "owner", "uid": "u", "controller": True}


def test_only_what_drain_cordoned_is_lifted_by_uncordon_own(client: Client, node: str) -> None:
    assert nodes.cordon(client, node)
    assert not nodes.cordon(client, node, mark=True)
    assert not nodes.uncordon(client, node, own=True)
    assert nodes.uncordon(client, node)
    assert nodes.cordon(client, node, mark=True)
    assert nodes.uncordon(client, node, own=True)
    assert not nodes.uncordon(client, node)
    assert nodes.DRAINED not in (client.get("nodes", node)["metadata"].get("annotations") or {})


def test_draining_moves_what_a_controller_makes_anew(client: Client, node: str) -> None:
    _pod(client, "replica", ownerReferences=[_owner("ReplicaSet")])
    _pod(client, "daemon", ownerReferences=[_owner("DaemonSet")])
    with pytest.raises(
        CommandError, match=r"node one is not drained: pod default/replica: it is ending \(waited 0 s\)"
    ):
        nodes.drain(client, SystemRuntime(), node, force=False, seconds=0)
    client.delete("pods", "replica", "default", grace_period_seconds=0)
    assert nodes.drain(client, SystemRuntime(), node, force=False, seconds=0) == 0
    assert client.get("pods", "daemon", "default")


def test_a_pod_of_nobody_is_moved_only_by_force(client: Client, node: str) -> None:
    _pod(client, "alone")
    with pytest.raises(CommandError, match=r"no controller would make anew elsewhere: default/alone; delete them, or"):
        nodes.drain(client, SystemRuntime(), node, force=False, seconds=0)
    assert "deletionTimestamp" not in client.get("pods", "alone", "default")["metadata"]
    with pytest.raises(CommandError, match="it is ending"):
        nodes.drain(client, SystemRuntime(), node, force=True, seconds=0)
    assert client.get("pods", "alone", "default")["metadata"]["deletionTimestamp"]


def test_a_budget_holds_a_pod_back_and_is_named(client: Client, node: str) -> None:
    _pod(client, "held", labels={"app": "held"}, ownerReferences=[_owner("ReplicaSet")])
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    client.patch("pods", "held", {"status": status}, "default", subresource="status")
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "held"}}}
    client.create("poddisruptionbudgets.policy", {"metadata": {"name": "keep", "namespace": "default"}, "spec": spec})
    with pytest.raises(CommandError, match=r"pod default/held: .*disruption budget"):
        nodes.drain(client, SystemRuntime(), node, force=False, seconds=0)
    client.delete("poddisruptionbudgets.policy", "keep", "default")


def _say_ready(client: Client, status: str, message: str) -> None:
    condition = {"type": "Ready", "status": status, "reason": "Said", "message": message}
    client.patch("nodes", "one", {"status": {"conditions": [condition]}}, subresource="status")


def test_a_node_is_waited_for_until_it_is_ready_and_heard_of_since(client: Client, node: str) -> None:
    assert nodes.unheard(client, node, 100.0) == "node one is not Ready: it has not said anything yet"
    _say_ready(client, "False", "starting")
    assert nodes.unheard(client, node, 100.0) == "node one is not Ready: starting"
    assert up.unready(client, ["one", "two"]) == (
        "node one is not Ready: Said: starting; node two has not registered; see `journalctl -u wherry-kubelet` there"
    )
    _say_ready(client, "True", "ready")
    assert nodes.unheard(client, node, 100.0) == "node one has not been heard of yet"
    spec = {"holderIdentity": "one", "renewTime": micro_timestamp(99.0)}
    client.create(
        "leases.coordination.k8s.io", {"metadata": {"name": "one", "namespace": "kube-node-lease"}, "spec": spec}
    )
    assert nodes.unheard(client, node, 100.0) == "node one has not been heard of yet"
    assert nodes.unheard(client, node, 99.0) == ""
    assert up.unready(client, ["one"]) == ""


@pytest.fixture
def inventory(tmp_path: Path) -> list[str]:
    path = tmp_path / "inventory.yml"
    path.write_text(INVENTORY)
    return [str(path)]


def test_hosts_have_the_address_that_is_reached_from_here(inventory: list[str]) -> None:
    assert provision.hosts(inventory) == provision.Hosts("10.0.0.1", {"one": "192.168.1.2", "two": "two"})
    assert provision.hosts(inventory, "cp:two").workers == ("two",)


@pytest.mark.parametrize(
    ("names", "refusal"),
    [
        (["three"], r"three: not in group `workers` of .*inventory\.yml, which has one, two; put the host there first"),
        (["one", "cp", "none"], r"cp, none: not in group"),
        (["one", "two"], ""),
    ],
)
def test_only_workers_of_the_inventory_join(names: list[str], refusal: str, inventory: list[str]) -> None:
    if not refusal:
        membership.check(inventory, names)
        return
    with pytest.raises(CommandError, match=refusal):
        membership.check(inventory, names)


def test_an_inventory_without_a_control_host_is_refused_before_anything_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hosts"
    path.write_text("[workers]\none\n")
    monkeypatch.setattr(up, "prepare", lambda say: pytest.fail("packed"))
    for module in (up, upgrade, certs):
        parser = argparse.ArgumentParser()
        module.configure(parser)
        words = [*(["rotate"] if module is certs else []), "-i", str(path)]
        with pytest.raises(CommandError, match="no host is in group `control`; put one there"):
            module.run(parser.parse_args(words))


def test_settings_are_read_as_yaml_and_refused_with_what_is_wrong() -> None:
    assert provision.variables_of(["a=1", "b=[x]", "c=k=v"]) == {"a": 1, "b": ["x"], "c": "k=v"}
    with pytest.raises(CommandError, match="'1a=x' is not of the form NAME=VALUE"):
        provision.variables_of(["1a=x"])
    with pytest.raises(CommandError, match="the value is not YAML"):
        provision.variables_of(["a=[1"])


def _command_line(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    provision.add_arguments(parser)
    return parser.parse_args(words)


def test_vaults_and_an_ansible_cfg_count_for_the_cluster_commands(
    inventory: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    (tmp_path / "group_vars").mkdir()
    secret = vault.encrypt("node_address: 10.9.9.9\n", b"password", b"s" * 32)
    (tmp_path / "group_vars" / "control.yml").write_text(secret)
    (tmp_path / "password").write_text("password\n")
    (tmp_path / "ansible.cfg").write_text("[defaults]\nremote_user = ops\nvault_password_file = password\n")
    run = provision.Run.of(_command_line("-i", *inventory))
    assert provision.hosts(inventory, secrets=run.secrets).api_address == "10.9.9.9"
    assert run.access["remote_user"] == "ops"
    assert provision.Run.of(_command_line("-u", "other")).access["remote_user"] == "other"
    with pytest.raises(CommandError, match=r"encrypted by ansible-vault; give --vault-password-file or --vault-id"):
        provision.hosts(inventory)


def test_the_inventory_of_this_directory_is_taken_unless_another_is_given(
    inventory: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    assert _command_line().inventory == ["inventory.yml"]
    assert _command_line("-i", "a", "-i", "b").inventory == ["a", "b"]
    (tmp_path / "ansible.cfg").write_text("[defaults]\ninventory = hosts\n")
    assert _command_line().inventory == [str(tmp_path / "hosts")]
