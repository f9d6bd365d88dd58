"""What the table `wherry` of an address family holds: for the node as a whole, and for each service.

A packet's destination, protocol and port are looked up in one verdict map, whatever the number of services. All
services with the same number of endpoints share the chain it leads to: that draws a number, and a second map has the
endpoint for destination and number. So most services consist of map elements only, which are cheap to change however
many there are. Affinity, source ranges and the policy Local take chains of their own.

Invariant: everything here is a pure function of the API's objects; equal objects give equal rulesets.
Source: Kubernetes, "Virtual IPs and Service Proxies"; Service and EndpointSlice of the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from agents.network.conntrack import Frontend
from agents.network.nftables.values import (
    DROP,
    PROTOCOLS,
    RETURN,
    TCP,
    UDP,
    Balance,
    Chain,
    ClampSegmentSize,
    ClearMark,
    Dispatch,
    Draw,
    Endpoint,
    Family,
    Field,
    Hook,
    HookPoint,
    InNetworks,
    InSet,
    Interface,
    Invalid,
    IsLocal,
    Key,
    Marked,
    Masquerade,
    NewConnection,
    Protocol,
    Reject,
    Remember,
    Rule,
    Ruleset,
    Set,
    SetMark,
    Spread,
    Type,
    Value,
    goto,
    jump,
    spelled,
)
from agents.network.routes import VXLAN_LINK
from agents.proxy import endpoints
from agents.proxy.endpoints import NodeView
from api.objects import labels_of, name_of, namespace_of

TABLE = "wherry"
# The bit that the original uses for packets to masquerade.
MASQUERADE_MARK = 0x4000

SERVICES, NODE_PORTS = "services", "node-ports"
ENDPOINTS, NODE_PORT_ENDPOINTS = "endpoints", "node-port-endpoints"
REFUSED, REFUSED_NODE_PORTS = "refused", "refused-node-ports"
DROPPED, DROPPED_NODE_PORTS = "dropped", "dropped-node-ports"
DNS = "dns"
CLUSTER_ADDRESSES, HAIRPIN = "cluster-addresses", "hairpin"

_SERVICE_PORT = (Field.DESTINATION, Field.PROTOCOL, Field.DESTINATION_PORT)
_NODE_PORT = (Field.PROTOCOL, Field.DESTINATION_PORT)
_LOOPBACK = {Family.IP: "127.0.0.0/8", Family.IP6: "::1/128"}
_MULTICAST = {Family.IP: "224.0.0.0/4", Family.IP6: "ff00::/8"}
_DEFAULT_AFFINITY_SECONDS = 10800
_OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
_HEADLESS = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """A service's part of the table; who may answer at each front end; how many ready endpoints are on this node.

    Whoever serves may answer: a flow that was led to it once, by whatever policy, stays with it.
    `local_endpoints` is what the health check node port tells, 0 of which means that there is none.
    """

    ruleset: Ruleset = field(default_factory=Ruleset)
    backends: Mapping[Frontend, frozenset[Endpoint]] = field(default_factory=dict)
    health_check_port: int = 0
    local_endpoints: int = 0


def base(cluster_networks: tuple[str, ...], family: Family = Family.IP) -> Ruleset:
    """The part of the table that does not depend on services. `cluster_networks` are the pods' addresses.

    Here as everywhere networks of the other family do not matter.
    """
    service_port = (Type.ADDRESS, Type.PROTOCOL, Type.PORT)
    node_port = (Type.PROTOCOL, Type.PORT)
    endpoint = (Type.ADDRESS, Type.PORT)
    sets = {
        SERVICES: Set(service_port, verdicts=True),
        NODE_PORTS: Set(node_port, verdicts=True),
        ENDPOINTS: Set((*service_port, Type.INDEX), data=endpoint),
        NODE_PORT_ENDPOINTS: Set((*node_port, Type.INDEX), data=endpoint),
        REFUSED: Set(service_port),
        REFUSED_NODE_PORTS: Set(node_port),
        DROPPED: Set(service_port),
        DROPPED_NODE_PORTS: Set(node_port),
        CLUSTER_ADDRESSES: Set((Type.ADDRESS,)),
        HAIRPIN: Set((Type.ADDRESS, Type.ADDRESS)),
    }
    return Ruleset(_base_chains(_of(family, cluster_networks), family), sets, {name: {} for name in sets})


def _base_chains(cluster_networks: tuple[str, ...], family: Family) -> dict[str, Chain]:
    outside = InNetworks(Field.SOURCE, cluster_networks, inverted=True)
    leaving = InNetworks(Field.DESTINATION, (*cluster_networks, _MULTICAST[family]), inverted=True)
    to_services = (jump(SERVICES),)
    to_refused = (NewConnection(), jump(REFUSED))
    # What the kernel cannot place is not translated back: the other side would answer the stray address with a reset.
    unplaced = (InNetworks(Field.SOURCE, cluster_networks), Invalid(), DROP)
    clamp = (Interface(VXLAN_LINK, outgoing=True), ClampSegmentSize())
    local = IsLocal(Field.DESTINATION)
    not_loopback = InNetworks(Field.DESTINATION, (_LOOPBACK[family],), inverted=True)
    return {
        SERVICES: Chain((
            (outside, InSet((Field.DESTINATION,), CLUSTER_ADDRESSES), SetMark(MASQUERADE_MARK)),
            (Dispatch(_SERVICE_PORT, SERVICES),),
            (local, not_loopback, Dispatch(_NODE_PORT, NODE_PORTS)),
        )),
        "reject": Chain(((Protocol(TCP), Reject(reset=True)), (Reject(),))),
        REFUSED: Chain((
            (InSet(_SERVICE_PORT, REFUSED), goto("reject")),
            (InSet(_SERVICE_PORT, DROPPED), DROP),
            (local, InSet(_NODE_PORT, REFUSED_NODE_PORTS), goto("reject")),
            (local, InSet(_NODE_PORT, DROPPED_NODE_PORTS), DROP),
            (InSet((Field.DESTINATION,), CLUSTER_ADDRESSES), goto("reject")),
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
        "filter-forward": Chain((unplaced, clamp, to_refused), Hook("filter", HookPoint.FORWARD, 0)),
        "filter-output": Chain((to_refused,), Hook("filter", HookPoint.OUTPUT, 0)),
    }  # fmt: skip


def dns_rules(address: str, server: Endpoint) -> Ruleset:
    """Leads the cluster's DNS address to the name server of this node."""
    fronts = [(address, protocol, 53) for protocol in (UDP, TCP)]
    return Ruleset(
        chains={DNS: Chain(((Balance((server,)),),))},
        elements={CLUSTER_ADDRESSES: {(address,): None}, SERVICES: dict.fromkeys(fronts, goto(DNS))},
    )


def spreading_chain(fields: tuple[Field, ...], name: str, count: int, *before: Rule) -> Chain:
    """Draws one of `count` endpoints from a map. The first one steps in when a packet meets the map in a change."""
    first = (Spread(fields, name, 1),)
    return Chain((*before, (Spread(fields, name, count),), first) if count > 1 else (*before, first))


def service_key_of(endpoint_slice: Mapping[str, Any]) -> str:
    """The key of the service that a slice belongs to."""
    return f"{namespace_of(endpoint_slice)}/{labels_of(endpoint_slice).get(endpoints.SERVICE_NAME, '')}"


def service_rules(
    service: Mapping[str, Any],
    slices: Iterable[Mapping[str, Any]],
    node: NodeView,
    cluster_networks: tuple[str, ...],
    family: Family = Family.IP,
) -> ServiceRules:
    """One service's part of the table; nothing for services without an address of their own in the family."""
    spec = service.get("spec") or {}
    if not _is_ours(service, spec, family):
        return ServiceRules()
    slices = list(slices)
    builder = _Builder(service, spec, node, cluster_networks, family)
    for port in spec.get("ports") or ():
        builder.add_port(port, slices)
    return builder.result()


def _is_ours(service: Mapping[str, Any], spec: Mapping[str, Any], family: Family) -> bool:
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") in (None, "", "None"):
        return False
    if not _of(family, cluster_addresses(spec)):
        return False
    return _OTHER_PROXY not in labels_of(service) and _HEADLESS not in labels_of(service)


class _Builder:
    """Collects the rules of one service, port by port."""

    def __init__(
        self,
        service: Mapping[str, Any],
        spec: Mapping[str, Any],
        node: NodeView,
        cluster_networks: tuple[str, ...],
        family: Family,
    ) -> None:
        self._name = f"{namespace_of(service)}/{name_of(service)}"
        self._spec = spec
        self._node = node
        self._family = family
        self._cluster_networks = _of(family, cluster_networks)
        self._internal_local = spec.get("internalTrafficPolicy") == "Local"
        self._external_local = spec.get("externalTrafficPolicy") == "Local"
        self._sticky = spec.get("sessionAffinity") == "ClientIP"
        self._cluster_addresses = tuple(map(spelled, _of(family, cluster_addresses(spec))))
        self._external_addresses = tuple(map(spelled, _of(family, spec.get("externalIPs") or ())))
        self._balancer_addresses = tuple(map(spelled, _of(family, _ingress_addresses(service))))
        self._source_ranges = tuple(map(str.strip, spec.get("loadBalancerSourceRanges") or ()))
        self._chains: dict[str, Chain] = {}
        self._sets: dict[str, Set] = {}
        self._elements: dict[str, dict[Key, Value]] = {
            CLUSTER_ADDRESSES: {(address,): None for address in self._cluster_addresses}
        }
        self._backends: dict[Frontend, frozenset[Endpoint]] = {}
        self._serving: frozenset[Endpoint] = frozenset()
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
        """Add the front ends of one service port, and the chains that only this service has."""
        protocol_name = port.get("protocol") or "TCP"
        protocol, number = PROTOCOLS[protocol_name], int(port["port"])
        found = endpoints.candidates(slices, port.get("name") or "", protocol_name, self._node, self._family.written)
        choice = endpoints.choose(found, self._node)
        # What ends may serve still, but a load balancer shall send new connections elsewhere.
        self._local.update(candidate.endpoint for candidate in found if candidate.local and candidate.ready)
        self._serving = frozenset(candidate.endpoint for candidate in found if candidate.serving or candidate.ready)
        own = {candidate.endpoint for candidate in found if candidate.local}
        for endpoint in own.intersection(choice.cluster + choice.local):
            self._element(HAIRPIN, (endpoint.address, endpoint.address), None)
        identity = f"{self._name}/{protocol_name.lower()}/{number}"
        inside = choice.local if self._internal_local else choice.cluster
        chain = ""
        if self._sticky and inside:
            chain = self._own_chain(f"{'local' if self._internal_local else 'service'}-{identity}", inside)
        for address in self._cluster_addresses:
            front = Frontend(address, protocol, number)
            self._front(front, chain or self._shared_chain(front, inside), inside, choice.cluster)
        self._add_external(identity, port, protocol, choice)

    def _add_external(self, identity: str, port: Mapping[str, Any], protocol: int, choice: endpoints.Choice) -> None:
        """Front ends that clients outside of the cluster use: external and balancer addresses, the node port."""
        fronts = [Frontend(address, protocol, int(port["port"])) for address in self._external_addresses]
        guarded = [Frontend(address, protocol, int(port["port"])) for address in self._balancer_addresses]
        if port.get("nodePort"):
            fronts.append(Frontend("", protocol, int(port["nodePort"])))
        if not (fronts or guarded):
            return
        usable = choice.local if self._external_local else choice.cluster
        own = self._external_chain(identity, choice) if self._external_local or self._sticky else ""
        for front in fronts:
            self._front(front, own or self._shared_chain(front, usable, masquerade=True), usable, choice.cluster)
        for front in guarded:
            chain = own or self._shared_chain(front, usable, masquerade=True)
            self._front(front, self._firewall_chain(identity, chain), usable, choice.cluster)

    def _shared_chain(self, front: Frontend, usable: tuple[Endpoint, ...], *, masquerade: bool = False) -> str:
        """Put a front end's endpoints into the map; the chain that draws one of so many; "" without endpoints."""
        count = len(usable)
        if not count:
            return ""
        head: Key = (front.address, front.protocol, front.port) if front.address else (front.protocol, front.port)
        held = self._elements.setdefault(ENDPOINTS if front.address else NODE_PORT_ENDPOINTS, {})
        for index, endpoint in enumerate(usable):
            held[(*head, index)] = endpoint
        mark = SetMark(MASQUERADE_MARK)
        if not front.address:
            name = f"node-port-{count}"
            self._chains[name] = spreading_chain(_NODE_PORT, NODE_PORT_ENDPOINTS, count, (mark,))
            return name
        self._chains[f"spread-{count}"] = spreading_chain(_SERVICE_PORT, ENDPOINTS, count)
        if not masquerade:
            return f"spread-{count}"
        self._chains[f"masquerade-{count}"] = Chain(((mark, goto(f"spread-{count}")),))
        return f"masquerade-{count}"

    def _own_chain(self, name: str, chosen: tuple[Endpoint, ...]) -> str:
        """A chain of this service that draws one of the endpoints; "" without endpoints."""
        if chosen:
            self._chains[name] = self._sticky_chain(name, chosen) if self._sticky else Chain(((Balance(chosen),),))
        return name if chosen else ""

    def _sticky_chain(self, name: str, chosen: tuple[Endpoint, ...]) -> Chain:
        """Sends a source that an endpoint's memory has to that endpoint, any other to one drawn, which remembers it."""
        configured = ((self._spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
        seconds = int(configured or _DEFAULT_AFFINITY_SECONDS)
        rules: list[Rule] = []
        chains = tuple(f"{name}/{endpoint.address}/{endpoint.port}" for endpoint in chosen)
        for chain, endpoint in zip(chains, chosen, strict=True):
            self._sets[chain] = Set((Type.ADDRESS,), memory=True)
            # A rule of its own: a memory that is full ends the rule, and the client shall be led there all the same.
            self._chains[chain] = Chain(((Remember(chain, seconds),), (Balance((endpoint,)),)))
            rules.append((InSet((Field.SOURCE,), chain), goto(chain)))
        return Chain((*rules, (Draw(chains),)))

    def _external_chain(self, identity: str, choice: endpoints.Choice) -> str:
        """The chain for clients outside; with the policy Local only they are kept to local endpoints."""
        cluster_chain = self._own_chain(f"service-{identity}", choice.cluster)
        local_chain = self._own_chain(f"local-{identity}", choice.local) if self._external_local else ""
        mark, to_cluster = SetMark(MASQUERADE_MARK), goto(cluster_chain)
        rules: list[Rule] = []
        if cluster_chain and not self._external_local:
            rules.append((mark, to_cluster))
        elif cluster_chain:
            rules.append((InNetworks(Field.SOURCE, self._cluster_networks), to_cluster))
            rules.append((IsLocal(Field.SOURCE), mark, to_cluster))
        if local_chain:
            rules.append((goto(local_chain),))
        if not rules:
            return ""
        name = f"external-{identity}"
        self._chains[name] = Chain(tuple(rules))
        return name

    def _firewall_chain(self, identity: str, chain: str) -> str:
        """The chain that lets only the service's source ranges on to `chain`; `chain` itself without ranges.

        Without endpoints those that may ask are told so, which is not for others to know.
        """
        if not self._source_ranges:
            return chain
        name = f"firewall-{identity}"
        ranges = _of(self._family, self._source_ranges)
        onward = goto(chain) if chain else RETURN
        allowed: list[Rule] = [(InNetworks(Field.SOURCE, ranges), onward)] if ranges else []
        if _has_any(ranges, self._node.addresses):
            # A node that holds the balancer's address speaks to it from that address.
            itself = InNetworks(Field.SOURCE, self._balancer_addresses)
            allowed.append((IsLocal(Field.SOURCE), itself, onward))
        self._chains[name] = Chain((*allowed, (DROP,)))
        return name

    def _front(self, front: Frontend, chain: str, usable: tuple[Endpoint, ...], anywhere: tuple[Endpoint, ...]) -> None:
        """Lead a front end to its chain; without usable endpoints refuse it, or drop what another node could serve."""
        key: Key = (front.address, front.protocol, front.port) if front.address else (front.protocol, front.port)
        self._backends[front] = self._serving
        if chain:
            self._element(SERVICES if front.address else NODE_PORTS, key, goto(chain))
        if not usable:
            dropped, refused = (DROPPED, REFUSED) if front.address else (DROPPED_NODE_PORTS, REFUSED_NODE_PORTS)
            self._element(dropped if anywhere else refused, key, None)

    def _element(self, name: str, key: Key, value: Value) -> None:
        self._elements.setdefault(name, {})[key] = value


def cluster_addresses(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """A Service's addresses inside the cluster; none if it is headless."""
    given = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return tuple(address for address in given if address and address != "None")


def front_addresses(service: Mapping[str, Any]) -> tuple[str, ...]:
    """All addresses that lead to a Service, of whatever family."""
    spec = service.get("spec") or {}
    return (*cluster_addresses(spec), *(spec.get("externalIPs") or ()), *_ingress_addresses(service))


def _of(family: Family, texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text for text in texts if family.has(text))


def _has_any(networks: Iterable[str], addresses: Iterable[str]) -> bool:
    held = [ip_address(address) for address in addresses]
    return any(one in ip_network(network, strict=False) for network in networks for one in held)


def _ingress_addresses(service: Mapping[str, Any]) -> list[str]:
    """Addresses of the load balancer that deliver to the node unchanged (ipMode VIP, the default)."""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return [entry["ip"] for entry in ingress if entry.get("ip") and entry.get("ipMode") != "Proxy"]
