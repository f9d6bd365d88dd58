"""One lab host: its disk, its boot, and its end.

Invariant: the host is running exactly while its control group has a living process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from control.cli.errors import CommandError
from control.cli.lab import keys
from control.cli.lab.cgroups import Cgroups
from control.cli.lab.driver import Host

_USER_ID = 1000


@dataclass(frozen=True, slots=True)
class Machine:
    """What a lab host is made of."""

    host: Host
    disk: Path
    namespace: Path
    log: Path
    cgroups: Cgroups

    def running(self) -> bool:
        """True while any process of the host lives."""
        return bool(self.cgroups.processes(self.host.name))

    def prepare(self, hosts: Sequence[Host], operator_key: str) -> str:
        """Make the host's disk if it has none; returns the public line of its SSH host key."""
        upper = self.disk / "upper"
        for directory in (upper, self.disk / "work", self.disk / "root", self.disk / "containers"):
            directory.mkdir(parents=True, exist_ok=True)
        etc = upper / "etc"
        public = keys.ensure_key(etc / "ssh/ssh_host_ed25519_key", self.host.name)
        (etc / "hostname").write_text(f"{self.host.name}\n")
        names = "".join(f"{host.address} {host.name}\n" for host in hosts)
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n{names}")
        authorized = upper / "home/lab/.ssh/authorized_keys"
        authorized.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        authorized.write_text(f"{operator_key}\n")
        for path in (authorized, authorized.parent, authorized.parent.parent):
            os.chown(path, _USER_ID, _USER_ID)
        return public

    def boot(self, tree: Path) -> None:
        """Start the host; returns at once."""
        groups = self.cgroups.create(self.host.name)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {
            "LAB_HOST": self.host.name,
            "LAB_NETNS": str(self.namespace),
            "LAB_TREE": str(tree),
            "LAB_DISK": str(self.disk),
            "LAB_CGROUPS": " ".join(str(group) for group in groups),
            "LAB_UNIFIED": str(int(self.cgroups.unified)),
        }
        script = files(__package__).joinpath("launch.sh")
        with as_file(script) as path, self.log.open("ab") as log:
            subprocess.Popen(
                [
                    *self.cgroups.launcher(self.host.name),
                    *("unshare", "--mount", "--propagation", "private", "sh", str(path)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | environment,
                start_new_session=True,
            )
            self._await_start()

    def power_off(self) -> None:
        """End all of the host's processes at once."""
        self.cgroups.kill(self.host.name)

    def remove(self) -> None:
        """Power off, and remove the host's groups and disk."""
        self.power_off()
        self.cgroups.remove(self.host.name)
        if self.disk.exists():
            shutil.rmtree(self.disk)

    def _await_start(self) -> None:
        deadline = time.monotonic() + 10
        while not self.running():
            if time.monotonic() > deadline:
                raise CommandError(f"lab host {self.host.name} did not start; see {self.log}")
            time.sleep(0.02)
