"""A node of namespaces with a control plane and a proxy: what tests and benchmarks of the whole proxy begin with.

Invariant: nothing of it is left when `open_site` ends.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from namespace_lab import Host, Lab, node

ROOT = Path(__file__).resolve().parents[1]
WHERRY = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
          "from control.cli.main import main; sys.exit(main(sys.argv[1:]))"]  # fmt: skip
RESOURCES = {
    "Pod": "pods",
    "NetworkPolicy": "networkpolicies.networking.k8s.io",
    "Node": "nodes",
    "Service": "services",
    "EndpointSlice": "endpointslices.discovery.k8s.io",
}
ADDRESS, CIDR = "192.168.9.11", "10.244.1.0/24"


@dataclass
class Site:
    """A node with a control plane and a proxy in its namespaces, and two pods."""

    lab: Lab
    host: Host
    proxy: int
    pods: tuple[str, str]
    client: str

    @property
    def kubeconfig(self) -> str:
        return f"{self.host.state}/control/admin.kubeconfig"

    def apply(self, *objects: dict) -> None:
        """Create or replace objects."""
        for obj in objects:
            self.host.put(kubeconfig=self.kubeconfig, resource=RESOURCES[obj["kind"]], obj=obj)

    def reasons(self) -> set[str]:
        """The reasons of all events."""
        return {event["reason"] for event in self.host.items(kubeconfig=self.kubeconfig, resource="events")}

    def start_proxy(self) -> None:
        """Start the proxy."""
        self.proxy = self.run_proxy(self.host, ADDRESS)

    def run_proxy(self, host: Host, address: str) -> int:
        """Start the proxy of a host; its process."""
        return host.start(argv=[
            "sh", "-c", 'echo started; exec "$@" 2>>"$0"', f"{host.state}/proxy.log", *WHERRY, "proxy",
            "--kubeconfig", self.kubeconfig, "--node-name", host.name, "--node-ip", address,
        ])  # fmt: skip

    def join(self, name: str, number: int) -> Host:
        """One more node with a proxy and the pod `client`, of a site whose API server others reach."""
        address, cidr = f"192.168.9.{11 + number}", f"10.244.{1 + number}.0/24"
        host = self.lab.host(name, "lan", f"{address}/24")
        host.open(state=host.state, cidrs=[cidr])
        host.attach(sandbox="client")
        self.register(name, address, cidr)
        self.run_proxy(host, address)
        return host

    def register(self, name: str, address: str, cidr: str) -> None:
        """Make a Node."""
        made = {"apiVersion": "v1", "kind": "Node"} | node(name, address, cidr)
        self.apply(made)
        self.host.put_status(kubeconfig=self.kubeconfig, resource="nodes", obj=made)

    def answers(self, *expected: str, **options) -> bool:
        """Whether exactly these answer on the service's address."""
        return {line.split()[0] for line in self.host.ask("10.96.0.80", 80, pod="client", **options)} == set(expected)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


def service(protocol: str = "TCP") -> dict:
    ports = [{"port": 80, "protocol": protocol, "targetPort": 8080}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"clusterIP": "10.96.0.80", "ports": ports}}  # fmt: skip


def endpoint_slice(*addresses: str, protocol: str = "TCP") -> dict:
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "ports": [{"name": "", "port": 8080, "protocol": protocol}],
        "endpoints": [{"addresses": [a], "nodeName": "one", "conditions": {"ready": True}} for a in addresses],
    }  # fmt: skip


@contextmanager
def open_site(listen: str = "127.0.0.1") -> Iterator[Site]:
    """A site with a Node and a running proxy; other nodes can join it if its API server listens at ADDRESS."""
    lab = Lab()
    try:
        lab.segment("lan")
        host = lab.host("one", "lan", f"{ADDRESS}/24")
        host.start(argv=["sh", "-c", 'exec "$@" 2>"$0"', f"{host.state}/server.log", *WHERRY, "server", "--data-dir",
                         f"{host.state}/control", "--listen", f"{listen}:6443", "--store", "memory"])  # fmt: skip
        host.open(state=host.state, cidrs=[CIDR])
        first, second, client = (host.attach(sandbox=name)["addresses"][0] for name in ("a", "b", "client"))
        for name in ("a", "b"):
            host.serve(name, 8080, pod=name)
            host.serve(name, 8080, pod=name, protocol="udp")
        made = Site(lab, host, 0, (first, second), client)
        made.register("one", ADDRESS, CIDR)
        made.start_proxy()
        yield made
    finally:
        lab.close()
