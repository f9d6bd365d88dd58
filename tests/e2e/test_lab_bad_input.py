"""What is wrong ends as one clear sentence and an exit status, and nothing stays half done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from labs import Lab, eventually

from control.cli.lab.keys import ensure_key

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@dataclasses.dataclass(frozen=True)
class Case:
    """How a good inventory and playbook are spoilt, and what the last line must say."""

    name: str
    words: tuple[str, ...]
    inventory: Callable[[dict[str, Any]], Any] = lambda document: document
    playbook: str = "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.ping: {}}]\n"


def _with_host(**variables: Any) -> Callable[[dict[str, Any]], Any]:
    def spoil(document: dict[str, Any]) -> dict[str, Any]:
        document["all"]["children"]["workers"]["hosts"]["node1"] |= variables
        return document

    return spoil


def _task(text: str) -> str:
    return f"- hosts: all\n  gather_facts: false\n  tasks:\n    - {text}\n"


CASES = [
    Case("inventory-is-no-yaml", ("inventory.yml:2: not YAML",), lambda document: "all: [unclosed\n  x: {"),
    Case("group-that-nobody-defines", ("webservers",), playbook="- hosts: webservers\n  tasks: []\n"),
    Case("host-that-cannot-be-reached", ("node1", "127.56.255.254"), _with_host(ansible_host="127.56.255.254")),
    Case("wrong-key", ("node1", "key"), _with_host(ansible_ssh_private_key_file="WRONG")),
    Case("unknown-module", ("play.yml", "nonsense"), playbook=_task("nonsense: {}")),
    Case("unknown-keyword", ("play.yml", "whenn"), playbook=_task("{ansible.builtin.ping: {}, whenn: true}")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_playbook_run_says_what_is_wrong_with(case: Case, steady: Lab, tmp_path: Path) -> None:
    spoilt = case.inventory(yaml.safe_load(steady.inventory.read_text()))
    text = spoilt if isinstance(spoilt, str) else yaml.safe_dump(spoilt)
    inventory, playbook = tmp_path / "inventory.yml", tmp_path / "play.yml"
    inventory.write_text(text.replace("WRONG", str(_fresh_key(tmp_path))))
    playbook.write_text(case.playbook)
    done = steady.wherry("playbook", str(playbook), "-i", str(inventory), check=False)
    assert done.returncode != 0
    last = (done.stdout + done.stderr).strip().splitlines()[-1]
    assert all(word in last for word in case.words), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def _fresh_key(directory: Path) -> Path:
    path = directory / "another_key"
    ensure_key(path, "nobody knows this key")
    return path


INVALID = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: invalid}
spec:
  replicas: -1
  selector: {matchLabels: {app: one}}
  template:
    metadata: {labels: {app: another}}
    spec: {containers: [{name: Web, image: ""}]}
"""


def test_an_invalid_manifest_is_refused_with_the_field(steady: Lab, tmp_path: Path) -> None:
    manifest = tmp_path / "invalid.yml"
    manifest.write_text(INVALID)
    with pytest.raises(AssertionError, match=r"spec\.replicas") as refused:
        steady.kubectl("create", "-f", str(manifest))
    assert "spec.template.metadata.labels" in str(refused.value)
    assert not steady.kubectl("get", "deployments", "invalid", "--ignore-not-found")


def test_a_full_disk_refuses_writes_and_the_store_goes_on_once_there_is_room(steady: Lab) -> None:
    data = "/var/lib/wherry/kvstore"
    steady.ssh(
        "control",
        f"systemctl stop wherry-kvstore && cp -a {data} {data}.kept "
        f"&& mount -t tmpfs -o size=24m,mode=0700 tmpfs {data} "
        f"&& cp -a {data}.kept/. {data}/ && systemctl start wherry-kvstore",
    )
    try:
        eventually(lambda: bool(steady.kubectl("get", "nodes", "-o", "name")), 60, "the API server answers again")
        steady.ssh("control", f"dd if=/dev/zero of={data}/filler bs=4k", check=False)
        refused = False
        for number in range(400):
            name = f"filler-{number}"
            try:
                steady.kubectl("create", "configmap", name, f"--from-literal=text={'x' * 20000}")
            except AssertionError as error:
                assert "full" in str(error) or "space" in str(error), error
                refused = True
                break
        assert refused, "the disk never filled"
        assert steady.kubectl("get", "pods")
        steady.ssh("control", f"rm {data}/filler")
        eventually(lambda: "created" in steady.kubectl("create", "configmap", "roomy"), 30, "writes go on")
    finally:
        steady.ssh(
            "control",
            f"systemctl stop wherry-kvstore; rm -f {data}/filler; rm -rf {data}.kept; cp -a {data} {data}.kept; "
            f"umount {data}; cp -a {data}.kept/. {data}/; rm -rf {data}.kept; systemctl start wherry-kvstore",
        )
