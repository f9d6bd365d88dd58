"""What the operator's commands decide before they touch a host."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from control.cli import certs, hosts, inventory, nodes
from control.cli.errors import CommandError
from inventory import vault

pytestmark = pytest.mark.unit

PODS = [
    ("of a replica set", {"ownerReferences": [{"kind": "ReplicaSet", "controller": True}]}, True),
    ("of nobody", {}, True),
    ("of a daemon set", {"ownerReferences": [{"kind": "DaemonSet", "controller": True}]}, False),
    ("static", {"annotations": {"kubernetes.io/config.mirror": "x"}}, False),
]


@pytest.mark.parametrize(("name", "metadata", "moves"), PODS, ids=[case[0] for case in PODS])
def test_draining_moves_a_pod(name: str, metadata: dict[str, Any], moves: bool) -> None:
    assert nodes.evictable({"metadata": metadata}) is moves


def test_ssh_is_called_as_provisioning_connects() -> None:
    variables = {
        "ansible_host": "10.0.0.1",
        "ansible_port": 2222,
        "ansible_user": "ops",
        "ansible_ssh_private_key_file": "/k",
        "ansible_ssh_common_args": "-o ProxyJump=jump",
    }
    command = hosts.client("node1", variables, ["echo", "two words"])
    assert command == [
        *("ssh", "-l", "ops", "-p", "2222", "-i", "/k", "-o", "ProxyJump=jump", "10.0.0.1", "--"),
        "echo 'two words'",
    ]


def test_an_inventory_may_stand_after_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    (tmp_path / "hosts").write_text("node1 ansible_host=10.0.0.1 ansible_user=ops\n")
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda program, words: started.append(words))
    parser = argparse.ArgumentParser()
    parser.set_defaults(command="ssh")
    hosts.configure(parser)
    ways = (
        ["node1", "-i", "hosts"],
        ["-i", "hosts", "node1"],
        ["-i", "hosts", "node1", "--"],
        ["node1", "-i", "hosts", "--"],
    )
    for words in ([*way, "ls", "-i"] for way in ways):
        hosts.run(parser.parse_args(words))
    assert started == [["ssh", "-l", "ops", "10.0.0.1", "--", "ls -i"]] * 4
    with pytest.raises(CommandError, match="which inventory"):
        hosts.run(parser.parse_args(["node1"]))


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        (True, (0, "--no-pager --output cat --unit=wherry-proxy --lines=5 --since=10 min ago\n", "")),
        (False, (1, "", "wherry logs: node1: no proxy runs there, for it has no unit wherry-proxy; ")),
    ],
)
def test_a_log_is_shown_or_it_is_said_that_there_is_none(
    tmp_path: Path, known: bool, wanted: tuple[int, str, str]
) -> None:
    for program, script in (("systemctl", f"exit {0 if known else 1}"), ("journalctl", 'echo "$@"')):
        (tmp_path / program).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / program).chmod(0o755)
    parser = argparse.ArgumentParser()
    parser.set_defaults(command="logs")
    hosts.configure(parser)
    words = hosts.journal(parser.parse_args(["node1", "proxy", "--lines=5", "--since=10 min ago"]))
    assert words[:2] == ["sudo", "-n"]
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(words[2:], env={"PATH": path}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == wanted[:2]
    assert done.stderr.startswith(wanted[2])


def test_certificates_that_end_first_stand_first() -> None:
    def entry(file: str, ends: float) -> dict[str, Any]:
        return {"file": file, "subject": "CN=x", "begins": 0.0, "ends": ends}

    lines = certs.table({"a": [entry("late", 10 * 86400.0)], "b": [entry("soon", 3600.0), entry("over", 1.0)]}, now=2.0)
    assert [line.split()[3] if "ended" in line else line.split()[4] for line in lines[1:]] == ["over", "soon", "late"]
    assert "ended" in lines[1] and "1.0 h" in lines[2] and "10 d" in lines[3]


def test_the_inventory_and_vault_of_an_ansible_cfg_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    (tmp_path / "ansible.cfg").write_text("[defaults]\ninventory = one,  two.yml\nvault_password_file = password\n")
    (tmp_path / "password").write_text("word\n")
    (tmp_path / "one").write_text("[g]\na when=2024-01-01\n")
    (tmp_path / "two.yml").write_text("g: {hosts: {b: {}}, vars: {said: ünïcode, since: 2024-01-01}}\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "g.yml").write_text(vault.encrypt("kept: secret\n", b"word", b"salt"))
    parser = argparse.ArgumentParser()
    inventory.configure(parser)
    assert inventory.run(parser.parse_args(["--list", "--yaml"])) == 0
    shown = capsys.readouterr().out
    assert shown.count("kept: secret") == 2 and shown.count("said: ünïcode") == 2
    assert shown.count("since: 2024-01-01") == 2 and "&id" not in shown


def test_a_reader_that_has_seen_enough_is_no_fault_of_the_inventory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    inventory.configure(parser)
    monkeypatch.setattr("inventory.command._text", closed)
    with pytest.raises(BrokenPipeError):
        inventory.run(parser.parse_args(["-i", "a,", "--list"]))
    assert capsys.readouterr().err == ""
