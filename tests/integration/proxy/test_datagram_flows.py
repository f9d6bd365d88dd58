"""A client that keeps its UDP port follows its service, whatever became of the service's port in between."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from namespace_lab import Host, Lab, two_nodes

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

BOTH, STREAM = ("TCP", "UDP"), ("TCP",)
CLUSTER_ADDRESS, EXTERNAL, NODE = "10.96.0.80", "192.0.2.7", "192.168.9.11"


@dataclass
class Site:
    """Two nodes with a server each, and a client that reaches addresses of services by the first node."""

    one: Host
    two: Host
    client: Host
    ends: list[tuple[str, str]]

    def program(self, service: tuple[str, ...], slices: tuple[str, ...], ending: str = "", **spec: str) -> None:
        """Let the service and its slices have ports of these protocols, all of the same number; one end may end."""
        ports = [{"name": p, "port": 80, "protocol": p, "targetPort": 8080, "nodePort": 30080} for p in service]
        values = {"clusterIP": CLUSTER_ADDRESS, "type": "NodePort", "externalIPs": [EXTERNAL], "ports": ports}
        over = {"ready": False, "serving": True, "terminating": True}
        endpoints = [{"addresses": [address], "nodeName": node, "conditions": over if node == ending else {}}
                     for node, address in self.ends]  # fmt: skip
        metadata = {"namespace": "default", "name": "web", "labels": {"kubernetes.io/service-name": "web"}}
        one = {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints,
               "ports": [{"name": p, "port": 8080, "protocol": p} for p in slices]}  # fmt: skip
        for host in (self.one, self.two):
            host.follow(services=[{"metadata": metadata, "spec": values | spec}], slices=[one], node=host.name)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    lab = Lab()
    try:
        one, two = two_nodes(lab, routed=False)
        client = lab.host("client", "lan", "192.168.9.50/24")
        client.sh(f"ip route add 192.0.2.0/24 via {NODE}")
        one.attach(sandbox="idle")
        for host in (one, two):
            host.serve(host.name, 8080, pod="web", protocol="udp")
        ends = [(host.name, host.attach(sandbox="web")["addresses"][0]) for host in (one, two)]
        yield Site(one, two, client, ends)
    finally:
        lab.close()


WAYS: dict[str, Callable[[Site], str]] = {
    "from a pod": lambda site: site.one.answer(CLUSTER_ADDRESS, 80, pod="idle", protocol="udp", source_port=5001),
    "from an endpoint": lambda site: site.one.answer(CLUSTER_ADDRESS, 80, pod="web", protocol="udp", source_port=5002),
    "from a node": lambda site: site.one.answer(CLUSTER_ADDRESS, 80, protocol="udp", source_port=5003),
    "to a node port": lambda site: site.client.answer(NODE, 30080, protocol="udp", source_port=5004),
    "to an external address": lambda site: site.client.answer(EXTERNAL, 80, protocol="udp", source_port=5005),
}


@pytest.mark.parametrize("order", [
    [(STREAM, STREAM), (BOTH, BOTH)],
    [(STREAM, BOTH), (STREAM, STREAM), (BOTH, STREAM), (BOTH, BOTH)],
    [(BOTH, STREAM), (STREAM, STREAM), (STREAM, BOTH), (BOTH, BOTH)],
])  # fmt: skip
def test_a_udp_port_that_was_gone_answers_again(site: Site, order: list[tuple]) -> None:
    site.program(BOTH, BOTH)
    answers = {way: ask(site) for way, ask in WAYS.items()}
    assert set(answers.values()) <= {"one", "two"}, answers
    for service, slices in order[:-1]:
        site.program(service, slices)
        # What is sent meanwhile must leave nothing behind that later packets follow.
        answers = {way: ask(site) for way, ask in WAYS.items()}
        assert set(answers.values()) == {"error"}, answers
        assert site.one.answer(CLUSTER_ADDRESS, 80, pod="idle") in ("one", "two")
    site.program(*order[-1])
    answers = {way: ask(site) for way, ask in WAYS.items()}
    assert set(answers.values()) <= {"one", "two"}, answers


def test_a_flow_stays_with_who_serves_it_whatever_else_changes(site: Site) -> None:
    site.program(BOTH, BOTH)
    before = {way: ask(site) for way, ask in WAYS.items()}
    for ending in ("one", "two"):
        site.program(BOTH, BOTH, ending)
        assert {way: ask(site) for way, ask in WAYS.items()} == before
    site.program(BOTH, BOTH, internalTrafficPolicy="Local")
    assert {way: ask(site) for way, ask in WAYS.items()} == before
