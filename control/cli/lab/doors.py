"""Starts, finds and ends the lab's forwarder, and chooses the loopback addresses that it listens on.

Invariant: at most one forwarder a lab; it is known by its command line, so one whose pid file is lost is found too.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from control.cli.errors import CommandError
from control.cli.lab.driver import API_PORT, DEMO_PORT, Host
from control.cli.lab.forwarder import Door

SSH_PORT = 2222
# What leads to the same port of the host. SSH is apart: 22 of a loopback address may be the machine's own.
FORWARDED_PORTS = (API_PORT, DEMO_PORT)


def doors(hosts: Sequence[Host], prefix: str) -> list[Door]:
    """All doors of a lab: each host has the loopback address that ends as its own address does."""
    return [
        Door((loopback(host, prefix), outside), (host.address, inside))
        for host in hosts
        for outside, inside in ((SSH_PORT, 22), *((port, port) for port in FORWARDED_PORTS))
    ]


def loopback(host: Host, prefix: str) -> str:
    """The host's address as the operator's shell sees it."""
    return f"{prefix}.{host.address.rpartition('.')[2]}"


def free_prefix(hosts: Sequence[Host]) -> str:
    """The first three octets of loopback addresses on which nobody listens. Raises CommandError."""
    for third in range(256):
        prefix = f"127.56.{third}"
        if all(_is_free(door.listen) for door in doors(hosts, prefix)):
            return prefix
    raise CommandError("all of 127.56.0.0/16 is taken; take a lab down first (`wherry lab status`)")


class Forwarder:
    """The forwarder of one lab."""

    def __init__(self, pid_file: Path, log: Path) -> None:
        self._pid_file = pid_file
        self._log = log

    def running(self) -> list[int]:
        """The processes that serve this lab's doors."""
        needle = f"--pid-file\0{self._pid_file}\0".encode()
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and needle in _argv(entry)]

    def start(self, namespace: Path, doors: Iterable[Door]) -> None:
        """Start it if it does not run; returns once it listens. Raises CommandError."""
        if self.running():
            return
        self._pid_file.unlink(missing_ok=True)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        module = ("-m", "control.cli.lab.forwarder", "--namespace", str(namespace), "--pid-file", str(self._pid_file))
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *module, *map(str, doors)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        deadline = time.monotonic() + 15
        while not self._pid_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise CommandError(f"the forwarder of the lab's loopback addresses did not start; see {self._log}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it; returns when it is gone."""
        while pids := self.running():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    continue
            time.sleep(0.02)
        self._pid_file.unlink(missing_ok=True)


def await_ssh(address: str, port: int, seconds: float) -> bool:
    """True once an SSH server greets at the address; False if none did in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((address, port), timeout=2) as connection:
                if connection.recv(4) == b"SSH-":
                    return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


def _is_free(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError:
            return False
    return True


def _argv(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
