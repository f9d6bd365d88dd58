"""What a cloud can do for a cluster: machines, load balancers, routes.

A provider implements the parts it has; a part it lacks is None and its controller does not run.

Invariant: every call may be repeated; the second has no further effect.
Source: kubernetes staging/src/k8s.io/cloud-provider (Interface, InstancesV2, LoadBalancer, Routes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from api.objects import Object


class ConfigError(Exception):
    """A provider's file cannot be used; one sentence why."""


class ProviderError(Exception):
    """The provider could not do or tell what was asked; one sentence why."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Facts about a machine. `addresses` are (type, address), types as in NodeAddress."""

    provider_id: str
    addresses: tuple[tuple[str, str], ...] = ()
    instance_type: str = ""
    zone: str = ""
    region: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """Traffic for `destination` (CIDR) goes to the node `target` at its address `gateway`."""

    name: str
    target: str
    destination: str
    gateway: str = ""


class Instances(Protocol):
    """The machines behind nodes. Raises ProviderError."""

    def exists(self, node: Object) -> bool:
        """Whether the node's machine is there at all; a machine the provider does not know of counts as there."""

    def shutdown(self, node: Object) -> bool:
        """Whether the node's machine is there but switched off."""

    def metadata(self, node: Object) -> Metadata | None:
        """Facts about the node's machine, or None if the provider has none to give."""


class LoadBalancers(Protocol):
    """Addresses by which Services are reached from outside. Raises ProviderError."""

    def ensure(self, service: Object, nodes: Sequence[Object], services: Sequence[Object]) -> Balancer:
        """The balancer of the service; `services` are all of type LoadBalancer, as they are."""

    def delete(self, service: Object) -> None:
        """Give up what the service had."""


@dataclass(frozen=True, slots=True)
class Balancer:
    """Where a Service is reached: `ingress` for its status, and annotations that tell nodes who announces it.

    `check_again`: seconds after which the provider wants to look at it again, None if only changes matter.
    """

    ingress: tuple[Object, ...]
    annotations: dict[str, str] = field(default_factory=dict)
    check_again: float | None = None


class Routes(Protocol):
    """Routes between nodes that the cloud's own network keeps. Raises ProviderError."""

    def list(self) -> Sequence[Route]:
        """All routes of this cluster."""

    def create(self, route: Route) -> None:
        """Make a route."""

    def delete(self, route: Route) -> None:
        """Remove a route."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A cloud."""

    name: str
    instances: Instances | None = None
    load_balancers: LoadBalancers | None = None
    routes: Routes | None = None
