"""`wherry proxy` as a process beside a real API server: it follows the API, repairs, survives, and cleans up."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from namespace_lab import Host, Lab

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

ROOT = Path(__file__).resolve().parents[3]
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

    host: Host
    proxy: int
    pods: tuple[str, str]

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
        self.proxy = self.host.start(argv=[
            "sh", "-c", 'echo started; exec "$@" 2>>"$0"', f"{self.host.state}/proxy.log", *WHERRY, "proxy",
            "--kubeconfig", self.kubeconfig, "--node-name", "one", "--node-ip", ADDRESS,
        ])  # fmt: skip

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


@pytest.fixture
def site() -> Iterator[Site]:
    lab = Lab()
    try:
        lab.segment("lan")
        host = lab.host("one", "lan", f"{ADDRESS}/24")
        host.start(argv=["sh", "-c", 'exec "$@" 2>"$0"', f"{host.state}/server.log", *WHERRY, "server", "--data-dir",
                         f"{host.state}/control", "--listen", "127.0.0.1:6443", "--store", "memory"])  # fmt: skip
        host.open(state=host.state, cidrs=[CIDR])
        first, second, _ = (host.attach(sandbox=name)["addresses"][0] for name in ("a", "b", "client"))
        for name in ("a", "b"):
            host.serve(name, 8080, pod=name)
            host.serve(name, 8080, pod=name, protocol="udp")
        made = Site(host, 0, (first, second))
        made.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"},
                    "spec": {"podCIDR": CIDR, "podCIDRs": [CIDR]}})  # fmt: skip
        made.start_proxy()
        yield made
    finally:
        lab.close()


def test_the_proxy_follows_repairs_survives_and_cleans_up(site: Site) -> None:
    site.apply(service(), endpoint_slice(*site.pods))
    wait_for(lambda: site.answers("a", "b", count=12), "balancing")
    site.apply(endpoint_slice(site.pods[1]))
    wait_for(lambda: site.answers("b", count=8), "following an endpoint's end")

    site.host.sh("nft flush ruleset; ip link del wherry0")
    wait_for(lambda: site.answers("b", count=4), "repair")
    wait_for(lambda: {"ServiceRulesRepaired", "PodNetworkRepaired"} <= site.reasons(), "events about the repair")

    before = site.host.sh("nft list ruleset; ip route; ip -o -4 addr")
    site.host.kill(pid=site.proxy, number=signal.SIGKILL)
    assert site.answers("b", count=4)
    site.start_proxy()
    site.apply(endpoint_slice(site.pods[0]))
    wait_for(lambda: site.answers("a", count=8), "following after a restart")
    site.apply(endpoint_slice(site.pods[1]))
    wait_for(lambda: site.answers("b", count=8), "following back")
    assert site.host.sh("nft list ruleset; ip route; ip -o -4 addr") == before

    assert site.host.kill(pid=site.proxy, number=signal.SIGTERM) == 0
    assert site.answers("b", count=4)
    site.host.run(argv=[*WHERRY, "proxy", "--cleanup"])
    assert site.host.sh("nft list ruleset") == ""
    assert "proto 87" not in site.host.sh("ip route")
    assert "wherry" not in site.host.sh("ip link")


def test_a_udp_client_with_one_port_follows_its_service(site: Site) -> None:
    site.apply(service("UDP"), endpoint_slice(site.pods[0], protocol="UDP"))
    wait_for(lambda: site.answers("a", protocol="udp", source_port=5555), "first endpoint")
    site.apply(endpoint_slice(site.pods[1], protocol="UDP"))
    wait_for(lambda: site.answers("b", protocol="udp", source_port=5555), "second endpoint", 5)
