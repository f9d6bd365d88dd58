"""The lab's network: one namespace with a bridge, and one namespace a host with a link into that bridge.

Nothing touches the machine's own interfaces: both ends of every link are born inside the lab's namespaces.

Invariant: a host's MAC address follows from its address, so a host that comes back under its address meets no
stale neighbour entry.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path

from control.cli.lab import shell
from control.cli.lab.driver import Host

NAMESPACES = Path("/run/netns")
GATEWAY = "192.168.56.1/24"
_BRIDGE = "lab0"


class Fabric:
    """The network namespaces of one lab. The operator's side is the bridge's own address, 192.168.56.1."""

    def __init__(self, lab: str) -> None:
        self._lab = lab

    @property
    def operator(self) -> Path:
        """The namespace in which the lab's network is reached."""
        return self._path("fabric")

    def namespace(self, host: str) -> Path:
        """The network namespace of a host."""
        return self._path(host)

    def up(self, hosts: Sequence[Host]) -> None:
        """Make what is missing of the bridge and the hosts' links."""
        if not self.operator.exists():
            shell.run("ip", "netns", "add", self.operator.name)
        if not self._has_link(self.operator, _BRIDGE):
            self._batch(self.operator, [f"link add {_BRIDGE} type bridge stp_state 0 forward_delay 0"])
        self._batch(
            self.operator, [f"address replace {GATEWAY} dev {_BRIDGE}", f"link set {_BRIDGE} up", "link set lo up"]
        )
        for host in hosts:
            self._plug(host)

    def down(self) -> None:
        """Remove the lab's namespaces, and the directory of namespaces if nobody else uses it."""
        if not NAMESPACES.is_dir():
            return
        for path in sorted(NAMESPACES.glob(f"{self._lab}.*")):
            # A namespace is removed some time after its name; its links must be gone when this returns.
            for link in self._links(path):
                shell.succeeds("ip", "-n", path.name, "link", "delete", link)
            shell.run("ip", "netns", "delete", path.name)
        if not any(NAMESPACES.iterdir()) and shell.succeeds("mountpoint", "-q", str(NAMESPACES)):
            shell.run("umount", str(NAMESPACES))
            NAMESPACES.rmdir()

    def exists(self) -> bool:
        """True if anything of the network is there."""
        return any(NAMESPACES.glob(f"{self._lab}.*"))

    def set_cable(self, host: Host, plugged: bool) -> None:
        """Plug or unplug the host's link at the bridge's side."""
        state = "up" if plugged else "down"
        shell.run("ip", "-n", self.operator.name, "link", "set", port_of(host), state)

    def _plug(self, host: Host) -> None:
        namespace = self.namespace(host.name)
        if not namespace.exists():
            shell.run("ip", "netns", "add", namespace.name)
        if not self._has_link(namespace, "eth0"):
            port = port_of(host)
            if self._has_link(self.operator, port):
                shell.run("ip", "-n", self.operator.name, "link", "delete", port)
            eth0 = f"link add {port} type veth peer name eth0 address {mac_of(host)} netns {namespace.name}"
            self._batch(self.operator, [eth0, f"link set {port} master {_BRIDGE}", f"link set {port} up"])
        self._batch(
            namespace,
            [f"address replace {host.address}/24 dev eth0", "link set eth0 up", "link set lo up"],
        )

    def _path(self, what: str) -> Path:
        return NAMESPACES / f"{self._lab}.{what}"

    @staticmethod
    def _batch(namespace: Path, lines: Sequence[str]) -> None:
        shell.run("ip", "-n", namespace.name, "-batch", "-", stdin="".join(f"{line}\n" for line in lines))

    @staticmethod
    def _has_link(namespace: Path, link: str) -> bool:
        return shell.succeeds("ip", "-n", namespace.name, "link", "show", link)

    @staticmethod
    def _links(namespace: Path) -> list[str]:
        listing = shell.run("ip", "-n", namespace.name, "-brief", "link", "show", "type", "veth", check=False)
        return [line.split("@")[0].split()[0] for line in listing.splitlines() if line.strip()]


def port_of(host: Host) -> str:
    """The name of the bridge's port for a host."""
    return f"port-{host.name}"[:15]


def mac_of(host: Host) -> str:
    """A locally administered MAC address made of the host's address."""
    octets = ipaddress.IPv4Address(host.address).packed
    return ":".join(f"{octet:02x}" for octet in (0x02, 0x57, *octets))
