"""Real SSH servers on loopback, each with keys and files of its own, and playbooks to run against them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playbook_runs import Playbooks
from ssh_server import Server, free_port, keygen


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running sshd whose key is known."""
    if os.geteuid() != 0:
        pytest.skip("sshd needs root to start sessions")
    directory = tmp_path_factory.mktemp("sshd")
    found = Server(directory, free_port())
    keygen(directory / "id")
    keygen(directory / "host_key")
    shutil.copy(directory / "id.pub", directory / "authorized_keys")
    (directory / "sshd_config").write_text(
        f"Port {found.port}\nListenAddress 127.0.0.1\nHostKey {directory}/host_key\nStrictModes no\n"
        f"AuthorizedKeysFile {directory}/authorized_keys\nPidFile none\nPermitRootLogin yes\nUsePAM no\n"
        "Subsystem sftp internal-sftp\nMaxStartups 200\nMaxSessions 50\n"
        f"SetEnv XDG_CACHE_HOME={directory}/cache\n"
    )
    found.trust()
    found.start()
    yield found
    found.stop()


@pytest.fixture
def local(tmp_path: Path) -> Playbooks:
    """Runs playbooks on one host that is this machine, without SSH."""
    variables: dict[str, object] = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "/usr/bin/python3",
        "here": str(tmp_path),
    }
    return Playbooks(tmp_path, {"node1": variables})


@pytest.fixture
def remote(tmp_path: Path, server: Server) -> Playbooks:
    """Runs playbooks on two hosts that are the server of the test."""
    return Playbooks(
        tmp_path, {name: {**server.variables, "here": str(tmp_path), "name": name} for name in ("node1", "node2")}
    )


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true within 30 s"
            time.sleep(0.02)

    return wait
