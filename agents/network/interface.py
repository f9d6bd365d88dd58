"""What the kubelet asks of the pod network.

Invariant: every call may be repeated; after a restart `attached` is rebuilt from the kernel and the IPAM files,
never from memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agents.network.repairs import Repairs


class NetworkError(Exception):
    """The network of a sandbox could not be made or removed; the text says which step failed and why."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A sandbox's network: the namespace's path (/run/netns/NAME), addresses (in the podCIDRs' order) and gateway."""

    sandbox: str
    namespace_path: str
    addresses: tuple[str, ...]
    gateway: str


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the node that leads to a port of the sandbox; `protocol` is TCP, UDP or SCTP."""

    host_port: int
    container_port: int
    protocol: str = "TCP"
    host_address: str = ""


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """How many bits a second a sandbox may take (`ingress`) and send (`egress`); 0 for as many as there are."""

    ingress: int = 0
    egress: int = 0


UNLIMITED = Bandwidth()


class PodNetwork(Protocol):
    """Makes and removes the network namespaces of sandboxes on this node."""

    def configure(self, pod_cidrs: tuple[str, ...]) -> None:
        """Take the node's podCIDRs (from Node.spec); `attach` before this raises NetworkError."""

    def attach(
        self, sandbox: str, host_ports: tuple[HostPort, ...] = (), bandwidth: Bandwidth = UNLIMITED
    ) -> Attachment:
        """Make the namespace named `sandbox` with loopback up, an address of the podCIDR and a default route.

        Again for the same sandbox: the same attachment. Raises NetworkError (no address left, kernel refused).
        """

    def path(self, sandbox: str) -> str:
        """Where the namespace named `sandbox` is mounted, or will be."""

    def detach(self, sandbox: str) -> None:
        """Remove the namespace, its link and give its address back; nothing there is no error."""

    def repair(self) -> Repairs:
        """Make again what somebody took away of what `attach` made here. Raises NetworkError if nobody can look."""

    def attached(self) -> dict[str, Attachment]:
        """Every sandbox that has a namespace or an address now."""
