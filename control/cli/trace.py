"""`wherry trace pod/X service/Y`: the way of a packet, hop by hop, and the first hop that is broken.

Each node's kubelet is asked, through the API server, what its kernel does with the packet; the objects of the API say
what it should do. The target may also be pod/Z:PORT or ADDRESS:PORT; NAME.NAMESPACE names another namespace.

Invariant: only looks; what it sends are echo requests and connections that are closed at once.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlencode

import orjson

from agents.network import routes
from agents.network.ipam import gateway_of
from api import kubeconfig
from api.client import Client
from api.errors import ApiError, NotFound
from api.kubeconfig import KubeconfigError
from api.objects import Object, labels_of, name_of, namespace_of
from api.transport import TransportError
from control.cli import trace_hops
from control.cli.errors import CommandError
from control.cli.trace_hops import Facts, Frontend, Hop

_SERVICE_NAME = "kubernetes.io/service-name"
_LONGEST_LIST = 4
_KINDS = {"po": "pods", "pod": "pods", "pods": "pods", "svc": "services", "service": "services", "services": "services"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry trace`."""
    default = os.environ.get("KUBECONFIG") or "/etc/wherry/admin.kubeconfig"
    parser.add_argument("source", help="pod/NAME: where the packet starts")
    parser.add_argument("target", help="service/NAME[:PORT], pod/NAME:PORT or ADDRESS:PORT")
    parser.add_argument("-n", "--namespace", default="default", help="(default: %(default)s)")
    parser.add_argument("--kubeconfig", default=default, help="(default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Print the hops; 0 if none is broken, else 1. Raises CommandError."""
    try:
        client = kubeconfig.client(arguments.kubeconfig, "wherry-trace")
        hops = list(Tracer(client, arguments.namespace).hops(arguments.source, arguments.target))
    except (KubeconfigError, ApiError, TransportError) as error:
        raise CommandError(f"the trace cannot be made: {error}") from error
    print(trace_hops.written(hops))
    return int(any(hop.problem for hop in hops))


class Tracer:
    """Asks the API and the nodes about one way."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._nodes = {name_of(node): node for node in client.list("nodes").items}

    def hops(self, source: str, target: str) -> Iterator[Hop]:
        """The hops of the way from a pod. Raises CommandError."""
        pod = self._named("pods", source.removeprefix("pod/").removeprefix("po/"))
        node = _place(pod)[0]
        kind, slash, rest = target.partition("/")
        if not slash:
            endpoints: tuple[str, ...] = (_checked(target),)
        elif _KINDS.get(kind) == "pods":
            name, port = _host_and_port(rest)
            endpoints = (f"{_place(self._named('pods', name))[1]}:{port}",)
        elif _KINDS.get(kind) == "services":
            front = self._frontend(rest)
            endpoints = front.endpoints
            if front.address != "None":
                query = {"target": front.address, "service": f"{front.protocol}/{front.port}"}
                yield self._pod_hop(pod)
                yield trace_hops.service_hop(node, front, self._ask(node, query)["service"])
            for one in endpoints[:_LONGEST_LIST]:
                yield from self._way(pod, one, front.protocol)
            return
        else:
            raise CommandError(f"{target} cannot be traced: only service/NAME, pod/NAME:PORT and ADDRESS:PORT can")
        yield self._pod_hop(pod)
        for one in endpoints:
            yield from self._way(pod, one, "TCP")

    def _pod_hop(self, pod: Object) -> Hop:
        node, address = _place(pod)
        name = f"{namespace_of(pod)}/{name_of(pod)}"
        if pod["spec"].get("hostNetwork"):
            return Hop(node, f"pod {name}: on the node's own network, {address}")
        try:
            facts = self._ask(node, {"source": address, "target": address})
        except (ApiError, TransportError) as error:
            return Hop(node, f"pod {name} {address}", f"the kubelet of {node} cannot be asked: {error}")
        return trace_hops.pod_hop(node, name, address, facts.get("source"))

    def _way(self, pod: Object, endpoint: str, protocol: str) -> Iterator[Hop]:
        """From the pod's node to one endpoint."""
        node, source = _place(pod)
        address, port = _host_and_port(endpoint)
        target = self._pod_at(address)
        there = self._nodes.get(_place(target)[0]) if target else self._node_at(address)
        query = {"source": source, "target": address} | ({"port": str(port)} if protocol == "TCP" else {})
        gateway = _gateway(there) if there else ""
        if there and name_of(there) != node and gateway:
            query["echo"] = f"{routes.node_address(there)},{gateway}"
        facts = self._ask(node, query)
        hops = [trace_hops.route_hop(node, address, facts["route"], to_pod=target is not None)]
        if "echo" in query and there is not None:
            hops.append(trace_hops.between_hop(self._nodes[node], there, gateway, facts["route"], facts["echo"]))
        if target is not None:
            hops.append(self._target_hop(target, reachable=facts["echo"].get(_node_address(there), True)))
        if "connection" in facts:
            policies = self._client.list("networkpolicies.networking.k8s.io").items
            held_by = [*trace_hops.policies_judging(policies, pod, "egress"),
                       *trace_hops.policies_judging(policies, target, "ingress")]  # fmt: skip
            sound = not any(hop.problem for hop in hops)
            told = f"{source} -> {endpoint}"
            hops.append(trace_hops.connection_hop(node, told, facts["connection"], held_by, sound=sound))
        yield from hops

    def _target_hop(self, pod: Object, *, reachable: bool) -> Hop:
        """The endpoint's pod on its node; a node that does not answer is not asked."""
        if not reachable:
            node, address = _place(pod)
            return Hop(node, f"pod {namespace_of(pod)}/{name_of(pod)} {address}", f"{node} cannot be asked")
        return self._pod_hop(pod)

    def _ask(self, node: str, query: dict[str, str]) -> Facts:
        path = f"/api/v1/nodes/{node}/proxy/trace?{urlencode(query)}"
        facts: Facts = orjson.loads(self._client.raw("GET", path))
        return facts

    def _named(self, resource: str, name: str) -> Object:
        own, _, namespace = name.partition(".")
        try:
            return self._client.get(resource, own, namespace or self._namespace)
        except NotFound as error:
            raise CommandError(
                f"{resource} {own} does not exist in namespace {namespace or self._namespace}"
            ) from error

    def _frontend(self, text: str) -> Frontend:
        """The service's address, and the port asked for by number or name, else its first one."""
        name, _, wanted = text.partition(":")
        service = self._named("services", name)
        ports = service["spec"].get("ports") or []
        port = next((one for one in ports if wanted in ("", str(one["port"]), one.get("name"))), None)
        if port is None:
            raise CommandError(f"service {name} has no port {wanted or 'at all'}")
        own = namespace_of(service)
        slices = self._client.list("endpointslices.discovery.k8s.io", own).items
        ends = [
            f"{address}:{held['port']}"
            for one in slices
            if labels_of(one).get(_SERVICE_NAME) == name_of(service)
            for held in one.get("ports") or ()
            if (held.get("name") or "") == (port.get("name") or "")
            for entry in one.get("endpoints") or ()
            if (entry.get("conditions") or {}).get("ready") is not False
            for address in entry["addresses"]
        ]
        address = service["spec"].get("clusterIP") or "None"
        protocol = port.get("protocol") or "TCP"
        return Frontend(f"{own}/{name_of(service)}", address, protocol, int(port["port"]), tuple(sorted(ends)))

    def _pod_at(self, address: str) -> Object | None:
        pods = self._client.list("pods").items
        return next((pod for pod in pods if (pod.get("status") or {}).get("podIP") == address
                     and not pod["spec"].get("hostNetwork")), None)  # fmt: skip

    def _node_at(self, address: str) -> Object | None:
        return next((node for node in self._nodes.values() if routes.node_address(node) == address), None)


def _place(pod: Object) -> tuple[str, str]:
    """The node and address of a pod. Raises CommandError."""
    node, address = pod["spec"].get("nodeName") or "", (pod.get("status") or {}).get("podIP") or ""
    if not node or not address:
        raise CommandError(f"pod {name_of(pod)} has no {'address' if node else 'node'} yet: see `kubectl describe pod`")
    return node, address


def _node_address(node: Object | None) -> str:
    return routes.node_address(node) if node else ""


def _gateway(node: Object) -> str:
    return next((str(gateway_of(network)) for network in routes.pod_networks(node) if network.version == 4), "")


def _host_and_port(text: str) -> tuple[str, int]:
    """Both halves of HOST:PORT. Raises CommandError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise CommandError(f"{text} says no port; write {text}:80")
    return host, int(port)


def _checked(text: str) -> str:
    """ADDRESS:PORT, if it is that. Raises CommandError."""
    try:
        ip_address(_host_and_port(text)[0])
    except ValueError as error:
        raise CommandError(f"{text} is neither service/NAME nor pod/NAME:PORT nor ADDRESS:PORT") from error
    return text
