"""Real processes that the store's tests run against: etcd and `wherry kvstore`, on loopback and unix sockets."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from api.runtime import SystemRuntime
from control.kvstore.client import open_store
from control.kvstore.store import Store, StoreError

START_SECONDS = 30.0


def eventually(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)


def answers(spec: str) -> bool:
    """Whether a store can be reached there."""
    try:
        store = open_store(spec, SystemRuntime())
    except StoreError:
        return False
    try:
        store.range(b"a")
    except StoreError:
        return False
    finally:
        store.close()
    return True


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Process:
    """A server that can be killed and started again on the same data."""

    spec: str

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.arguments = arguments
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(self.arguments, stdout=output, stderr=output)
        eventually(lambda: self._process.poll() is not None or answers(self.spec), f"{self.arguments[0]} answers")
        assert self._process.poll() is None, self.log.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            os.kill(self._process.pid, number)
        return self._process.wait(START_SECONDS)

    def store(self) -> Store:
        return open_store(self.spec, SystemRuntime())


class Etcd(Process):
    """One etcd member."""

    binary = shutil.which("etcd")

    def __init__(self, directory: Path) -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        self.spec = f"etcd={client}"
        self.url = client
        arguments = [
            str(self.binary), "--data-dir", str(directory / "etcd"), "--logger", "zap",
            "--heartbeat-interval", "20", "--election-timeout", "200",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
        ]  # fmt: skip
        super().__init__(arguments, directory / "etcd.log")


class Service(Process):
    """`wherry kvstore` on a unix socket."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.data = directory / "data"
        self.socket = directory / "kvstore.sock"
        self.spec = f"unix:{self.socket}"
        code = "import sys; from control.cli.main import main; sys.exit(main())"
        arguments = [
            sys.executable, "-c", code, "kvstore", "--data-dir", str(self.data), "--listen", self.spec, *options,
        ]  # fmt: skip
        super().__init__(arguments, directory / "kvstore.log")
