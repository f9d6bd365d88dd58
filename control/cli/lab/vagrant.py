"""The lab on virtual machines: the same verbs by `vagrant`, with the Vagrantfile of the checkout.

Invariant: Vagrant knows the machines; nothing about them is kept here but which there should be.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from control.cli.errors import CommandError
from control.cli.lab import paths
from control.cli.lab.driver import Endpoint, Host, Say

_SCANS, _SCAN_SECONDS, _BETWEEN_SCANS_SECONDS = 10, 10, 2
_DIRECTORY = Path(__file__).resolve().parents[3] / "vagrant"


class VagrantDriver:
    """Lab hosts as Vagrant machines; `vagrant` and a provider must be installed."""

    def __init__(self, where: paths.Paths) -> None:
        self._where = where
        if shutil.which("vagrant") is None:
            raise CommandError("vagrant is not installed; install it and a provider, or use --driver nspawn")

    def up(self, hosts: Sequence[Host], say: Say) -> list[str]:
        """See Driver.up."""
        paths.write_state(self._where, {"driver": "vagrant", "hosts": [asdict(host) for host in hosts]})
        running = self.running()
        missing = [host.name for host in hosts if not running.get(host.name)]
        if missing:
            say("", f"vagrant up {' '.join(missing)} (minutes)")
            self._vagrant("up", "--no-provision", *missing)
        for name in missing:
            say(name, "up")
        self._write_ssh_config()
        return missing

    def down(self, say: Say) -> None:
        """See Driver.down."""
        self._vagrant("destroy", "--force")
        if self._where.user.exists():
            shutil.rmtree(self._where.user)
        say("", "machines destroyed")

    def running(self) -> dict[str, bool]:
        """See Driver.running."""
        found: dict[str, bool] = {}
        for line in self._vagrant("status", "--machine-readable").splitlines():
            _, machine, kind, *data = line.split(",")
            if kind == "state" and machine:
                found[machine] = data[0] == "running"
        names = [host.name for host in self._hosts()]
        return {name: found.get(name, False) for name in names}

    def power_off(self, name: str) -> None:
        """See Driver.power_off."""
        self._vagrant("halt", "--force", self._host(name).name)

    def power_on(self, name: str) -> None:
        """See Driver.power_on."""
        self._vagrant("up", "--no-provision", self._host(name).name)
        self._write_ssh_config()

    def disconnect(self, name: str) -> None:
        """See Driver.disconnect."""
        self._set_cable(name, "down")

    def connect(self, name: str) -> None:
        """See Driver.connect."""
        self._set_cable(name, "up")

    def endpoint(self, name: str) -> Endpoint:
        """See Driver.endpoint."""
        host = self._host(name)
        options = self._ssh_options(name)
        return Endpoint(
            address=options["HostName"],
            port=int(options["Port"]),
            user=options["User"],
            key=options["IdentityFile"].strip('"'),
            known_hosts=str(self._where.known_hosts),
            service_address=host.address,
        )

    def _set_cable(self, name: str, state: str) -> None:
        """The private link alone: Vagrant's own link carries the SSH connection that this comes by."""
        address = self._host(name).address
        command = f"link=$(ip -o -4 addr | awk '$4 ~ \"^{address}/\" {{print $2}}'); echo $link > /run/lab-link"
        if state == "up":
            command = "link=$(cat /run/lab-link)"
        self._vagrant("ssh", name, "-c", f"sudo sh -c '{command}; ip link set \"$link\" {state}'")

    def _ssh_options(self, name: str) -> dict[str, str]:
        text = self._vagrant("ssh-config", name)
        pairs = (line.strip().partition(" ") for line in text.splitlines() if line.startswith("  "))
        return {key: value.strip() for key, _, value in pairs}

    def _write_ssh_config(self) -> None:
        """Trust the hosts' keys as they are now: the path to a new machine is this machine's own."""
        lines = [line for host in self._hosts() for line in self._host_keys(host.name)]
        self._where.known_hosts.write_text("".join(f"{line}\n" for line in lines))

    def _host_keys(self, name: str) -> list[str]:
        """The lines of known_hosts for a machine, which may still be busy with its start."""
        endpoint = self.endpoint(name)
        for _ in range(_SCANS):
            scanned = subprocess.run(
                ["ssh-keyscan", "-T", str(_SCAN_SECONDS), "-p", str(endpoint.port), endpoint.address],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            lines = [line for line in scanned.stdout.splitlines() if line and not line.startswith("#")]
            if lines:
                return lines
            # A refused connection is answered at once.
            time.sleep(_BETWEEN_SCANS_SECONDS)
        raise CommandError(
            f"{name} shows no SSH host key at {endpoint.address}:{endpoint.port} after {_SCANS} attempts; "
            f"look at it with `vagrant ssh {name}`, then run the command again"
        )

    def _vagrant(self, *words: str) -> str:
        workers = sum(host.group == "workers" for host in self._hosts())
        # WHERRY_LAB keeps the Vagrantfile from provisioning the machines a second time.
        environment = {
            **os.environ, "WHERRY_LAB": "1", "WHERRY_WORKERS": str(workers or 2), "VAGRANT_CHECKPOINT_DISABLE": "1"
        }  # fmt: skip
        done = subprocess.run(
            ["vagrant", *words], cwd=_DIRECTORY, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()] or ["nothing"]
            raise CommandError(f"`vagrant {' '.join(words)}` failed and said: {said[-1].strip()}")
        return done.stdout

    def _hosts(self) -> list[Host]:
        return [Host(**entry) for entry in paths.read_state(self._where).get("hosts", [])]

    def _host(self, name: str) -> Host:
        for host in self._hosts():
            if host.name == name:
                return host
        raise CommandError(f"lab {self._where.name} has no host {name!r}")
