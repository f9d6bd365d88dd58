"""What every controller is given: the API, time, shared informers, and the cluster's settings.

Invariant: controllers share informers and nothing else.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from api.loop import Surroundings
from api.networks import Network
from api.pki import Pair


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the controllers; durations in seconds.

    `authority` signs certificates (None: nothing is signed), `authority_certificate` is what pods trust.
    """

    cluster_cidrs: tuple[Network, ...] = field(default_factory=lambda: (ipaddress.ip_network("10.244.0.0/16"),))
    node_cidr_mask_size: int = 24
    node_cidr_mask_size_ipv6: int = 64
    node_monitor_period: float = 5.0
    node_monitor_grace_period: float = 40.0
    node_startup_grace_period: float = 60.0
    node_eviction_rate: float = 0.1
    secondary_node_eviction_rate: float = 0.01
    unhealthy_zone_threshold: float = 0.55
    large_cluster_size_threshold: int = 50
    authority: Pair | None = None
    authority_certificate: bytes = b""
    certificate_seconds: int = 365 * 86400
    autoscaler_sync_period: float = 15.0
    terminated_pod_gc_threshold: int = 12500


@dataclass(frozen=True, slots=True)
class Context(Surroundings):
    """What a controller is made from."""

    options: Options = field(default_factory=Options)
