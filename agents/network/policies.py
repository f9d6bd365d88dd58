"""What NetworkPolicies let pass on a node, as a table of nftables of its own.

Each pod on the node that policies select has, for each direction, a chain for exactly that combination of policies;
pods that the same policies select share it. A policy's chain accepts what the policy allows; what none accepts is
dropped. Whom a policy names by labels is a set of addresses, shared by all policies that name the same, so pods
that come and go change elements and no rules.

As the standard has it: only packets that the node forwards are judged, so a pod's own node always reaches it; a pod
reaches itself; connections that were let through once, and answers to them, pass whatever a later policy says.

While there are policies, a pod whose address the API does not show yet gets no traffic: policies hold from a pod's
first packet on.

Invariant: a pure function of the API's objects; equal objects give equal rulesets, none at all without policies.
Source: Kubernetes, "Network Policies"; NetworkPolicy of networking.k8s.io/v1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.network.nftables.values import (
    ACCEPT,
    DROP,
    PROTOCOLS,
    Chain,
    Dispatch,
    Established,
    Family,
    Field,
    Hook,
    HookPoint,
    InNetworks,
    InSet,
    Key,
    Ports,
    Protocol,
    Rule,
    Ruleset,
    Set,
    Type,
    Value,
    goto,
    jump,
    spelled,
)
from api.objects import Object, key_of, labels_of, name_of, namespace_of
from api.selectors import LabelSelector

TABLE = "wherry-policy"
INGRESS, EGRESS = "ingress", "egress"

# Names of sets begin or end with that of their chain.
_LONGEST_NAME = 180
_SELF, _KNOWN = "self", "known"
_ENDED = ("Succeeded", "Failed")
_DESTINATION_PORT = (Field.DESTINATION, Field.PROTOCOL, Field.DESTINATION_PORT)
# After the proxy's own filter, so that a refused service is refused and not silent.
_PRIORITIES = {EGRESS: 5, INGRESS: 6}


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of traffic, seen from the pod that a policy selects."""

    name: str
    own: Field
    other: Field
    peers: str


_DIRECTIONS = (
    Direction(EGRESS, Field.SOURCE, Field.DESTINATION, "to"),
    Direction(INGRESS, Field.DESTINATION, Field.SOURCE, "from"),
)


@dataclass(frozen=True, slots=True)
class PodView:
    """What policies ask of a pod; `ports` is by (name, protocol number)."""

    address: str
    node: str
    ports: Mapping[tuple[str, int], int]


@dataclass(slots=True)
class Cluster:
    """Pods by namespace and labels: pods that are alike are compared with a selector once."""

    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[PodView]] = field(default_factory=dict)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)

    def select(self, own_namespace: str, peer: Mapping[str, Any]) -> list[PodView]:
        """The pods that a peer, or a policy's own selector, means."""
        selector = LabelSelector.from_json(peer.get("podSelector") or {})
        fitting = {own_namespace}
        # Its own namespace a policy knows without labels, which may be seen after its pods.
        if peer.get("namespaceSelector") is not None:
            wanted = LabelSelector.from_json(peer["namespaceSelector"])
            fitting = {name for name, labels in self.namespaces.items() if wanted.matches(labels)}
        return [
            pod
            for (namespace, labels), pods in self.groups.items()
            if namespace in fitting and selector.matches(dict(labels))
            for pod in pods
        ]


def cluster_of(pods: Iterable[Object], namespaces: Iterable[Object], family: Family = Family.IP) -> Cluster:
    """The pods that have an address of the family in the pod network, as policies see them."""
    found = Cluster(namespaces={name_of(namespace): labels_of(namespace) for namespace in namespaces})
    for pod in pods:
        view = _view(pod, family)
        if view is not None:
            group = namespace_of(pod), tuple(sorted(labels_of(pod).items()))
            found.groups.setdefault(group, []).append(view)
    return found


def pod_addresses(pod: Object) -> tuple[str, ...]:
    """The addresses that a pod's status shows, its main one first."""
    status = pod.get("status") or {}
    found = [entry.get("ip") or "" for entry in status.get("podIPs") or ()] or [status.get("podIP") or ""]
    return tuple(filter(None, found))


def _view(pod: Object, family: Family) -> PodView | None:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    address = next(filter(family.has, pod_addresses(pod)), "")
    if not address or spec.get("hostNetwork") or status.get("phase") in _ENDED:
        return None
    return PodView(spelled(address), spec.get("nodeName") or "", _named_ports(spec))


def _named_ports(spec: Mapping[str, Any]) -> dict[tuple[str, int], int]:
    """The ports by name and protocol of all containers that stay: of two that share a name the first has it."""
    found: dict[tuple[str, int], int] = {}
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    for container in (*(spec.get("containers") or ()), *sidecars):
        for port in container.get("ports") or ():
            if port.get("name"):
                key = port["name"], PROTOCOLS[port.get("protocol") or "TCP"]
                found.setdefault(key, int(port["containerPort"]))
    return found


def desired(
    policies: Iterable[Object], cluster: Cluster, node: str, networks: Sequence[str], family: Family = Family.IP
) -> Ruleset:
    """The table of a family for a node whose pods have addresses of `networks`; empty if there are no policies."""
    ordered = sorted(policies, key=key_of)
    if not ordered:
        return Ruleset()
    builder = _Builder(cluster, node, tuple(filter(family.has, networks)), family)
    for policy in ordered:
        builder.add(policy)
    return builder.result()


class _Builder:
    """Collects the table policy by policy."""

    def __init__(self, cluster: Cluster, node: str, networks: tuple[str, ...], family: Family) -> None:
        self._family = family
        self._cluster = cluster
        self._node = node
        self._networks = networks
        self._chains: dict[str, Chain] = {}
        self._sets: dict[str, Set] = {}
        self._elements: dict[str, dict[Key, Value]] = {}
        self._selected: dict[str, dict[str, list[str]]] = {INGRESS: {}, EGRESS: {}}

    def add(self, policy: Object) -> None:
        """Take a policy; nothing unless it selects a pod of this node."""
        spec = policy.get("spec") or {}
        chosen = self._cluster.select(namespace_of(policy), {"podSelector": spec.get("podSelector")})
        local = [pod for pod in chosen if pod.node == self._node]
        for direction in _DIRECTIONS if local else ():
            if not judges(spec, direction.name):
                continue
            name = _fitting(f"{direction.name}-{key_of(policy)}")
            self._chains[name] = Chain(tuple(
                (*peer, *port, ACCEPT)
                for index, rule in enumerate(spec.get(direction.name) or ())
                for peer in self._peers(rule.get(direction.peers), direction, namespace_of(policy))
                for port in self._ports(f"{name}-{index}", rule, direction, namespace_of(policy), local)
            ))  # fmt: skip
            for pod in local:
                self._selected[direction.name].setdefault(pod.address, []).append(name)

    def result(self) -> Ruleset:
        """The whole table."""
        known = {pod.address for pods in self._cluster.groups.values() for pod in pods if pod.node == self._node}
        self._set(_KNOWN, Set((Type.ADDRESS,)), {(address,): None for address in known})
        self._set(_SELF, Set((Type.ADDRESS, Type.ADDRESS)), {(address, address): None for address in known})
        for direction in _DIRECTIONS:
            selected = self._selected[direction.name]
            verdicts: dict[Key, Value] = {
                (address,): goto(self._combination(direction, names)) for address, names in selected.items()
            }
            self._set(direction.name, Set((Type.ADDRESS,), verdicts=True), verdicts)
            own = (direction.own,)
            unknown = (InNetworks(direction.own, self._networks), InSet(own, _KNOWN, inverted=True), DROP)
            judged: tuple[Rule, ...] = (
                (Established(), ACCEPT),
                (InSet((Field.SOURCE, Field.DESTINATION), _SELF), ACCEPT),
                *([unknown] if self._networks else []),
                (Dispatch(own, direction.name),),
            )
            hook = Hook("filter", HookPoint.FORWARD, _PRIORITIES[direction.name])
            self._chains[f"judge-{direction.name}"] = Chain(judged, hook)
        return Ruleset(self._chains, self._sets, self._elements)

    def _combination(self, direction: Direction, policies: list[str]) -> str:
        """The chain for pods that exactly these policies select."""
        name = f"{direction.name}-only-{_digest(policies)}"
        self._chains[name] = Chain((*((jump(policy),) for policy in policies), (DROP,)))
        return name

    def _peers(self, peers: Any, direction: Direction, namespace: str) -> list[Rule]:
        """What a packet has to match to be from (to) one of the peers: one rule's begin for each; no peers mean all."""
        if not peers:
            return [()]
        found: list[Rule] = []
        for peer in peers:
            if "ipBlock" in peer:
                found += _block(peer["ipBlock"], direction.other, self._family)
            else:
                found.append((InSet((direction.other,), self._peer_set(namespace, peer)),))
        return found

    def _peer_set(self, namespace: str, peer: Mapping[str, Any]) -> str:
        """The set of the addresses of the pods that a peer means."""
        about = (peer.get("namespaceSelector"), peer.get("podSelector"))
        name = f"pods-{_digest([*map(str, about), namespace if about[0] is None else ''])}"
        if name not in self._sets:
            pods = self._cluster.select(namespace, peer)
            self._set(name, Set((Type.ADDRESS,)), {(pod.address,): None for pod in pods})
        return name

    def _ports(
        self, identity: str, rule: Mapping[str, Any], direction: Direction, namespace: str, local: list[PodView]
    ) -> list[Rule]:
        """What a packet has to match to be for one of the ports; no ports mean all."""
        if not rule.get("ports"):
            return [()]
        found: list[Rule] = []
        for port in rule["ports"]:
            protocol, number = PROTOCOLS[port.get("protocol") or "TCP"], port.get("port")
            if number is None:
                found.append((Protocol(protocol),))
            elif isinstance(number, int):
                found.append((Protocol(protocol), Ports(number, int(port.get("endPort") or number))))
            else:
                holders = local if direction.name == INGRESS else self._named(rule.get(direction.peers), namespace)
                name = f"port-{number}-{identity}"
                elements: dict[Key, Value] = {
                    (pod.address, protocol, pod.ports[number, protocol]): None
                    for pod in holders
                    if (number, protocol) in pod.ports
                }
                self._set(name, Set((Type.ADDRESS, Type.PROTOCOL, Type.PORT)), elements)
                found.append((InSet(_DESTINATION_PORT, name),))
        return found

    def _named(self, peers: Any, namespace: str) -> list[PodView]:
        """The pods whose port a name in an egress rule may be."""
        everywhere: list[Mapping[str, Any]] = [{"namespaceSelector": {}, "podSelector": {}}]
        chosen = [peer for peer in peers or everywhere if "ipBlock" not in peer]
        return [pod for peer in chosen or everywhere for pod in self._cluster.select(namespace, peer)]

    def _set(self, name: str, definition: Set, elements: dict[Key, Value]) -> None:
        self._sets[name], self._elements[name] = definition, elements


def judges(spec: Mapping[str, Any], direction: str) -> bool:
    """Whether a policy says anything about a direction; without types ingress always, egress if it has rules."""
    types = spec.get("policyTypes")
    if types:
        return direction.capitalize() in types
    return direction == INGRESS or bool(spec.get(EGRESS))


def _block(block: Mapping[str, Any], side: Field, family: Family) -> list[Rule]:
    """The match for a block of addresses; none for a block of the other family."""
    if not family.has(block["cidr"]):
        return []
    excepted = tuple(block.get("except") or ())
    inside = InNetworks(side, (block["cidr"],))
    return [(inside, InNetworks(side, excepted, inverted=True)) if excepted else (inside,)]


def _fitting(name: str) -> str:
    """A chain's name from a policy's, of which the kernel takes 255 characters and the API more."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}-{_digest([name])}"


def _digest(parts: Iterable[str]) -> str:
    return hashlib.blake2s("\n".join(parts).encode(), digest_size=8).hexdigest()
