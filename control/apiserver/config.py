"""What an operator may set about the API server.

Invariant: values are checked where they are read (the command line); everything here is usable as it is.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from api.networks import Network

_SERVICE_NETWORKS = (ipaddress.ip_network("10.96.0.0/16"),)


@dataclass(frozen=True, slots=True)
class Config:
    """Addresses, ranges and files. `advertise_port` is where `advertise_address` answers (TLS).

    The first of the services' networks, of which there is one an address family, is that of Services that do not say.
    """

    service_networks: tuple[Network, ...] = _SERVICE_NETWORKS
    node_ports: range = range(30000, 32768)
    event_seconds: int = 3600
    advertise_address: str = ""
    advertise_port: int = 6443
    pki_directory: Path | None = None
    cluster_domain: str = "cluster.local"

    @property
    def service_network(self) -> Network:
        """The first of the services' networks."""
        return self.service_networks[0]

    @property
    def issuer(self) -> str:
        """Who issues service account tokens."""
        return f"https://kubernetes.default.svc.{self.cluster_domain}"
