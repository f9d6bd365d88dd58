"""`wherry trace pod/X service/Y`: the way of a packet, hop by hop, and the first hop that is broken.

Each node's kubelet is asked, through the API server, what its kernel does with the packet; the objects of the API say
what it should do. The target may also be pod/Z:PORT or ADDRESS:PORT; NAME.NAMESPACE names another namespace. A pod with
an address of each family is looked at by IPv4 unless the target is one of IPv6 or -6 says so.

Invariant: only looks; what it sends are echo requests and connections that are closed at once.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlencode

import orjson

from agents.dns.node_dns import gateway_address
from agents.network import routes
from agents.network.links import BRIDGE
from agents.network.nftables.values import Endpoint, Family, spelled
from agents.network.policies import pod_addresses
from agents.proxy import rules
from agents.proxy.endpoints import SERVICE_NAME, candidates, choose, node_view
from api import kubeconfig
from api.client import Client
from api.errors import ApiError, NotFound
from api.kubeconfig import KubeconfigError
from api.objects import Object, labels_of, name_of, namespace_of
from api.transport import TransportError
from control.cli import trace_hops
from control.cli.errors import CommandError
from control.cli.trace_hops import Facts, Frontend, Hop

_LONGEST_LIST = 4
_KINDS = {"po": "pods", "pod": "pods", "pods": "pods", "svc": "services", "service": "services", "services": "services"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry trace`."""
    default = os.environ.get("KUBECONFIG") or "/etc/wherry/admin.kubeconfig"
    parser.add_argument("source", help="pod/NAME: where the packet starts")
    parser.add_argument("target", help="service/NAME[:PORT], pod/NAME:PORT or ADDRESS:PORT")
    parser.add_argument("-n", "--namespace", default="default", help="(default: %(default)s)")
    parser.add_argument("-6", dest="ipv6", action="store_true", help="go by IPv6")
    parser.add_argument("--kubeconfig", default=default, help="(default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Print the hops; 0 if none is broken, else 1. Raises CommandError."""
    try:
        client = kubeconfig.client(arguments.kubeconfig, "wherry-trace")
        hops = list(
            Tracer(client, arguments.namespace, Family.IP6 if arguments.ipv6 else None).hops(
                arguments.source, arguments.target
            )
        )
    except (KubeconfigError, ApiError, TransportError) as error:
        raise CommandError(f"the trace cannot be made: {error}") from error
    print(trace_hops.written(hops))
    return int(any(hop.problem for hop in hops))


class Tracer:
    """Asks the API and the nodes about one way."""

    def __init__(self, client: Client, namespace: str, family: Family | None = None) -> None:
        self._client = client
        self._namespace = namespace
        self._family = family or Family.IP
        self._chosen = family is not None
        self._nodes = {name_of(node): node for node in client.list("nodes").items}

    def hops(self, source: str, target: str) -> Iterator[Hop]:
        """The hops of the way from a pod. Raises CommandError."""
        pod = self._named("pods", source.removeprefix("pod/").removeprefix("po/"))
        kind, slash, rest = target.partition("/")
        if _KINDS.get(kind) == "services" and slash:
            service_name, _, wanted = rest.partition(":")
            yield from self._through(pod, self._frontend(self._named("services", service_name), wanted, pod))
            return
        if not slash:
            endpoint = _checked(target)
            self._family = next(family for family in Family if family.has(endpoint.address))
            service = self._service_at(endpoint)
            if service is not None:
                front = self._frontend(service, str(endpoint.port), pod, endpoint.address)
                yield from self._through(pod, front)
                return
        elif _KINDS.get(kind) == "pods":
            name, port = _host_and_port(rest)
            endpoint = Endpoint(self._place(self._named("pods", name))[1], port)
        else:
            raise CommandError(f"{target} cannot be traced: only service/NAME, pod/NAME:PORT and ADDRESS:PORT can")
        yield self._pod_hop(pod)
        yield from self._way(pod, endpoint, "TCP")

    def _through(self, pod: Object, front: Frontend) -> Iterator[Hop]:
        """The way through a service's front end."""
        node = self._place(pod)[0]
        yield self._pod_hop(pod)
        facts: Facts = {"problem": "", "chain": ""}
        if front.address != trace_hops.HEADLESS:
            told = self._ask(node, {"target": front.address, "service": f"{front.protocol}/{front.port}"})
            facts = told["service"] | {"proxy": told.get("proxy", True)}
        yield trace_hops.service_hop(node, front, facts)
        ends = front.endpoints
        for number, one in enumerate(ends[:_LONGEST_LIST], 1):
            turn = f"endpoint {number} of {len(ends)}: " if len(ends) > 1 else ""
            yield from self._way(pod, one, front.protocol, turn)

    def _pod_hop(self, pod: Object) -> Hop:
        node, address = self._place(pod)
        name = f"{namespace_of(pod)}/{name_of(pod)}"
        if pod["spec"].get("hostNetwork"):
            return Hop(node, f"pod {name}: on the node's own network, {address}")
        try:
            facts = self._ask(node, {"source": address, "target": address})
        except CommandError as error:
            return Hop(node, f"pod {name} {address}", unseen=str(error))
        return trace_hops.pod_hop(node, name, address, facts.get("source"))

    def _way(self, pod: Object, endpoint: Endpoint, protocol: str, turn: str = "") -> Iterator[Hop]:
        """From the pod's node to one endpoint."""
        node, source = self._place(pod)
        address = endpoint.address
        target = self._pod_at(address)
        there = self._nodes.get(self._place(target)[0]) if target else self._node_at(address)
        query = {"source": source, "target": address} | ({"port": str(endpoint.port)} if protocol == "TCP" else {})
        gateway = gateway_address(there, self._family.has)
        beyond = trace_hops.address_like(there, address) if there else ""
        if there and name_of(there) != node and gateway:
            query["echo"] = f"{beyond},{gateway}"
        facts = self._ask(node, query)
        owner = self._range_at(address)
        if target is None and (owner or facts["route"].get("link") == BRIDGE):
            yield trace_hops.nobody_hop(node, address, owner)
            return
        hops = [trace_hops.route_hop(node, address, facts, to_pod=target is not None, turn=turn)]
        if "echo" in query and there is not None:
            sound = not hops[0].problem
            way = trace_hops.between_hop(self._nodes[node], there, gateway, facts["route"], facts["echo"], sound=sound)
            hops.append(way)
        if target is not None:
            hops.append(self._target_hop(target, reachable=facts["echo"].get(beyond, True)))
        elif not (pod["spec"].get("hostNetwork") or hops[0].problem):
            hops.append(trace_hops.leaving_hop(node, facts))
        if "connection" in facts:
            policies = self._client.list("networkpolicies.networking.k8s.io").items
            held_by = [*trace_hops.policies_judging(policies, pod, "egress"),
                       *trace_hops.policies_judging(policies, target, "ingress")]  # fmt: skip
            sound = not any(hop.problem for hop in hops)
            told = f"{source} -> {endpoint.written()}"
            outcome, to_pod = facts["connection"], target is not None
            hops.append(trace_hops.connection_hop(node, told, outcome, held_by, sound=sound, to_pod=to_pod))
        yield from hops

    def _target_hop(self, pod: Object, *, reachable: bool) -> Hop:
        """The endpoint's pod on its node; a node that does not answer is not asked."""
        if not reachable:
            node, address = self._place(pod)
            return Hop(node, f"pod {namespace_of(pod)}/{name_of(pod)} {address}", unseen=f"{node} cannot be asked")
        return self._pod_hop(pod)

    def _ask(self, node: str, query: dict[str, str]) -> Facts:
        """What a node's kernel says. Raises CommandError if its kubelet says nothing."""
        path = f"/api/v1/nodes/{node}/proxy/trace?{urlencode(query)}"
        try:
            facts: Facts = orjson.loads(self._client.raw("GET", path))
        except (ApiError, TransportError) as error:
            raise CommandError(f"the kubelet of {node} cannot be asked: {error}") from error
        return facts

    def _named(self, resource: str, name: str) -> Object:
        own, _, namespace = name.partition(".")
        try:
            return self._client.get(resource, own, namespace or self._namespace)
        except NotFound as error:
            told = f"{resource.removesuffix('s')} {own}"
            raise CommandError(f"{told} does not exist in namespace {namespace or self._namespace}") from error

    def _frontend(self, service: Object, wanted: str, pod: Object, outer: str = "") -> Frontend:
        """The service's address (or another that leads to it), the port wanted by number or name, else its first one.

        Its endpoints are those that the pod's node has to use. Raises CommandError.
        """
        name, spec = name_of(service), service["spec"]
        if spec.get("type") == "ExternalName":
            raise CommandError(f"service {name} is another name for {spec.get('externalName')}; trace that")
        port = next((one for one in spec.get("ports") or () if wanted in ("", str(one["port"]), one.get("name"))), None)
        if port is None:
            raise CommandError(f"service {name} has no port {wanted or 'at all'}")
        address = outer or self._own_address(service)
        protocol, own = port.get("protocol") or "TCP", namespace_of(service)
        slices = [
            one
            for one in self._client.list("endpointslices.discovery.k8s.io", own).items
            if labels_of(one).get(SERVICE_NAME) == name
        ]
        node = node_view(self._place(pod)[0], self._nodes.get(self._place(pod)[0]))
        found = candidates(slices, port.get("name") or "", protocol, node, self._family.written)
        choice = choose(found, node)
        kept = not outer and spec.get("internalTrafficPolicy") == "Local"
        usable = choice.local if kept else choice.cluster
        if not address:
            usable = tuple(sorted(one.endpoint for one in found if one.ready))
        elsewhere = 0 if usable else len(choice.cluster)
        front = f"{own}/{name}"
        return Frontend(front, address or trace_hops.HEADLESS, protocol, int(port["port"]), usable, elsewhere)

    def _own_address(self, service: Object) -> str:
        """A service's address of the family that is looked at, "" if it is headless. Raises CommandError."""
        given = rules.cluster_addresses(service["spec"])
        address = next(filter(self._family.has, given), "")
        if given and not address:
            if self._chosen:
                has = f"has no {self._family.written} address, only {', '.join(given)}"
                raise CommandError(f"service {name_of(service)} {has}")
            address = given[0]
            self._family = next(family for family in Family if family.has(address))
        return address

    def _service_at(self, front: Endpoint) -> Object | None:
        """The service that an address leads to; services share those of others, such as a node's, by their ports."""
        services = self._client.list("services").items
        holders = [one for one in services if front.address in map(spelled, rules.front_addresses(one))]
        with_port = [
            one for one in holders if any(port["port"] == front.port for port in one["spec"].get("ports") or ())
        ]
        own = [one for one in holders if front.address in map(spelled, rules.cluster_addresses(one["spec"]))]
        return next(iter(with_port + own), None)

    def _range_at(self, address: str) -> str:
        """The node in whose pods' range an address is, or ""."""
        held = (
            name
            for name, node in self._nodes.items()
            for one in routes.pod_networks(node)
            if ip_address(address) in one
        )
        return next(held, "")

    def _place(self, pod: Object) -> tuple[str, str]:
        """The node of a pod, and its address of the family that is looked at. Raises CommandError."""
        node = pod["spec"].get("nodeName") or ""
        held = pod_addresses(pod)
        if not node or not held:
            lacks = "address" if node else "node"
            raise CommandError(f"pod {name_of(pod)} has no {lacks} yet: see `kubectl describe pod`")
        address = next(filter(self._family.has, held), "")
        if not address:
            raise CommandError(f"pod {name_of(pod)} has no {self._family.written} address, only {', '.join(held)}")
        return node, address

    def _pod_at(self, address: str) -> Object | None:
        pods = self._client.list("pods").items
        # What has ended keeps its address in its status.
        return next((pod for pod in pods if address in pod_addresses(pod) and not pod["spec"].get("hostNetwork")
                     and pod["status"].get("phase") == "Running"), None)  # fmt: skip

    def _node_at(self, address: str) -> Object | None:
        return next((node for node in self._nodes.values() if address in routes.node_addresses(node)), None)


def _host_and_port(text: str) -> tuple[str, int]:
    """Both halves of HOST:PORT. Raises CommandError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise CommandError(f"{text} says no port; write {text}:80")
    return host, int(port)


def _checked(text: str) -> Endpoint:
    """ADDRESS:PORT or [ADDRESS]:PORT, if it is that. Raises CommandError."""
    host, _, port = text.rpartition(":")
    try:
        return Endpoint(str(ip_address(host.strip("[]"))), int(port))
    except ValueError as error:
        raise CommandError(f"{text} is neither service/NAME nor pod/NAME:PORT nor ADDRESS:PORT") from error
