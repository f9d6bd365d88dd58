"""An sshd of a test's own on loopback, so that a test may end it, and change its keys, at any moment."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest


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
        keygen(key)

    def trust(self) -> None:
        """Write its key into the known hosts of the test."""
        public = (self.directory / "host_key.pub").read_text().split()
        line = f"[127.0.0.1]:{self.port} {public[0]} {public[1]}\n"
        (self.directory / "known_hosts").write_text(line)

    def fall_silent(self) -> None:
        """Stop every process of the server and its sessions: the kernel still acknowledges what is sent to them."""
        assert self.process is not None
        for pid in [self.process.pid, *_descendants(self.process.pid)]:
            os.kill(pid, signal.SIGSTOP)

    def stop(self) -> None:
        """End the server and its sessions, as a crash would: none of them tells how its command ended."""
        if self.process is not None:
            for pid in [self.process.pid, *_descendants(self.process.pid)]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.process.wait()
            self.process = None


def _descendants(pid: int) -> list[int]:
    """All processes below one, each before its children; one that ends meanwhile has none."""
    found: list[int] = []
    try:
        texts = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):
        return []
    for child in " ".join(texts).split():
        found.extend([int(child), *_descendants(int(child))])
    return found


def keygen(path: Path) -> None:
    """Make a key pair without a passphrase."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, stdin=subprocess.DEVNULL
    )


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
