"""What the table `wherry` holds: for the node as a whole, and for each service.

A packet's destination, protocol and port are looked up in one verdict map, whatever the number of services; the
service's chain draws an endpoint. Traffic that must come back this way is marked and masqueraded at the end.

Invariant: everything here is a pure function of the API's objects; equal objects give equal rulesets.
Source: Kubernetes, "Virtual IPs and Service Proxies"; Service and EndpointSlice of the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.network.nftables.values import (
    DROP,
    PROTOCOLS,
    Balance,
    BalanceAndRemember,
    Chain,
    ClampSegmentSize,
    ClearMark,
    Dispatch,
    Endpoint,
    Field,
    Hook,
    HookPoint,
    InNetworks,
    InSet,
    Interface,
    IsLocal,
    Key,
    Marked,
    Masquerade,
    NewConnection,
    Reject,
    Remembered,
    Rule,
    Ruleset,
    Set,
    SetMark,
    Type,
    Value,
    goto,
    jump,
    union,
)
from agents.network.routes import VXLAN_LINK
from agents.proxy import endpoints
from agents.proxy.endpoints import NodeView
from api.objects import key_of, labels_of, name_of, namespace_of

TABLE = "wherry"
# The bit that the original uses for packets to masquerade.
MASQUERADE_MARK = 0x4000

SERVICES, NODE_PORTS = "services", "node-ports"
REFUSED, REFUSED_NODE_PORTS = "refused", "refused-node-ports"
CLUSTER_ADDRESSES, HAIRPIN = "cluster-addresses", "hairpin"

_SERVICE_PORT = (Field.DESTINATION, Field.PROTOCOL, Field.DESTINATION_PORT)
_NODE_PORT = (Field.PROTOCOL, Field.DESTINATION_PORT)
_LOOPBACK = "127.0.0.0/8"
_MULTICAST = "224.0.0.0/4"
_DEFAULT_AFFINITY_SECONDS = 10800
_OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
_HEADLESS = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True)
class Frontend:
    """An address (or, if that is "", any address of the node), protocol number and port that clients use."""

    address: str
    protocol: int
    port: int


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """A service's part of the table; which endpoints each front end leads to; how many are on this node.

    `local_ready` counts per service for the health check node port, 0 of which means that there is none.
    """

    ruleset: Ruleset = field(default_factory=Ruleset)
    backends: Mapping[Frontend, frozenset[Endpoint]] = field(default_factory=dict)
    health_check_port: int = 0
    local_endpoints: int = 0


def base(cluster_networks: tuple[str, ...]) -> Ruleset:
    """The part of the table that does not depend on services. `cluster_networks` are the pods' addresses."""
    outside = InNetworks(Field.SOURCE, cluster_networks, inverted=True)
    leaving = InNetworks(Field.DESTINATION, (*cluster_networks, _MULTICAST), inverted=True)
    to_services = (jump(SERVICES),)
    to_refused = (NewConnection(), jump(REFUSED))
    clamp = (Interface(VXLAN_LINK, outgoing=True), ClampSegmentSize())
    chains = {
        SERVICES: Chain((
            (outside, InSet((Field.DESTINATION,), CLUSTER_ADDRESSES), SetMark(MASQUERADE_MARK)),
            (Dispatch(_SERVICE_PORT, SERVICES),),
            (
                IsLocal(Field.DESTINATION),
                InNetworks(Field.DESTINATION, (_LOOPBACK,), inverted=True),
                Dispatch(_NODE_PORT, NODE_PORTS),
            ),
        )),
        "reject": Chain(((Reject(),),)),
        REFUSED: Chain((
            (Dispatch(_SERVICE_PORT, REFUSED),),
            (IsLocal(Field.DESTINATION), Dispatch(_NODE_PORT, REFUSED_NODE_PORTS)),
            (InSet((Field.DESTINATION,), CLUSTER_ADDRESSES), Reject()),
        )),
        "prerouting": Chain((to_services,), Hook("nat", HookPoint.PREROUTING, -100)),
        "output": Chain((to_services,), Hook("nat", HookPoint.OUTPUT, -100)),
        "postrouting": Chain(
            (
                (InSet((Field.SOURCE, Field.DESTINATION), HAIRPIN), Masquerade()),
                (Marked(MASQUERADE_MARK), ClearMark(MASQUERADE_MARK), Masquerade()),
                (InNetworks(Field.SOURCE, cluster_networks), leaving, Masquerade()),
            ),
            Hook("nat", HookPoint.POSTROUTING, 100),
        ),
        "filter-input": Chain((to_refused,), Hook("filter", HookPoint.INPUT, 0)),
        "filter-forward": Chain((clamp, to_refused), Hook("filter", HookPoint.FORWARD, 0)),
        "filter-output": Chain((to_refused,), Hook("filter", HookPoint.OUTPUT, 0)),
    }  # fmt: skip
    service_port = (Type.ADDRESS, Type.PROTOCOL, Type.PORT)
    node_port = (Type.PROTOCOL, Type.PORT)
    sets = {
        SERVICES: Set(service_port, verdicts=True),
        NODE_PORTS: Set(node_port, verdicts=True),
        REFUSED: Set(service_port, verdicts=True),
        REFUSED_NODE_PORTS: Set(node_port, verdicts=True),
        CLUSTER_ADDRESSES: Set((Type.ADDRESS,)),
        HAIRPIN: Set((Type.ADDRESS, Type.ADDRESS)),
    }
    return Ruleset(chains, sets, {name: {} for name in sets})


def desired(
    services: Iterable[Mapping[str, Any]],
    slices: Iterable[Mapping[str, Any]],
    node: NodeView,
    cluster_networks: tuple[str, ...],
) -> Ruleset:
    """The whole table for these services and their slices."""
    by_service: dict[str, list[Mapping[str, Any]]] = {}
    for endpoint_slice in slices:
        owner = service_key_of(endpoint_slice)
        by_service.setdefault(owner, []).append(endpoint_slice)
    parts = [
        service_rules(service, by_service.get(key_of(service), ()), node, cluster_networks) for service in services
    ]
    return union([base(cluster_networks), *(part.ruleset for part in parts)])


def service_key_of(endpoint_slice: Mapping[str, Any]) -> str:
    """The key of the service that a slice belongs to."""
    return f"{namespace_of(endpoint_slice)}/{labels_of(endpoint_slice).get(endpoints.SERVICE_NAME, '')}"


def service_rules(
    service: Mapping[str, Any],
    slices: Iterable[Mapping[str, Any]],
    node: NodeView,
    cluster_networks: tuple[str, ...],
) -> ServiceRules:
    """One service's part of the table; nothing for services without an address of their own."""
    spec = service.get("spec") or {}
    if not _is_ours(service, spec):
        return ServiceRules()
    slices = list(slices)
    builder = _Builder(service, spec, node, cluster_networks)
    for port in spec.get("ports") or ():
        builder.add_port(port, slices)
    return builder.result()


def _is_ours(service: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") in (None, "", "None"):
        return False
    return _OTHER_PROXY not in labels_of(service) and _HEADLESS not in labels_of(service)


class _Builder:
    """Collects the rules of one service, port by port."""

    def __init__(
        self, service: Mapping[str, Any], spec: Mapping[str, Any], node: NodeView, cluster_networks: tuple[str, ...]
    ) -> None:
        self._name = f"{namespace_of(service)}/{name_of(service)}"
        self._spec = spec
        self._node = node
        self._cluster_networks = cluster_networks
        self._internal_local = spec.get("internalTrafficPolicy") == "Local"
        self._external_local = spec.get("externalTrafficPolicy") == "Local"
        self._cluster_addresses = _ipv4(spec.get("clusterIPs") or [spec.get("clusterIP")])
        self._external_addresses = _ipv4(spec.get("externalIPs") or ())
        self._balancer_addresses = _ipv4(_ingress_addresses(service))
        self._source_ranges = _ipv4_networks(spec.get("loadBalancerSourceRanges") or ())
        self._chains: dict[str, Chain] = {}
        self._sets: dict[str, Set] = {}
        self._elements: dict[str, dict[Key, Value]] = {
            CLUSTER_ADDRESSES: {(address,): None for address in self._cluster_addresses}
        }
        self._backends: dict[Frontend, frozenset[Endpoint]] = {}
        self._local: set[Endpoint] = set()

    def result(self) -> ServiceRules:
        """What was collected."""
        return ServiceRules(
            Ruleset(self._chains, self._sets, self._elements),
            self._backends,
            int(self._spec.get("healthCheckNodePort") or 0) if self._external_local else 0,
            len({endpoint.address for endpoint in self._local}),
        )

    def add_port(self, port: Mapping[str, Any], slices: list[Mapping[str, Any]]) -> None:
        """Add the front ends and chains of one service port."""
        protocol_name = port.get("protocol") or "TCP"
        protocol, number = PROTOCOLS[protocol_name], int(port["port"])
        found = endpoints.candidates(slices, port.get("name") or "", protocol_name, self._node)
        choice = endpoints.choose(found, self._node)
        own = {candidate.endpoint for candidate in found if candidate.local}
        self._local.update(choice.local)
        identity = f"{self._name}/{protocol_name.lower()}/{number}"
        for endpoint in own.intersection(choice.cluster + choice.local):
            self._element(HAIRPIN, (endpoint.address, endpoint.address), None)
        cluster_chain = self._endpoint_chain(f"service-{identity}", choice.cluster)
        local_chain = ""
        if self._internal_local or self._external_local:
            local_chain = self._endpoint_chain(f"local-{identity}", choice.local)
        inside = choice.local if self._internal_local else choice.cluster
        chain = local_chain if self._internal_local else cluster_chain
        for address in self._cluster_addresses:
            self._front(Frontend(address, protocol, number), chain, inside, choice.cluster)
        self._add_external(identity, port, protocol, choice, (cluster_chain, local_chain))

    def _add_external(
        self,
        identity: str,
        port: Mapping[str, Any],
        protocol: int,
        choice: endpoints.Choice,
        chains: tuple[str, str],
    ) -> None:
        """Front ends that clients outside of the cluster use: external and balancer addresses, the node port."""
        number, node_port = int(port["port"]), int(port.get("nodePort") or 0)
        if not (self._external_addresses or self._balancer_addresses or node_port):
            return
        usable = choice.local if self._external_local else choice.cluster
        chain = self._external_chain(identity, *chains)
        for address in self._external_addresses:
            self._front(Frontend(address, protocol, number), chain, usable, choice.cluster)
        guarded = self._firewall_chain(identity, chain)
        for address in self._balancer_addresses:
            self._front(Frontend(address, protocol, number), guarded, usable, choice.cluster)
        if node_port:
            self._front(Frontend("", protocol, node_port), chain, usable, choice.cluster)

    def _endpoint_chain(self, name: str, chosen: tuple[Endpoint, ...]) -> str:
        """The chain that draws one of the endpoints; "" if there are none."""
        if not chosen:
            return ""
        rules: tuple[Rule, ...] = ((Balance(chosen),),)
        if self._spec.get("sessionAffinity") == "ClientIP":
            configured = ((self._spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
            seconds = int(configured or _DEFAULT_AFFINITY_SECONDS)
            self._sets[name] = Set((Type.ADDRESS,), data=(Type.ADDRESS, Type.PORT), memory=True)
            rules = ((Remembered(name, chosen, seconds),), (BalanceAndRemember(name, chosen, seconds),))
        self._chains[name] = Chain(rules)
        return name

    def _external_chain(self, identity: str, cluster_chain: str, local_chain: str) -> str:
        """The chain for clients outside; with the policy Local only they are kept to local endpoints."""
        mark, to_cluster = SetMark(MASQUERADE_MARK), goto(cluster_chain)
        rules: list[Rule] = []
        if not self._external_local:
            rules = [(mark, to_cluster)] if cluster_chain else []
        elif cluster_chain:
            rules = [
                (InNetworks(Field.SOURCE, self._cluster_networks), to_cluster),
                (IsLocal(Field.SOURCE), mark, to_cluster),
            ]
            if local_chain:
                rules.append((goto(local_chain),))
        elif local_chain:
            rules = [(goto(local_chain),)]
        if not rules:
            return ""
        name = f"external-{identity}"
        self._chains[name] = Chain(tuple(rules))
        return name

    def _firewall_chain(self, identity: str, chain: str) -> str:
        """The chain that lets only the service's source ranges on to `chain`; `chain` itself without ranges."""
        if not (chain and self._source_ranges and self._balancer_addresses):
            return chain
        name = f"firewall-{identity}"
        allowed = InNetworks(Field.SOURCE, self._source_ranges)
        self._chains[name] = Chain(((allowed, goto(chain)), (DROP,)))
        return name

    def _front(self, front: Frontend, chain: str, usable: tuple[Endpoint, ...], anywhere: tuple[Endpoint, ...]) -> None:
        """Lead a front end to its chain; without usable endpoints refuse it, or drop what another node could serve."""
        key: Key = (front.address, front.protocol, front.port) if front.address else (front.protocol, front.port)
        self._backends[front] = frozenset(usable)
        if chain:
            self._element(SERVICES if front.address else NODE_PORTS, key, goto(chain))
        if not usable:
            verdict = DROP if anywhere else goto("reject")
            self._element(REFUSED if front.address else REFUSED_NODE_PORTS, key, verdict)

    def _element(self, name: str, key: Key, value: Value) -> None:
        self._elements.setdefault(name, {})[key] = value


def _ipv4(addresses: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(address for address in addresses if address and ":" not in address and address != "None")


def _ipv4_networks(networks: Iterable[str]) -> tuple[str, ...]:
    return tuple(network.strip() for network in networks if ":" not in network)


def _ingress_addresses(service: Mapping[str, Any]) -> list[str]:
    """Addresses of the load balancer that deliver to the node unchanged (ipMode VIP, the default)."""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return [entry["ip"] for entry in ingress if entry.get("ip") and entry.get("ipMode") != "Proxy"]
