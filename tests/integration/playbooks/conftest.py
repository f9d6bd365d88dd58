"""Real SSH servers on loopback, each with keys and files of its own, and playbooks to run against them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from playbooks.engine.display.events import Display, Finished
from playbooks.engine.result import Options, Result
from playbooks.engine.run import run_playbook


@dataclass
class Server:
    """An sshd of one test: `stop` ends it and everything it started."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def variables(self) -> dict[str, object]:
        """How to reach it."""
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.directory / "id"),
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.directory / 'known_hosts'}",
        }

    def start(self) -> None:
        """Start it and wait until it answers."""
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        if sshd is None:
            pytest.skip("needs the package openssh-server")
        Path("/run/sshd").mkdir(exist_ok=True)
        command = [sshd, "-D", "-f", str(self.directory / "sshd_config"), "-E", str(self.directory / "log")]
        self.process = subprocess.Popen(command, start_new_session=True)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.directory / "log").read_text())

    def new_host_key(self) -> None:
        """Give it another identity, from its next start on."""
        key = self.directory / "host_key"
        key.unlink(missing_ok=True)
        _keygen(key)

    def trust(self) -> None:
        """Write its key into the known hosts of the test."""
        public = (self.directory / "host_key.pub").read_text().split()
        line = f"[127.0.0.1]:{self.port} {public[0]} {public[1]}\n"
        (self.directory / "known_hosts").write_text(line)

    def stop(self) -> None:
        """End the server and its sessions, as a crash would."""
        if self.process is not None:
            for pid in [*_descendants(self.process.pid), self.process.pid]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.process.wait()
            self.process = None


def _descendants(pid: int) -> list[int]:
    """All processes below one, the deepest first."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found.extend([*_descendants(int(child)), int(child)])
    return found


def _keygen(path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, stdin=subprocess.DEVNULL
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running sshd whose key is known."""
    if os.geteuid() != 0:
        pytest.skip("sshd needs root to start sessions")
    directory = tmp_path_factory.mktemp("sshd")
    found = Server(directory, _free_port())
    _keygen(directory / "id")
    _keygen(directory / "host_key")
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


class Record(Display):
    """Remembers what ended, in order."""

    def __init__(self) -> None:
        self.finished_tasks: list[Finished] = []
        self.items: list[Finished] = []

    def item_finished(self, finished: Finished) -> None:
        self.items.append(finished)

    def task_finished(self, finished: Finished) -> None:
        self.finished_tasks.append(finished)


@dataclass
class Run:
    """A finished run."""

    result: Result
    display: Record
    directory: Path

    @property
    def last(self) -> str:
        """The last failure as it is shown."""
        return str(self.result.failures[-1])

    def of(self, name: str, host: str = "") -> Finished:
        """How the task of a name ended."""
        return next(
            found for found in self.display.finished_tasks if found.task.name == name and host in ("", found.host)
        )


@dataclass
class Playbooks:
    """Runs playbook texts against hosts with given variables."""

    directory: Path
    hosts: dict[str, dict[str, object]] = field(default_factory=dict)

    def __call__(self, text: str, options: Options | None = None) -> Run:
        import yaml

        (self.directory / "site.yml").write_text(text)
        (self.directory / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": self.hosts}}))
        display = Record()
        result = run_playbook(self.directory / "site.yml", [self.directory / "hosts.yml"], options, display)
        return Run(result, display, self.directory)


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
