"""What nodes tell `wherry trace` of a packet's way, with one thing broken after another, and what it makes of that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from namespace_lab import CIDRS, Host, Lab, node, two_nodes
from proxy_site import wait_for

from agents.network.nftables.values import Endpoint
from control.cli import trace_hops
from control.cli.trace_hops import Frontend, Hop

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

NODES = [node("one", "192.168.9.11", CIDRS["one"]), node("two", "192.168.10.12", CIDRS["two"])]


@dataclass
class Way:
    """From the pod on one to the pod on two, beyond a router."""

    one: Host
    two: Host
    source: str
    target: str

    def hops(self) -> list[Hop]:
        """The hops, as `wherry trace` judges them."""
        query = {"source": self.source, "target": self.target, "port": "8080", "echo": "192.168.10.12,10.244.2.1"}
        here, there = self.one.observe(query=query), self.two.observe(query={"target": self.target})
        return [
            trace_hops.pod_hop("one", "web", self.source, here.get("source")),
            trace_hops.route_hop("one", self.target, here),
            trace_hops.between_hop(*NODES, "10.244.2.1", here["route"], here["echo"]),
            trace_hops.pod_hop("two", "web", self.target, there.get("target")),
            trace_hops.connection_hop("one", "web", here["connection"], ["ingress shop/guard"]),
        ]


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    lab = Lab()
    try:
        one, two = two_nodes(lab, routed=True)
        yield Way(one, two, *(host.attached()["web"]["addresses"][0] for host in (one, two)))
    finally:
        lab.close()


PORT = "$(ip -o link show type veth master wherry0 | sed 's/.*: \\(veth[^@]*\\)@.*/\\1/')"
DROP = "nft 'add table ip fw; add chain ip fw in { type filter hook %s priority -5; }; add rule ip fw in %s drop'"


@pytest.mark.parametrize("host, damage, hop, words", [
    ("two", DROP % ("input", "udp dport 4789"), 2, "drops UDP port 4789"),
    ("two", DROP % ("input", "ip saddr 192.168.9.11"), 2, "two does not answer at 192.168.10.12"),
    ("one", "ip route del 10.244.2.0/24", 1, "there is no route for the pods"),
    ("one", "bridge fdb del $(bridge fdb show dev wherry-vxlan | cut -d' ' -f1) dev wherry-vxlan self", 1,
     "wherry-vxlan has no forwarding entry"),
    ("one", "ip neigh flush nud permanent dev wherry-vxlan", 1, "wherry-vxlan has no neighbour entry"),
    ("one", "ip netns exec web ip route flush table main", 0, "its namespace has no way out"),
    ("two", "ip link set wherry0 down", 3, "the bridge wherry0 is down"),
    ("two", f"ip link set {PORT} down", 3, "is down"),
    ("two", DROP % ("forward", "tcp dport 8080"), 4, "these network policies judge it: ingress shop/guard"),
])  # fmt: skip
def test_the_first_broken_hop_is_found(way: Way, host: str, damage: str, hop: int, words: str) -> None:
    # What was mended last, such as a link, takes the kernel a moment to carry packets.
    wait_for(lambda: all(not hop.problem for hop in way.hops()), "the whole way is sound")
    assert "VXLAN to 192.168.10.12" in way.hops()[1].what
    broken: Host = getattr(way, host)
    try:
        broken.sh(damage)
        broken_at = next((number, found.problem) for number, found in enumerate(way.hops()) if found.problem)
        assert (broken_at[0], words in broken_at[1]) == (hop, True), broken_at
    finally:
        broken.sh("nft 'add table ip fw; delete table ip fw'")
        mend(way)


def mend(way: Way) -> None:
    """Put everything back that a case may have broken."""
    for host, own, cidr in ((way.one, "192.168.9.11", "one"), (way.two, "192.168.10.12", "two")):
        host.sh(f"ip link set wherry0 up; ip link set {PORT} up")
        host.attach(sandbox="web")
        host.routes(nodes=NODES, name=host.name, address=own, cidr=CIDRS[cidr])


def test_a_services_rule_is_read_from_the_kernel(way: Way) -> None:
    def service(name: str, address: str, **spec) -> dict:
        return {"metadata": {"namespace": "default", "name": name},
                "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]} | spec}  # fmt: skip

    slices = [{"metadata": {"namespace": "default", "name": name, "labels": {"kubernetes.io/service-name": name}},
               "addressType": "IPv4", "ports": [{"name": "", "port": 8080}],
               "endpoints": [{"addresses": [address]} for address in (way.source, way.target)]}
              for name in ("web", "sticky")]  # fmt: skip
    services = [service("web", "10.96.0.80"), service("sticky", "10.96.0.81", sessionAffinity="ClientIP"),
                service("idle", "10.96.0.82")]  # fmt: skip
    standing = way.one.observe(query={"target": way.target})
    assert (standing["masquerade"], standing["proxy"]) == (False, False)
    way.one.services(services=services, slices=slices, node="one")
    assert way.one.observe(query={"target": way.target})["masquerade"]
    both = sorted(Endpoint(address, 8080) for address in (way.source, way.target))
    ends = [one.written() for one in both]

    def hop(name: str, address: str, *endpoints: Endpoint) -> Hop:
        front = Frontend(name, address, "TCP", 80, endpoints)
        return trace_hops.service_hop("one", front, way.one.observe_service(address=address, protocol="TCP", port=80))

    assert hop("web", "10.96.0.80", *both) == Hop(
        "one", f"service web 10.96.0.80:80/TCP: chain spread-2, translated to {' or '.join(ends)}")  # fmt: skip
    assert hop("sticky", "10.96.0.81", *both).problem == ""
    assert all(end in hop("sticky", "10.96.0.81", *both).what for end in ends)
    assert "has no ready endpoints" in hop("idle", "10.96.0.82").problem
    assert "the rule of one is behind the API" in hop("web", "10.96.0.80", both[0]).problem
    assert "one has no rule for it" in hop("unknown", "10.96.0.83", *both).problem
