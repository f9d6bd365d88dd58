"""Playbooks over real SSH: one connection, one helper, files that travel only when they differ, and every fault a
sentence that says which host, why, and what to do."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from playbook_runs import Playbooks
from ssh_server import Server

from playbooks.engine.result import Options
from playbooks.errors import PlaybookError

pytestmark = pytest.mark.integration

PING = "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: ping\n      ping:\n"


def test_hosts_answer_and_facts_arrive(remote: Playbooks) -> None:
    done = remote(
        "- hosts: all\n  tasks:\n    - name: assert\n      assert:\n        that:\n"
        "          - ansible_facts.os_family == ansible_os_family\n          - ansible_processor_vcpus >= 1\n"
        "          - hostvars['node2'].ansible_kernel == ansible_kernel\n          - ansible_memtotal_mb > 0\n"
    )
    assert done.result.status == 0
    assert {host: counts.ok for host, counts in done.result.counts.items()} == {"node1": 2, "node2": 2}


def test_one_connection_serves_all_tasks(remote: Playbooks, server: Server) -> None:
    tasks = "".join(f"    - command: echo {number}\n" for number in range(5))
    remote("- hosts: node1\n  gather_facts: false\n  tasks:\n" + tasks)
    log = (server.directory / "log").read_text()
    assert log.count("Accepted publickey") == 1
    helpers = list((server.directory / "cache" / "wherry").iterdir())
    assert [path.name.startswith("helper-") for path in helpers] == [True]


@pytest.mark.parametrize("size", [0, 100, 5_000_000])
def test_a_file_arrives_whole_and_only_once(remote: Playbooks, size: int) -> None:
    content = os.urandom(size)
    (remote.directory / "payload").write_bytes(content)
    text = (
        "- hosts: node1\n  gather_facts: false\n  tasks:\n"
        "    - name: copied\n      copy: {src: payload, dest: '{{ here }}/arrived', mode: '0640'}\n"
    )
    first, second = remote(text), remote(text)
    assert (first.result.changed, second.result.changed) == (1, 0)
    arrived = remote.directory / "arrived"
    assert arrived.read_bytes() == content
    assert arrived.stat().st_mode & 0o777 == 0o640
    assert first.of("copied").result["checksum"] == hashlib.sha1(content).hexdigest()


def test_a_large_file_comes_back(remote: Playbooks) -> None:
    content = os.urandom(3_000_000)
    (remote.directory / "there").write_bytes(content)
    remote(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - fetch: {src: '{{ here }}/there', dest: '{{ here }}/back-{{ name }}', flat: true}\n"
    )
    assert (remote.directory / "back-node1").read_bytes() == content


def test_check_mode_changes_nothing_and_says_what_would(remote: Playbooks) -> None:
    text = (
        "- hosts: node1\n  gather_facts: false\n  tasks:\n"
        "    - copy: {content: new, dest: '{{ here }}/file'}\n    - command: touch {{ here }}/never\n"
        "    - file: {path: '{{ here }}/dir', state: directory}\n"
        "    - lineinfile: {path: '{{ here }}/lines', line: x, create: true}\n"
    )
    done = remote(text, Options(check=True, diff=True))
    assert done.result.changed == 3
    assert sorted(path.name for path in remote.directory.iterdir()) == ["hosts.yml", "site.yml"]
    assert done.display.finished_tasks[0].result["diff"][0]["after"] == "new"


def test_raw_needs_no_python(remote: Playbooks) -> None:
    for variables in remote.hosts.values():
        variables["ansible_python_interpreter"] = "/nowhere/python3"
    done = remote(
        "- hosts: node1\n  gather_facts: false\n  tasks:\n"
        "    - name: bare\n      raw: echo $((20 + 1))\n    - name: ping\n      ping:\n"
    )
    assert done.of("bare").result["stdout"] == "21\n"
    assert done.result.status == 2
    assert "node1: no /nowhere/python3 on the host; install it with a `raw` task" in done.last


def test_a_dead_port_is_said(remote: Playbooks, server: Server) -> None:
    server.stop()
    done = remote(PING)
    assert done.result.status == 4
    assert f"node1: cannot connect to 127.0.0.1:{server.port}" in str(done.result.failures)
    assert "task 'ping'" in done.last and "site.yml:4" in done.last


def test_a_wrong_key_is_said(remote: Playbooks, server: Server) -> None:
    (server.directory / "authorized_keys").write_text("")
    done = remote(PING)
    assert done.result.status == 4
    assert "refused user root" in done.last and "check ansible_user" in done.last


def test_a_missing_key_file_is_said(remote: Playbooks, server: Server) -> None:
    (server.directory / "id").unlink()
    assert "(ansible_ssh_private_key_file) does not exist" in remote(PING).last


def test_a_changed_host_key_is_refused(remote: Playbooks, server: Server) -> None:
    server.stop()
    server.new_host_key()
    server.start()
    done = remote(PING)
    assert done.result.status == 4
    assert "has changed" in done.last
    for command in re.findall(r"`(ssh-key[^`]*)`", done.last):
        subprocess.run(command, shell=True, check=True, capture_output=True)
    assert remote(PING).result.status == 0


def test_an_unknown_host_key_is_refused_unless_asked_otherwise(remote: Playbooks, server: Server) -> None:
    known = server.directory / "known_hosts"
    known.unlink()
    assert "is not known" in remote(PING).last
    for variables in remote.hosts.values():
        variables["ansible_ssh_common_args"] = f"-o UserKnownHostsFile={known} -o StrictHostKeyChecking=accept-new"
    assert remote(PING).result.status == 0
    assert f"[127.0.0.1]:{server.port} ssh-ed25519" in known.read_text()


def test_a_key_may_be_known_by_an_alias(remote: Playbooks, server: Server) -> None:
    known = server.directory / "known_hosts"
    known.write_text("gate " + known.read_text().split(" ", 1)[1])
    plain = remote(PING).last
    assert "the host key of 127.0.0.1" in plain
    for variables in remote.hosts.values():
        variables["ansible_ssh_common_args"] = f"-o UserKnownHostsFile={known} -o HostKeyAlias=gate"
    assert remote(PING).result.status == 0
    server.stop()
    server.new_host_key()
    server.start()
    assert remote(PING).result.status == 4


def test_a_name_that_does_not_resolve_is_said(remote: Playbooks) -> None:
    remote.hosts = {"node1": {**remote.hosts["node1"], "ansible_host": "no-such-host.invalid"}}
    assert "'no-such-host.invalid' cannot be resolved; set ansible_host" in remote(PING).last


def test_a_connection_lost_in_mid_task_names_the_task_in_doubt(
    remote: Playbooks, server: Server, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    flag = remote.directory / "begun"

    def crash() -> None:
        wait_until(flag.exists)
        server.stop()

    killer = threading.Thread(target=crash)
    killer.start()
    done = remote(
        "- hosts: node1\n  gather_facts: false\n  tasks:\n    - name: long\n"
        "      shell: touch {{ here }}/begun; exec sleep 60\n    - name: after\n      ping:\n"
    )
    killer.join()
    assert done.result.status == 4
    assert "task 'long'" in done.last and "whether it finished is not known" in done.last


def test_other_hosts_go_on_without_an_unreachable_one(remote: Playbooks) -> None:
    remote.hosts["node2"]["ansible_port"] = 1
    done = remote(PING)
    assert done.result.counts["node1"].ok == 1
    assert done.result.counts["node2"].unreachable == 1


def test_wrong_sudo_password_is_said(remote: Playbooks, tmp_path: Path) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != "--" ]; do [ "$1" = -p ] && prompt=$2; shift; done; shift\n'
        'for try in 1 2 3; do printf %s "$prompt" >&2; read word; [ "$word" = right ] && exec "$@"\n'
        'echo "Sorry, try again." >&2; done; exit 1\n'
    )
    sudo.chmod(0o755)
    text = PING.replace("gather_facts: false", "gather_facts: false\n  become: true\n  become_user: nobody")
    for variables in remote.hosts.values():
        variables.update(ansible_become_exe=str(sudo), ansible_become_password="wrong")
    done = remote(text)
    assert done.result.status == 2
    assert "sudo refused the password; correct ansible_become_password" in done.last
    for variables in remote.hosts.values():
        variables["ansible_become_password"] = "right"
    assert remote(text).result.status == 0


def test_nothing_runs_when_the_playbook_is_wrong(remote: Playbooks, server: Server) -> None:
    with pytest.raises(PlaybookError, match=r"site\.yml:6: keyword or module 'cpoy'"):
        remote(PING + "    - cpoy: {}\n")
    with pytest.raises(PlaybookError, match=r"site\.yml:1: pattern 'nodes' names neither"):
        remote("- hosts: nodes\n  tasks: [{ping: }]\n")
    assert "Accepted" not in (server.directory / "log").read_text()


def test_a_jump_host_is_taken(remote: Playbooks, server: Server) -> None:
    arguments = f"{server.variables['ansible_ssh_common_args']} -J root@127.0.0.1:{server.port}"
    remote.hosts = {"node1": {**remote.hosts["node1"], "ansible_ssh_common_args": arguments}}
    assert remote(PING).result.status == 0
    assert (server.directory / "log").read_text().count("Accepted publickey") == 2


RESTARTS = """
- hosts: all
  gather_facts: false
  module_defaults: {reboot: {boot_time_command: "cat {{ here }}/boot-{{ name }}", reboot_timeout: 30}}
  tasks:
    - {name: first, copy: {content: one, dest: "{{ here }}/boot-{{ name }}"}}
    - {name: refused, reboot: {reboot_command: "exit 7"}, ignore_errors: true}
    - {name: restarted, reboot: {reboot_command: "echo two > {{ here }}/boot-{{ name }}"}}
    - {name: still there, reboot: {reboot_command: "true", reboot_timeout: 1}, ignore_errors: true}
"""


def test_a_restart_ends_with_another_boot_and_a_refused_one_at_once(remote: Playbooks) -> None:
    done = remote(RESTARTS)
    assert "Reboot command failed" in done.of("refused", "node1").result["msg"]
    assert done.of("restarted", "node2").result == {**done.of("restarted", "node2").result, "rebooted": True}
    assert done.of("still there", "node2").result["msg"] == "Timed out waiting for the host to come back"
    assert done.result.status == 0


def test_a_task_ends_at_its_timeout(remote: Playbooks) -> None:
    done = remote(
        "- hosts: node1\n  gather_facts: false\n  tasks:\n    - name: slow\n      command: sleep 60\n      timeout: 1\n"
    )
    assert done.result.status == 2
    assert "expected time frame (1)" in done.last
