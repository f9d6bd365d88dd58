"""`wherry proxy`: the composition root of the agent that programs services and the pod network of its node.

Invariant: what it has put into the kernel stays when it ends, so that traffic goes on; `--cleanup` removes it.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry

from agents.dns.cluster_dns import ClusterDns
from agents.dns.members import Members
from agents.dns.node_dns import NodeDns
from agents.dns.resolver import Resolver
from agents.dns.upstream import NodeUpstream
from agents.dns.zone import Zone
from agents.network import announcing, links
from agents.network.hostports import TABLE as HOST_PORT_TABLE
from agents.network.interface import NetworkError
from agents.network.netlink import NetlinkError
from agents.network.nftables.table import NftTable
from agents.network.nftables.values import Family
from agents.network.policies import TABLE as POLICY_TABLE
from agents.network.route_table import RouteTable
from agents.network.rtnetlink.encode import delete_link
from agents.proxy import rules
from agents.proxy.host_routes import HostRoutes
from agents.proxy.metrics import Metrics
from agents.proxy.node_balancers import NodeBalancers
from agents.proxy.node_events import NodeEvents
from agents.proxy.node_network import NodeNetwork
from agents.proxy.node_policies import NodePolicies
from agents.proxy.node_reach import NodeReach
from agents.proxy.service_proxy import ServiceProxy
from api.client import Client
from api.events import EventRecorder
from api.informers import Informers
from api.kubeconfig import FollowingTransport, KubeconfigError
from api.networks import networks
from api.process import configure_logging, stop_event
from api.runtime import Event, Runtime, SystemRuntime
from api.serving import CheckFailed, ListenError, Server, service

log = logging.getLogger(__name__)

NAME = "kube-proxy"
_STOP_SECONDS = 5.0
# So long the API is waited for when the segment says other than it did.
_CONFIRMED_SECONDS = 2.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry proxy`."""
    parser.add_argument("--kubeconfig", type=Path, help="how to reach the API server; waited for if not there yet")
    parser.add_argument("--node-name", help="the name of this machine's Node")
    parser.add_argument("--node-ip", default="", help="this node's address (default: the Node's InternalIP)")
    parser.add_argument("--cluster-cidr", type=networks, default="10.244.0.0/16", help="the pods', A[,B] (%(default)s)")
    parser.add_argument("--service-cidr", type=networks, default="10.96.0.0/16", help="services', A[,B] (%(default)s)")
    parser.add_argument(
        "--cluster-dns", default="10.96.0.10", help='the name server of pods, A[,B]; "" for none (%(default)s)'
    )
    parser.add_argument("--cluster-domain", default="cluster.local", help="the cluster's DNS domain (%(default)s)")
    parser.add_argument("--resolv-conf", type=Path, default=Path("/etc/resolv.conf"), help="the node's (%(default)s)")
    parser.add_argument("--listen", default="127.0.0.1:10256", help="ADDR:PORT of health and metrics (%(default)s)")
    parser.add_argument(
        "--routes-only", action="store_true", help="this host, at --node-ip, is no node: keep its routes to pods only"
    )
    parser.add_argument("--cleanup", action="store_true", help="remove all tables, routes and links of the pod network")
    parser.add_argument("-v", "--verbosity", type=int, default=0, help="1 logs every step")


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry proxy` until SIGTERM, or clean up; the exit status."""
    configure_logging(arguments.verbosity)
    try:
        if arguments.cleanup:
            return cleanup()
        if not arguments.kubeconfig or not arguments.node_name:
            print("wherry proxy: --kubeconfig and --node-name are required", file=sys.stderr)
            return 2
        return _serve(arguments, SystemRuntime())
    except (KubeconfigError, ListenError, NetlinkError, NetworkError, ValueError) as error:
        print(f"wherry proxy: {error}", file=sys.stderr)
        return 1


def cleanup() -> int:
    """Remove what the proxy and the pod network have put into the kernel; pods lose their network. The exit status."""
    for name, family in product((rules.TABLE, HOST_PORT_TABLE, POLICY_TABLE), Family):
        table = NftTable(name, family)
        if table.remove():
            print(f"removed table {name} of {family.written}")
        table.close()
    routes = RouteTable()
    for change in routes.remove():
        print(change)
    if links.find_link(routes.kernel, links.BRIDGE) is not None:
        routes.kernel.request(delete_link(links.BRIDGE))
        print(f"removed link {links.BRIDGE}")
    announcer = announcing.Announcer(routes.kernel)
    for address in announcer.reconcile([])[1]:
        print(f"removed {address} from {announcing.LINK}")
    routes.close()
    return 0


class _Part(Protocol):
    """A part of the proxy: one task that works from shared informers."""

    def watch(self) -> None: ...
    def run(self, stop: Event) -> None: ...
    def wake(self) -> None: ...


def _serve(arguments: argparse.Namespace, runtime: Runtime) -> int:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    stop = stop_event(runtime)
    state: dict[str, ServiceProxy] = {}
    config = {name: str(value) for name, value in vars(arguments).items() if not callable(value)}
    ready = {} if arguments.routes_only else {"rules": _rules_check(state)}
    application = service(NAME, metrics=registry, config=config, ready=ready)
    server = Server(application, arguments.listen)
    server.start()
    try:
        client = _wait_for_client(arguments.kubeconfig, runtime, stop)
        if client is None:
            return 0
        recorder = EventRecorder(client, runtime, NAME, arguments.node_name)
        recorder.start()
        informers = Informers(client, runtime)
        parts: list[_Part] = [HostRoutes(informers, runtime, arguments.node_ip)]
        if not arguments.routes_only:
            events = NodeEvents(recorder, arguments.node_name)
            state["proxy"], parts = _parts(arguments, runtime, informers, events, metrics)
        status = _run_parts(informers, parts, runtime, stop)
        recorder.close()
    finally:
        server.stop()
    return status


def _parts(
    arguments: argparse.Namespace, runtime: Runtime, informers: Informers, events: NodeEvents, metrics: Metrics
) -> tuple[ServiceProxy, list[_Part]]:
    """The services' part, and all parts of the proxy; no name server if the cluster has none."""
    cluster_networks = tuple(map(str, arguments.cluster_cidr))
    service_networks = tuple(map(str, arguments.service_cidr))
    impatient = Client(FollowingTransport(arguments.kubeconfig, runtime), user_agent=NAME, timeout=_CONFIRMED_SECONDS)
    cluster_dns = tuple(filter(None, map(str.strip, arguments.cluster_dns.split(","))))
    name = arguments.node_name
    proxy = ServiceProxy(informers, runtime, name, cluster_networks, events, metrics, cluster_dns)
    policies = NodePolicies(informers, runtime, name, cluster_networks, events, metrics)
    tables = [*(one.table for one in proxy.tables), *(one.table for one in policies.tables)]
    for one, other in combinations(tables, 2):
        one.beside(other)
    parts: list[_Part] = [
        proxy,
        NodeNetwork(informers, runtime, name, arguments.node_ip, service_networks, events, metrics),
        policies,
        NodeBalancers(informers, runtime, name, events, impatient),
        NodeReach(informers, runtime, name, events),
    ]
    if not cluster_dns:
        return proxy, parts
    upstream = NodeUpstream(arguments.resolv_conf, cluster_dns, runtime)
    domain = arguments.cluster_domain
    members = Members(informers, domain)
    zone = Zone(domain, (*cluster_networks, *service_networks), members.records, cluster_dns)
    resolver = Resolver(zone, upstream, runtime)
    metrics.count_queries(resolver)
    dns = ClusterDns(informers, members, resolver, domain)
    return proxy, [*parts, NodeDns(informers, runtime, name, resolver, dns, cluster_dns)]


def _run_parts(informers: Informers, parts: list[_Part], runtime: Runtime, stop: Event) -> int:
    """Let the parts work from complete lists on until `stop`, and wait for them to end; the exit status.

    A part that fails ends the process, whose supervisor starts it afresh.
    """
    informers.start(stop)
    status = 0
    if informers.wait_synced(stop):
        for part in parts:
            part.watch()
        tasks = [runtime.spawn(type(part).__name__, part.run, stop) for part in parts]
        while not stop.wait(1.0):
            if not all(task.is_alive() for task in tasks):
                log.error("a part of the proxy has failed; the process ends")
                status = 1
                stop.set()
        for part in parts:
            part.wake()
        for task in tasks:
            task.join(_STOP_SECONDS)
    informers.close()
    return status


def _wait_for_client(path: Path, runtime: Runtime, stop: Event) -> Client | None:
    """A client once the kubeconfig is there; None if stopped.

    On a node the kubelet writes that file when it has the proxy's certificate, which it renews later.
    """
    said = ""
    while not stop.is_set():
        try:
            return Client(FollowingTransport(path, runtime), user_agent=NAME)
        except KubeconfigError as error:
            if str(error) != said:
                log.info("waiting for credentials: %s", error)
            said = str(error)
        stop.wait(0.5)
    return None


def _rules_check(state: dict[str, ServiceProxy]) -> Callable[[], None]:
    def check() -> None:
        proxy = state.get("proxy")
        if proxy is None or not proxy.in_sync:
            raise CheckFailed("the rules of services are not in the kernel yet")

    return check
