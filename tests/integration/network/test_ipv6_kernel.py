"""IPv6 beside IPv4 on a real kernel: pods, services, node ports, host ports and policies, with packets of both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from namespace_lab import Host, Lab, node
from proxy_site import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

CIDRS = {"one": "10.244.1.0/24,fd00:244:0:1::/64", "two": "10.244.2.0/24,fd00:244:0:2::/64"}
CLUSTER = "fd00:244::/48"
SERVICE = "fd00:96::80"


@dataclass
class Cluster:
    """Two nodes with the pods `web` (a server) and `other`, and a host outside that knows no way to pods."""

    lab: Lab
    addresses: dict[str, str]
    pods: dict[str, list[str]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Host:
        return self.lab.hosts[name]

    def slices(self, *owners: str, protocol: str = "TCP") -> list[dict]:
        """Slices of both families for the service, with the pods `web` of these nodes."""
        return [
            {"metadata": {"namespace": "default", "name": kind, "labels": {"kubernetes.io/service-name": "web"}},
             "addressType": kind, "ports": [{"name": "", "port": 8080, "protocol": protocol}],
             "endpoints": [{"addresses": [self.pods[f"web-{owner}"][place]], "nodeName": owner} for owner in owners]}
            for place, kind in enumerate(("IPv4", "IPv6"))
        ]  # fmt: skip

    def serve(self, *owners: str, protocol: str = "TCP", status: dict | None = None, **spec) -> None:
        """Put the service with these nodes' pods in force on both nodes."""
        service = {"metadata": {"namespace": "default", "name": "web"}, "status": status or {}, "spec": {
            "clusterIP": "10.96.0.80", "clusterIPs": ["10.96.0.80", SERVICE], "type": "NodePort",
            "ports": [{"port": 80, "nodePort": 30080, "protocol": protocol}]} | spec}  # fmt: skip
        for name in CIDRS:
            slices = self.slices(*owners, protocol=protocol)
            self.lab.hosts[name].services(services=[service], slices=slices, node=name, cluster=CLUSTER)


def build(lab: Lab, addresses: dict[str, str], *, routed: bool) -> Cluster:
    """A cluster whose nodes have these addresses, separated by commas."""
    made = Cluster(lab, addresses)
    lab.segment("lan", "192.168.9.1/24")
    if routed:
        lab.segment("wan", "192.168.10.1/24")
    nodes = [node(name, addresses[name], CIDRS[name]) for name in CIDRS]
    for name in CIDRS:
        main, *more = addresses[name].split(",")
        bridge = "wan" if main.startswith("192.168.10") else "lan"
        host = lab.host(name, bridge, f"{main}/24", gateway=f"{main.rpartition('.')[0]}.1")
        for one in more:
            host.sh(f"ip addr add {one}/64 dev eth0 nodad; ip -6 route add default via fd00:9::1")
        host.open(state=host.state, cidrs=CIDRS[name].split(","))
        for pod in ("web", "other"):
            made.pods[f"{pod}-{name}"] = host.attach(sandbox=pod)["addresses"]
        for protocol in ("tcp", "tcp6", "udp6"):
            host.serve(name, 8080, pod="web", protocol=protocol)
    for name in CIDRS:
        lab.hosts[name].routes(nodes=nodes, name=name, address=addresses[name].split(",")[0], cidr=CIDRS[name])
    return made


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    lab = Lab()
    try:
        addresses = {"one": "192.168.9.11,fd00:9::11", "two": "192.168.9.12,fd00:9::12"}
        made = build(lab, addresses, routed=False)
        outside = lab.host("outside", "lan", "192.168.9.50/24")
        outside.sh("ip addr add fd00:9::50/64 dev eth0 nodad")
        outside.serve("outside", 7000, protocol="tcp6")
        yield made
    finally:
        lab.close()


def test_pods_have_and_reach_addresses_of_both_families(cluster: Cluster) -> None:
    assert [":" in address for address in cluster.pods["web-two"]] == [False, True]
    for address in cluster.pods["web-two"]:
        for pod in ("web", "other", ""):
            assert cluster.one.answer(address, 8080, pod=pod) == "two", (address, pod)
    assert cluster.one.answer(cluster.pods["web-one"][1], 8080, pod="other") == "one"
    assert "fd00:244:0:2::/64 via fd00:9::12" in cluster.one.sh("ip -6 route show proto 87")


def test_a_service_is_reached_by_ipv6_from_pods_nodes_and_outside(cluster: Cluster) -> None:
    cluster.serve("one", "two")
    client = cluster.pods["other-one"][1]
    seen = {tuple(line.split()[:2]) for line in cluster.one.ask(SERVICE, 80, pod="other", count=20)}
    assert seen == {("one", client), ("two", client)}
    assert {line.split()[0] for line in cluster.one.ask(SERVICE, 80, count=20)} == {"one", "two"}
    assert {line.split()[0] for line in cluster.one.ask(SERVICE, 80, pod="web", count=20)} == {"one", "two"}
    assert {line.split()[0] for line in cluster.outside.ask("fd00:9::11", 30080, count=20)} == {"one", "two"}


def test_a_services_own_pod_and_datagrams_come_back(cluster: Cluster) -> None:
    cluster.serve("one", protocol="UDP")
    assert cluster.one.answer(SERVICE, 80, pod="web", protocol="udp") == "one"
    assert cluster.two.answer(SERVICE, 80, pod="other", protocol="udp") == "one"


def test_a_client_keeps_to_its_endpoint_and_its_address(cluster: Cluster) -> None:
    cluster.serve("one", "two", sessionAffinity="ClientIP")
    assert len({line.split()[0] for line in cluster.one.ask(SERVICE, 80, pod="other", count=10)}) == 1
    cluster.serve("one", externalTrafficPolicy="Local")
    assert cluster.outside.ask("fd00:9::11", 30080) == ["one fd00:9::50 2"]
    assert cluster.outside.answer("fd00:9::12", 30080) == "error"


def test_a_service_without_endpoints_refuses_at_once(cluster: Cluster) -> None:
    cluster.serve()
    for pod in ("other", ""):
        assert cluster.one.ask(SERVICE, 80, pod=pod)[0].startswith("error ConnectionRefusedError 0.")


def test_pods_reach_outside_with_their_nodes_address(cluster: Cluster) -> None:
    cluster.serve("one")
    assert cluster.two.ask("fd00:9::50", 7000, pod="other") == ["outside fd00:9::12 2"]


def test_a_host_port_leads_to_its_pod_by_both_families(cluster: Cluster) -> None:
    ports = [{"host_port": 8088, "container_port": 8080}]
    cluster.one.attach(sandbox="web", host_ports=ports)
    assert cluster.outside.ask("fd00:9::11", 8088) == ["one fd00:9::50 2"]
    assert cluster.outside.ask("192.168.9.11", 8088)[0].startswith("one 192.168.9.50")
    cluster.one.attach(sandbox="web")
    assert "wherry-hostports" not in cluster.one.sh("nft list tables")


def test_a_balancers_address_is_announced_and_another_node_takes_it_over(cluster: Cluster) -> None:
    address = "fd00:9::200"
    balancer = {"loadBalancer": {"ingress": [{"ip": address}]}}
    cluster.serve("one", "two", type="LoadBalancer", status=balancer)
    macs = {name: cluster.lab.hosts[name].sh("ip -br link show eth0").split()[2] for name in CIDRS}

    def known() -> str:
        return cluster.outside.sh(f"ip -6 neigh show {address}")

    assert cluster.outside.answer(address, 80) == "error"
    assert cluster.one.announce(addresses=[address]) == [[address], []]
    assert cluster.one.announce(addresses=[address]) == [[], []]
    assert {line.split()[0] for line in cluster.outside.ask(address, 80, count=16)} == {"one", "two"}
    assert macs["one"] in known()
    # The node itself speaks from its own address still.
    assert "src fd00:9::11" in cluster.one.sh("ip -6 route get fd00:9::50")
    assert cluster.one.contested(addresses=[address]) == {}
    # The first node is cut off and keeps the address; the segment learns of the second one by its announcement alone.
    cluster.two.announce(addresses=[address])
    assert macs["two"] in known()
    assert {line.split()[0] for line in cluster.outside.ask(address, 80, count=16)} == {"one", "two"}
    # Asking who else has it changes no station's mind.
    assert cluster.one.contested(addresses=[address, "fd00:9::201"]) == {address: macs["two"]}
    assert macs["two"] in known()
    cluster.one.sh(f"ip -6 addr del {address}/128 dev eth0")
    assert cluster.one.announce(addresses=[address]) == [[], []]
    assert address in cluster.one.sh("ip -6 addr show eth0")
    for host in (cluster.one, cluster.two):
        assert host.announce(addresses=[]) == [[], [address]]
        assert address not in host.sh("ip -6 addr") and "wherry-lb" not in host.sh("ip link")


@pytest.mark.parametrize("peers, outside, other", [
    ([], False, False),
    ([{"ipBlock": {"cidr": "fd00:9::/64"}}], True, False),
    ([{"ipBlock": {"cidr": "fd00:9::/64", "except": ["fd00:9::50/128"]}}], False, False),
    ([{"ipBlock": {"cidr": "::/0"}}], True, True),
    ([{"ipBlock": {"cidr": "0.0.0.0/0"}}], False, False),
    ([{"podSelector": {"matchLabels": {"app": "other"}}}], False, True),
])  # fmt: skip
def test_policies_hold_for_ipv6(cluster: Cluster, peers: list, outside: bool, other: bool) -> None:
    cluster.outside.sh("ip -6 route replace fd00:244:0:1::/64 via fd00:9::11")
    pods = [{"metadata": {"name": name, "namespace": "shop", "labels": {"app": name.split("-")[0]}},
             "spec": {"nodeName": name.split("-")[1]},
             "status": {"podIPs": [{"ip": address} for address in held], "phase": "Running"}}
            for name, held in cluster.pods.items()]  # fmt: skip
    rules = [{"from": peers}] if peers else []
    policy = {"metadata": {"name": "p", "namespace": "shop"},
              "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": rules}}  # fmt: skip
    namespaces = [{"metadata": {"name": "shop", "labels": {}}}]
    web, common = cluster.pods["web-one"][1], {"pods": pods, "namespaces": namespaces, "node": "one"}
    cluster.one.policies(objects=[policy], cidr="fd00:244:0:1::/64", **common)
    try:
        target = f"[{web}]:8080"
        assert bool(cluster.outside.reach(target)) == outside
        assert bool(cluster.one.reach(target, pod="other")) == other
        # Its own node always reaches it.
        assert cluster.one.reach(target) == {target}
    finally:
        cluster.one.policies(objects=[], cidr="fd00:244:0:1::/64", **common)


def test_nodes_without_ipv6_addresses_carry_pods_ipv6_in_vxlan() -> None:
    lab = Lab()
    try:
        made = build(lab, {"one": "192.168.9.11", "two": "192.168.10.12"}, routed=True)
        address = made.pods["web-two"][1]
        wait_for(lambda: made.one.answer(address, 8080, pod="other") == "two", "pods reach each other")
        assert made.one.answer(address, 8080) == "two"
        assert made.two.answer(made.pods["web-one"][1], 8080, pod="other", size=100_000) == "one"
        query = {"source": made.pods["other-one"][1], "target": address, "port": "8080", "echo": "fd00:244:0:2::1"}
        seen = made.one.observe(query=query)
        assert (seen["route"]["remote"], seen["route"]["problem"]) == ("192.168.10.12", "")
        assert (seen["connection"], seen["echo"]) == ("accepted", {"fd00:244:0:2::1": True})
        assert made.one.routes(nodes=[node(n, a, CIDRS[n]) for n, a in made.addresses.items()], name="one",
                               address="192.168.9.11", cidr=CIDRS["one"]) == []  # fmt: skip
    finally:
        lab.close()
