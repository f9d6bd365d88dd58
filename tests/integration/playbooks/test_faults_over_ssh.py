"""What happens to a run when its host, its connection or its operator goes away, over a real sshd."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from playbook_runs import Playbooks
from ssh_server import Server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

WHERRY = Path(sys.executable).parent / "wherry"
PLAY = "- hosts: node1\n  gather_facts: false\n  tasks:\n"
Wait = Callable[[Callable[[], bool]], None]


@contextmanager
def restarting(server: Server, wait_until: Wait, flag: Path) -> Iterator[None]:
    """The server dies with all its sessions once there is a file, and comes back at once."""

    def restart() -> None:
        wait_until(flag.exists)
        server.stop()
        server.start()

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_a_play_goes_on_with_a_host_that_was_restarted_under_it(
    remote: Playbooks, server: Server, wait_until: Wait
) -> None:
    with restarting(server, wait_until, remote.directory / "begun"):
        done = remote(
            PLAY + "    - name: cut off\n      shell: touch {{ here }}/begun; exec sleep 60\n"
            "      ignore_unreachable: true\n    - name: back\n      wait_for_connection: {timeout: 60}\n"
            "    - name: after\n      ping:\n"
        )
    assert done.result.status == 0
    assert done.of("cut off").result["unreachable"]
    assert done.of("after").result["ping"] == "pong"


def test_a_host_that_falls_silent_is_unreachable(remote: Playbooks, server: Server, wait_until: Wait) -> None:
    """The network between goes on acknowledging what is sent to such a host, as a jump host or a proxy does."""
    for variables in remote.hosts.values():
        variables["ansible_ssh_common_args"] = (
            f"{variables['ansible_ssh_common_args']} -o ServerAliveInterval=1 -o ServerAliveCountMax=1"
        )

    def silence() -> None:
        wait_until((remote.directory / "begun").exists)
        server.fall_silent()

    thread = threading.Thread(target=silence)
    thread.start()
    try:
        done = remote(PLAY + "    - name: cut off\n      shell: touch {{ here }}/begun; exec sleep 60\n")
    finally:
        thread.join()
    assert done.result.status == 4
    assert "the connection ended while module" in done.of("cut off").result["msg"]


def test_a_job_outlives_its_connection(remote: Playbooks, server: Server, wait_until: Wait) -> None:
    with restarting(server, wait_until, remote.directory / "begun"):
        done = remote(
            PLAY + "    - name: job\n      async: 60\n      poll: 1\n"
            "      shell: touch {{ here }}/begun; sleep 2; echo finished\n"
        )
    assert done.result.status == 0
    assert done.of("job").result["stdout"] == "finished"


def test_an_interruption_ends_the_run_and_what_it_started(remote: Playbooks, wait_until: Wait) -> None:
    playbook, inventory = remote.directory / "play.yml", remote.directory / "hosts.yml"
    playbook.write_text(
        PLAY + "    - shell: echo $$ > {{ here }}/pid.new; mv {{ here }}/pid.new {{ here }}/pid; exec sleep 60\n"
        "    - file: {path: '{{ here }}/never', state: touch}\n"
    )
    inventory.write_text(yaml.safe_dump({"all": {"hosts": remote.hosts}}))
    command = [WHERRY, "playbook", playbook, "-i", inventory]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        wait_until((remote.directory / "pid").exists)
        run.send_signal(signal.SIGINT)
        said, _ = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "PLAY RECAP" in said and "Traceback" not in said, said
    child = Path("/proc") / (remote.directory / "pid").read_text().strip()
    wait_until(lambda: not child.exists() or "sleep" not in (child / "cmdline").read_text())
    assert not (remote.directory / "never").exists()


def test_keys_of_an_agent_are_used(remote: Playbooks, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = remote.directory / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as agent:
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
            add = ["ssh-add", "-q", server.directory / "id"]
            while subprocess.run(add, env=environment, check=False, stderr=subprocess.DEVNULL).returncode == 2:
                assert agent.poll() is None
            (server.directory / "id").unlink()
            for variables in remote.hosts.values():
                del variables["ansible_ssh_private_key_file"]
            assert remote(PLAY + "    - ping:\n").result.status == 0
        finally:
            agent.terminate()
