"""The inside of a test's node: runs in namespaces of its own and does what it is told, one JSON line a call.

Invariant: nothing it does outlives it but what is in its own namespaces, and those end with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ipaddress import ip_address, ip_network

from agents.network import links, observation, policies, routes
from agents.network.announcing import Announcer
from agents.network.interface import Bandwidth, HostPort
from agents.network.netlink_network import NetlinkPodNetwork
from agents.network.nftables.table import NftTable
from agents.network.nftables.values import Family, Ruleset, union
from agents.network.policy_table import PolicyTable
from agents.network.route_table import RouteTable
from agents.proxy import observation as service_observation
from agents.proxy import rules
from agents.proxy.endpoints import NodeView
from agents.proxy.service_table import ServiceTable
from api import kubeconfig as kubeconfigs
from api.errors import AlreadyExists
from api.objects import key_of
from api.runtime import SystemRuntime


class Node:
    """The calls that `namespace_lab.Host` makes."""

    def __init__(self) -> None:
        self.network: NetlinkPodNetwork | None = None
        self.table: NftTable | None = None
        self.policy_table: PolicyTable | None = None
        self.followed: ServiceTable | None = None
        self.children: dict[int, subprocess.Popen[str]] = {}

    def run(self, argv: list[str], timeout: float = 20.0) -> dict:
        """Run a program to its end."""
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout)
        return {"code": done.returncode, "out": done.stdout, "err": done.stderr}

    def start(self, argv: list[str]) -> int:
        """Start a program and wait for its first line."""
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        child.stdout.readline()
        self.children[child.pid] = child
        threading.Thread(target=child.stdout.read, daemon=True).start()
        return child.pid

    def kill(self, pid: int, number: int = signal.SIGKILL) -> int:
        """Signal a started program and wait for its end."""
        child = self.children.pop(pid)
        child.send_signal(number)
        return child.wait(10)

    def open(self, state: str, cidrs: list[str]) -> None:
        """Make the pod network from its state on disk."""
        self.network = NetlinkPodNetwork(Path(state), SystemRuntime())
        self.network.configure(tuple(cidrs))

    def attach(self, sandbox: str, host_ports: list[dict] | None = None, bandwidth: dict | None = None) -> dict:
        """Attach a sandbox."""
        ports = tuple(HostPort(**port) for port in host_ports or ())
        return asdict(self.network.attach(sandbox, ports, Bandwidth(**bandwidth or {})))

    def repair_pods(self) -> list[str]:
        """Repair what pods were attached with; what was done, then what could not be."""
        found = self.network.repair()
        return found.done + found.failed

    def detach(self, sandbox: str) -> None:
        """Detach a sandbox."""
        self.network.detach(sandbox)

    def detach_together(self, sandboxes: list[str]) -> None:
        """Detach sandboxes, all at once."""
        with ThreadPoolExecutor(len(sandboxes)) as pool:
            list(pool.map(self.network.detach, sandboxes))

    def attached(self) -> dict:
        """All attachments."""
        return {name: asdict(held) for name, held in self.network.attached().items()}

    def services(
        self, services: list, slices: list, node: str, cluster: str = "10.244.0.0/16", addresses: list | None = None
    ) -> str:
        """Make the table of services of the cluster's family on a node; what had to be changed."""
        view = NodeView(node, addresses=tuple(addresses or ()))
        family = next(family for family in Family if family.has(cluster))
        if self.table is None:
            self.table = NftTable(rules.TABLE, family)
            if self.policy_table is not None:
                self.policy_table.table.beside(self.table)
        parts = [rules.base((cluster,), family)]
        for service in services:
            own = [one for one in slices if rules.service_key_of(one) == key_of(service)]
            parts.append(rules.service_rules(service, own, view, (cluster,), family).ruleset)
        return str(self.table.reconcile(union(parts)))

    def follow(self, services: list, slices: list, node: str, cluster: str = "10.244.0.0/16") -> None:
        """Change the table as the proxy does, service by service; tracked flows to former endpoints are forgotten."""
        family = next(family for family in Family if family.has(cluster))
        if self.followed is None:
            self.followed = ServiceTable(family, (cluster,))
            self.followed.rebuild(iter(()), None)
        parts: dict = dict.fromkeys(self.followed.parts)
        for service in services:
            own = [one for one in slices if rules.service_key_of(one) == key_of(service)]
            parts[key_of(service)] = rules.service_rules(service, own, NodeView(node), (cluster,), family)
        self.followed.update(parts)

    def repair(self, ruleset: None = None) -> bool:
        """Whether the table is as it was left."""
        return self.table.unchanged()

    def policies(self, objects: list, pods: list, namespaces: list, node: str, cidr: str) -> None:
        """Make the table of policies, or change it to what it shall be."""
        family = next(family for family in Family if family.has(cidr))
        if self.policy_table is None:
            self.policy_table = PolicyTable(family)
            if self.table is not None:
                self.policy_table.table.beside(self.table)
        cluster = policies.cluster_of(pods, namespaces, family)
        self.policy_table.apply(policies.desired(objects, cluster, node, [cidr], family))

    def routes(self, nodes: list, name: str, address: str, cidr: str) -> list[str]:
        """Make the routes to the other nodes."""
        table = RouteTable()
        try:
            network = tuple(map(ip_network, cidr.split(",")))
            bridge, _ = links.ensure_bridge(table.kernel, network, 1500)
            plan = routes.plan(routes.peers(nodes, name), links.addresses(table.kernel), bridge.index)
            return table.reconcile(plan, address, network)
        finally:
            table.close()

    def observe(self, query: dict) -> dict:
        """What the kernel does with packets, as the kubelet tells it."""
        facts = observation.observe(self.network.attached().values(), query)
        return facts | service_observation.standing(query["target"])

    def observe_service(self, address: str, protocol: str, port: int) -> dict:
        """What the table of services does with packets."""
        return service_observation.observe(address, protocol, port)

    def announce(self, addresses: list[str]) -> list[list[str]]:
        """Answer for exactly these addresses, and tell the segment; what was taken and what given up."""
        announcer = Announcer()
        try:
            taken, given = announcer.reconcile([ip_address(address) for address in addresses])
            for address in taken:
                announcer.tell(address)
            return [[str(address) for address in part] for part in (taken, given)]
        finally:
            announcer.close()

    def contested(self, addresses: list[str]) -> dict[str, str]:
        """Those addresses that somebody else answers for, with the MAC."""
        announcer = Announcer()
        try:
            found = announcer.contested([ip_address(address) for address in addresses])
            return {str(address): mac for address, mac in found.items()}
        finally:
            announcer.close()

    def unroute(self) -> list[str]:
        """Remove the routes again."""
        table = RouteTable()
        try:
            return table.remove()
        finally:
            table.close()

    def put(self, kubeconfig: str, resource: str, obj: dict) -> None:
        """Create an object in the API, or replace it."""
        client = kubeconfigs.client(kubeconfig, "test")
        try:
            client.create(resource, obj)
        except AlreadyExists:
            client.update(resource, obj)

    def update_each(self, kubeconfig: str, resource: str, objects: list[dict], pause: float) -> list[float]:
        """Replace objects one after another; the time before each request, by this machine's monotonic clock."""
        client = kubeconfigs.client(kubeconfig, "test")
        times = []
        for obj in objects:
            time.sleep(pause)
            times.append(time.monotonic())
            client.update(resource, obj)
        return times

    def put_status(self, kubeconfig: str, resource: str, obj: dict) -> None:
        """Write the status of an object that is there."""
        client = kubeconfigs.client(kubeconfig, "test")
        present = client.get(resource, obj["metadata"]["name"], obj["metadata"].get("namespace", ""))
        client.update_status(resource, present | {"status": obj["status"]})

    def items(self, kubeconfig: str, resource: str) -> list[dict]:
        """All objects of a resource in the API."""
        return kubeconfigs.client(kubeconfig, "test").list(resource).items

    def empty(self) -> Ruleset:
        """Remove the table of services."""
        self.table.remove()


def main() -> None:
    """Answer calls until the input ends."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    node = Node()
    print(json.dumps({"pid": os.getpid()}), flush=True)
    for line in sys.stdin:
        call, arguments = json.loads(line)
        try:
            answer = {"value": getattr(node, call)(**arguments)}
        except Exception as error:  # noqa: BLE001 - the caller raises it again
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    for child in node.children.values():
        child.kill()


if __name__ == "__main__":
    main()
