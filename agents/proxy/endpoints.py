"""Which endpoints of a service a node sends to.

Invariant: an endpoint that is not ready is used only if no ready one is left and it still serves while it ends, or
if the service publishes addresses that are not ready (then its slices call them ready).
Source: Kubernetes, "EndpointSlices" and "Topology Aware Routing"; KEP-1669 (terminating endpoints).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from agents.network import routes
from agents.network.nftables.values import Endpoint, spelled
from api.objects import Object, labels_of

SERVICE_NAME = "kubernetes.io/service-name"

_ZONE = "topology.kubernetes.io/zone"
_NOWHERE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NodeView:
    """What decisions need to know of this node."""

    name: str
    zone: str = ""
    addresses: tuple[str, ...] = ()


def node_view(name: str, node: Object | None) -> NodeView:
    """The node as rules see it; an unknown one has but its name."""
    return NodeView(name, labels_of(node).get(_ZONE, ""), routes.node_addresses(node)) if node else NodeView(name)


class Candidate(NamedTuple):
    """An endpoint of one port of a service, with what its slice says of it."""

    endpoint: Endpoint
    ready: bool
    serving: bool
    terminating: bool
    local: bool
    zones: frozenset[str] = _NOWHERE
    nodes: frozenset[str] = _NOWHERE


@dataclass(frozen=True, slots=True)
class Choice:
    """Endpoints for traffic that may go anywhere, and for traffic that must stay on the node; each sorted."""

    cluster: tuple[Endpoint, ...]
    local: tuple[Endpoint, ...]


def candidates(
    slices: Iterable[Mapping[str, Any]], port_name: str, protocol: str, node: NodeView, address_type: str = "IPv4"
) -> list[Candidate]:
    """The endpoints in a service's slices for the port of that name and protocol."""
    found: dict[Endpoint, Candidate] = {}
    for endpoint_slice in slices:
        if endpoint_slice.get("addressType") != address_type:
            continue
        number = _port_number(endpoint_slice, port_name, protocol)
        if number is None:
            continue
        for entry in endpoint_slice.get("endpoints") or ():
            for address in entry.get("addresses") or ():
                candidate = _candidate(Endpoint(spelled(address), number), entry, node)
                known = found.get(candidate.endpoint)
                # A pod that moves between slices is for a moment in both; the better news is the newer. An address
                # that a pod which ends shares with another is the other's.
                if known is None or _news(candidate) > _news(known):
                    found[candidate.endpoint] = candidate
    return list(found.values())


def choose(found: Iterable[Candidate], node: NodeView) -> Choice:
    """The endpoints to use, for both traffic policies."""
    everything = list(found)
    ready = [candidate for candidate in everything if candidate.ready]
    ending = [candidate for candidate in everything if candidate.serving and candidate.terminating]
    anywhere = _near(ready, node) or ending
    local = [candidate for candidate in ready if candidate.local]
    local = local or [candidate for candidate in ending if candidate.local]
    return Choice(_sorted(anywhere), _sorted(local))


def _near(ready: list[Candidate], node: NodeView) -> list[Candidate]:
    """Those that the hints give to this node, else to its zone; all, if hints are incomplete or give it none."""
    if ready and all(candidate.nodes for candidate in ready):
        near = [candidate for candidate in ready if node.name in candidate.nodes]
        if near:
            return near
    if node.zone and ready and all(candidate.zones for candidate in ready):
        near = [candidate for candidate in ready if node.zone in candidate.zones]
        if near:
            return near
    return ready


def _news(candidate: Candidate) -> tuple[bool, bool]:
    """Of two things said about one address the greater holds."""
    return candidate.ready, not candidate.terminating


def _sorted(chosen: Iterable[Candidate]) -> tuple[Endpoint, ...]:
    return tuple(sorted(candidate.endpoint for candidate in chosen))


def _port_number(endpoint_slice: Mapping[str, Any], name: str, protocol: str) -> int | None:
    for port in endpoint_slice.get("ports") or ():
        if (port.get("name") or "") == name and (port.get("protocol") or "TCP") == protocol:
            number = port.get("port")
            return None if number is None else int(number)
    return None


def _candidate(endpoint: Endpoint, entry: Mapping[str, Any], node: NodeView) -> Candidate:
    conditions = entry.get("conditions") or {}
    hints = entry.get("hints")
    return Candidate(
        endpoint,
        ready=conditions.get("ready") is not False,
        serving=conditions.get("serving") is not False,
        terminating=bool(conditions.get("terminating")),
        local=entry.get("nodeName") == node.name,
        zones=_names(hints, "forZones") if hints else _NOWHERE,
        nodes=_names(hints, "forNodes") if hints else _NOWHERE,
    )


def _names(hints: Mapping[str, Any], kind: str) -> frozenset[str]:
    return frozenset(place.get("name", "") for place in hints.get(kind) or ())
