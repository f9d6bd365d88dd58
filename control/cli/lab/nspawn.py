"""The lab without virtualization: each host is a systemd-nspawn container with a real systemd, sshd and network.

Invariant: everything made on the machine carries the lab's name (namespaces, control groups, directories), so that
`down` finds it whatever state the lab is in.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from control.cli.errors import CommandError
from control.cli.lab import cgroups, doors, keys, paths, shell, tree
from control.cli.lab.driver import Endpoint, Host, Say
from control.cli.lab.fabric import Fabric
from control.cli.lab.host import Machine

_PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "unshare": "util-linux",
    "ssh": "openssh-client",
}
# Hosts boot in two seconds; on a machine whose disk is busy with other work several have taken more than a minute.
_SSH_WITHIN_SECONDS = 180.0


class NspawnDriver:
    """Lab hosts as systemd-nspawn containers; needs root."""

    def __init__(self, where: paths.Paths) -> None:
        self._where = where
        self._fabric = Fabric(where.name)
        self._cgroups = cgroups.detect(where.name)
        self._forwarder = doors.Forwarder(where.machine / "forwarder.pid", where.log("forwarder"))

    def up(self, hosts: Sequence[Host], say: Say) -> list[str]:
        """Boot what does not run and wait for SSH; see Driver.up."""
        shell.require_root("bringing up lab hosts")
        self._refuse_another_shape(hosts)
        prefix = paths.read_state(self._where).get("loopback") or doors.free_prefix(hosts)
        state = {"driver": "nspawn", "loopback": prefix, "hosts": [asdict(host) for host in hosts]}
        paths.write_state(self._where, state)
        if installed := shell.install_missing(_PROGRAMS):
            say("", f"installed {', '.join(installed)}")
        base = tree.base_tree(lambda sentence: say("", sentence))
        self._where.machine.mkdir(parents=True, exist_ok=True)
        self._fabric.up(hosts)
        self._open_doors(hosts, state)
        started = [host for host in hosts if not self._machine(host).running()]
        self._make_keys(hosts)
        for host in started:
            self._machine(host).boot(base)
            say(host.name, f"booting, {host.address}")
        for host in started:
            self._await_ssh(host)
            say(host.name, f"up, SSH answers at {self.endpoint(host.name).address}:{doors.SSH_PORT}")
        return [host.name for host in started]

    def down(self, say: Say) -> None:
        """Power off, and remove everything that carries the lab's name; see Driver.down."""
        shell.require_root("taking the lab down")
        self._forwarder.stop()
        for host in self._found():
            self._machine(host).remove()
            say(host.name, "removed")
        self._fabric.down()
        for directory in (self._where.machine, self._where.user):
            if directory.exists():
                shutil.rmtree(directory)
            _remove_if_empty(directory.parent)

    def running(self) -> dict[str, bool]:
        """See Driver.running."""
        return {host.name: self._machine(host).running() for host in self._hosts()}

    def power_off(self, name: str) -> None:
        """See Driver.power_off."""
        shell.require_root("powering a lab host off")
        self._machine(self._host(name)).power_off()

    def power_on(self, name: str) -> None:
        """See Driver.power_on."""
        shell.require_root("powering a lab host on")
        host = self._host(name)
        if not self._machine(host).running():
            self._fabric.up([host])
            self._machine(host).boot(tree.base_tree(lambda sentence: None))
        self._await_ssh(host)

    def disconnect(self, name: str) -> None:
        """See Driver.disconnect."""
        self._fabric.set_cable(self._host(name), plugged=False)

    def connect(self, name: str) -> None:
        """See Driver.connect."""
        self._fabric.set_cable(self._host(name), plugged=True)

    def endpoint(self, name: str) -> Endpoint:
        """See Driver.endpoint."""
        address = doors.loopback(self._host(name), paths.read_state(self._where)["loopback"])
        return Endpoint(address, doors.SSH_PORT, "lab", str(self._where.key), str(self._where.known_hosts), address)

    def _open_doors(self, hosts: Sequence[Host], state: dict[str, Any]) -> None:
        """Start the forwarder; if a lab that comes up beside this one took the addresses first, on the next ones."""
        while True:
            try:
                self._forwarder.start(self._fabric.operator, doors.doors(hosts, state["loopback"]))
                return
            except CommandError:
                free = doors.free_prefix(hosts)
                if free == state["loopback"]:
                    raise
            state["loopback"] = free
            paths.write_state(self._where, state)

    def _machine(self, host: Host) -> Machine:
        return Machine(
            host=host,
            disk=self._where.host(host.name),
            namespace=self._fabric.namespace(host.name),
            log=self._where.log(host.name),
            cgroups=self._cgroups,
        )

    def _make_keys(self, hosts: Sequence[Host]) -> None:
        operator = keys.ensure_key(self._where.key, f"operator of lab {self._where.name}")
        lines = []
        for host in hosts:
            public = self._machine(host).prepare(hosts, operator)
            endpoint = self.endpoint(host.name)
            lines.append(keys.known_hosts_line(endpoint.address, endpoint.port, public))
        self._where.known_hosts.write_text("".join(lines))

    def _await_ssh(self, host: Host) -> None:
        endpoint = self.endpoint(host.name)
        if not doors.await_ssh(endpoint.address, endpoint.port, _SSH_WITHIN_SECONDS):
            log = self._where.log(host.name)
            raise CommandError(f"SSH of lab host {host.name} did not answer in {_SSH_WITHIN_SECONDS:.0f} s; see {log}")

    def _hosts(self) -> list[Host]:
        return [Host(**entry) for entry in paths.read_state(self._where).get("hosts", [])]

    def _host(self, name: str) -> Host:
        hosts = {host.name: host for host in self._hosts()}
        if name not in hosts:
            known = ", ".join(hosts) or "none; `wherry lab up` makes them"
            raise CommandError(f"lab {self._where.name} has no host {name!r} (it has: {known})")
        return hosts[name]

    def _found(self) -> list[Host]:
        """The hosts that the state names, and any whose disk or group is there although the state is lost."""
        try:
            known = self._hosts()
        except CommandError:
            known = []
        names = {host.name for host in known}
        stray = {path.parent.name for path in self._where.machine.glob("*/upper")} | self._cgroups.hosts()
        return known + [Host(name, "", "") for name in sorted(stray - names)]

    def _refuse_another_shape(self, hosts: Sequence[Host]) -> None:
        present = self._hosts()
        if present and present != list(hosts):
            names = ", ".join(host.name for host in present)
            raise CommandError(
                f"lab {self._where.name} is there already, with {names}; take it down first, or use another --name"
            )


def _remove_if_empty(directory: Path) -> None:
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()
