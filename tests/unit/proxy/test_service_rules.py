"""Services as data, and the elements and chains that each becomes."""

from __future__ import annotations

import pytest
from service_objects import endpoint_slice, entry, service

from agents.network.conntrack import Frontend
from agents.network.nftables.values import (
    DROP,
    RETURN,
    SCTP,
    TCP,
    UDP,
    Balance,
    Chain,
    Draw,
    Endpoint,
    Family,
    Field,
    InNetworks,
    InSet,
    IsLocal,
    Remember,
    SetMark,
    Spread,
    goto,
    union,
)
from agents.proxy import rules
from agents.proxy.endpoints import NodeView

pytestmark = pytest.mark.unit

NODE = NodeView("one")
CLUSTER = ("10.244.0.0/16",)
A, B = Endpoint("10.244.1.2", 8080), Endpoint("10.244.2.2", 8080)
LOCAL, REMOTE = entry(A.address, "one"), entry(B.address, "two")
BOTH = [endpoint_slice(LOCAL, REMOTE)]
MARK = SetMark(0x4000)
KEY = ("10.96.0.10", TCP, 80)
BALANCER = {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}, {"ip": "192.0.2.9", "ipMode": "Proxy"}]}}


def elements(obj: dict, slices: list) -> dict:
    """The elements of one service, without empty sets."""
    part = rules.service_rules(obj, slices, NODE, CLUSTER)
    return {name: dict(entries) for name, entries in part.ruleset.elements.items() if entries}


def chains(obj: dict, slices: list) -> dict[str, Chain]:
    """The chains of one service."""
    return dict(rules.service_rules(obj, slices, NODE, CLUSTER).ruleset.chains)


CASES = {
    "cluster address": (
        service(), BOTH,
        {
            "cluster-addresses": {("10.96.0.10",): None},
            "services": {KEY: goto("spread-2")},
            "endpoints": {(*KEY, 0): A, (*KEY, 1): B},
            "hairpin": {(A.address, A.address): None},
        },
    ),
    "no endpoints": (
        service(), [],
        {"cluster-addresses": {("10.96.0.10",): None}, "refused": {KEY: None}},
    ),
    "none ready": (
        service(), [endpoint_slice(entry("10.244.2.2", ready=False))],
        {"cluster-addresses": {("10.96.0.10",): None}, "refused": {KEY: None}},
    ),
    "node port": (
        service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}]), [endpoint_slice(REMOTE)],
        {
            "cluster-addresses": {("10.96.0.10",): None},
            "services": {KEY: goto("spread-1")},
            "endpoints": {(*KEY, 0): B},
            "node-ports": {(TCP, 30080): goto("node-port-1")},
            "node-port-endpoints": {(TCP, 30080, 0): B},
        },
    ),
    "node port without endpoints": (
        service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}]), [],
        {
            "cluster-addresses": {("10.96.0.10",): None},
            "refused": {KEY: None},
            "refused-node-ports": {(TCP, 30080): None},
        },
    ),
    "external address": (
        service(externalIPs=["192.0.2.7"]), [endpoint_slice(REMOTE)],
        {
            "cluster-addresses": {("10.96.0.10",): None},
            "services": {KEY: goto("spread-1"), ("192.0.2.7", TCP, 80): goto("masquerade-1")},
            "endpoints": {(*KEY, 0): B, ("192.0.2.7", TCP, 80, 0): B},
        },
    ),
    "balancer, but not one that is a proxy": (
        service(type="LoadBalancer", status=BALANCER), [endpoint_slice(REMOTE)],
        {
            "cluster-addresses": {("10.96.0.10",): None},
            "services": {KEY: goto("spread-1"), ("192.0.2.8", TCP, 80): goto("masquerade-1")},
            "endpoints": {(*KEY, 0): B, ("192.0.2.8", TCP, 80, 0): B},
        },
    ),
    "internal policy local": (
        service(internalTrafficPolicy="Local"), BOTH,
        {
            "cluster-addresses": {("10.96.0.10",): None},
            "services": {KEY: goto("spread-1")},
            "endpoints": {(*KEY, 0): A},
            "hairpin": {(A.address, A.address): None},
        },
    ),
    "internal policy local, served elsewhere": (
        service(internalTrafficPolicy="Local"), [endpoint_slice(REMOTE)],
        {"cluster-addresses": {("10.96.0.10",): None}, "dropped": {KEY: None}},
    ),
    "external policy local, served elsewhere": (
        service(type="NodePort", externalTrafficPolicy="Local", ports=[{"port": 80, "nodePort": 30080}]),
        [endpoint_slice(REMOTE)],
        {
            "cluster-addresses": {("10.96.0.10",): None},
            "services": {KEY: goto("spread-1")},
            "endpoints": {(*KEY, 0): B},
            "node-ports": {(TCP, 30080): goto("external-default/web/tcp/80")},
            "dropped-node-ports": {(TCP, 30080): None},
        },
    ),
    "affinity": (
        service(sessionAffinity="ClientIP"), [endpoint_slice(REMOTE)],
        {
            "cluster-addresses": {("10.96.0.10",): None},
            "services": {KEY: goto("service-default/web/tcp/80")},
        },
    ),
    "two protocols on one port": (
        service(ports=[{"port": 53, "name": "t"}, {"port": 53, "name": "u", "protocol": "UDP"}]),
        [endpoint_slice(REMOTE, port=53, port_name="t"),
         endpoint_slice(REMOTE, port=5353, port_name="u", protocol="UDP")],
        {
            "cluster-addresses": {("10.96.0.10",): None},
            "services": {("10.96.0.10", TCP, 53): goto("spread-1"), ("10.96.0.10", UDP, 53): goto("spread-1")},
            "endpoints": {
                ("10.96.0.10", TCP, 53, 0): Endpoint(B.address, 53),
                ("10.96.0.10", UDP, 53, 0): Endpoint(B.address, 5353),
            },
        },
    ),
    "SCTP": (
        service(type="NodePort", ports=[{"port": 80, "protocol": "SCTP", "nodePort": 30080}]),
        [endpoint_slice(REMOTE, protocol="SCTP")],
        {
            "cluster-addresses": {("10.96.0.10",): None},
            "services": {("10.96.0.10", SCTP, 80): goto("spread-1")},
            "endpoints": {("10.96.0.10", SCTP, 80, 0): B},
            "node-ports": {(SCTP, 30080): goto("node-port-1")},
            "node-port-endpoints": {(SCTP, 30080, 0): B},
        },
    ),
    "headless": (service(clusterIP="None", clusterIPs=["None"]), BOTH, {}),
    "external name": (service(type="ExternalName", clusterIP=None), BOTH, {}),
    "another proxy's": (service(labels={"service.kubernetes.io/service-proxy-name": "other"}), BOTH, {}),
    "dual stack": (
        service(clusterIPs=["10.96.0.10", "fd00:96::10"]), [endpoint_slice(REMOTE)],
        {
            "cluster-addresses": {("10.96.0.10",): None},
            "services": {KEY: goto("spread-1")},
            "endpoints": {(*KEY, 0): B},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(("obj", "slices", "expected"), CASES.values(), ids=CASES.keys())
def test_a_service_becomes_elements(obj: dict, slices: list, expected: dict) -> None:
    assert elements(obj, slices) == expected


def test_services_of_one_size_share_a_chain_with_a_way_out_of_a_change() -> None:
    key = (Field.DESTINATION, Field.PROTOCOL, Field.DESTINATION_PORT)
    assert chains(service(), BOTH) == {
        "spread-2": Chain(((Spread(key, "endpoints", 2),), (Spread(key, "endpoints", 1),)))
    }


def test_outside_clients_are_marked_for_masquerade() -> None:
    found = chains(service(type="NodePort", externalIPs=["192.0.2.7"], ports=[{"port": 80, "nodePort": 30080}]), BOTH)
    assert found["masquerade-2"] == Chain(((MARK, goto("spread-2")),))
    assert found["node-port-2"].rules[0] == (MARK,)


def test_local_policy_lets_pods_and_the_node_go_anywhere() -> None:
    obj = service(type="NodePort", externalTrafficPolicy="Local", ports=[{"port": 80, "nodePort": 30080}])
    found = chains(obj, BOTH)
    assert found["external-default/web/tcp/80"].rules == (
        (InNetworks(Field.SOURCE, CLUSTER), goto("service-default/web/tcp/80")),
        (IsLocal(Field.SOURCE), MARK, goto("service-default/web/tcp/80")),
        (goto("local-default/web/tcp/80"),),
    )
    assert found["local-default/web/tcp/80"] == Chain(((Balance((A,)),),))
    assert found["service-default/web/tcp/80"] == Chain(((Balance((A, B)),),))


def test_source_ranges_guard_the_balancers_address_only() -> None:
    obj = service(type="LoadBalancer", status=BALANCER, externalIPs=["192.0.2.7"],
                  loadBalancerSourceRanges=["198.51.100.0/24", "2001:db8::/32"])  # fmt: skip
    assert elements(obj, BOTH)["services"][("192.0.2.8", TCP, 80)] == goto("firewall-default/web/tcp/80")
    assert elements(obj, BOTH)["services"][("192.0.2.7", TCP, 80)] == goto("masquerade-2")
    assert chains(obj, BOTH)["firewall-default/web/tcp/80"] == Chain(
        ((InNetworks(Field.SOURCE, ("198.51.100.0/24",)), goto("masquerade-2")), (DROP,))
    )


def test_source_ranges_hold_without_endpoints_too() -> None:
    obj = service(type="LoadBalancer", status=BALANCER, loadBalancerSourceRanges=["198.51.100.0/24"])
    front, guard = ("192.0.2.8", TCP, 80), "firewall-default/web/tcp/80"
    assert elements(obj, [])["services"] == {front: goto(guard)}
    assert front in elements(obj, [])["refused"]
    assert chains(obj, []) == {guard: Chain(((InNetworks(Field.SOURCE, ("198.51.100.0/24",)), RETURN), (DROP,)))}


@pytest.mark.parametrize(("address", "own"), [("198.51.100.7", True), ("198.51.101.7", False), ("2001:db8::7", False)])
def test_a_node_in_the_source_ranges_speaks_from_the_balancers_address_too(address: str, own: bool) -> None:
    obj = service(type="LoadBalancer", status=BALANCER, loadBalancerSourceRanges=["198.51.100.9/24", "2001:db8::/32"])
    part = rules.service_rules(obj, BOTH, NodeView("one", addresses=(address,)), CLUSTER)
    itself = (IsLocal(Field.SOURCE), InNetworks(Field.SOURCE, ("192.0.2.8",)), goto("masquerade-2"))
    assert (itself in part.ruleset.chains["firewall-default/web/tcp/80"].rules) == own


def test_affinity_remembers_the_client_at_each_endpoint() -> None:
    obj = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})
    found = chains(obj, BOTH)
    name = "service-default/web/tcp/80"
    first, second = f"{name}/{A.address}/8080", f"{name}/{B.address}/8080"
    assert found[name].rules == (
        (InSet((Field.SOURCE,), first), goto(first)),
        (InSet((Field.SOURCE,), second), goto(second)),
        (Draw((first, second)),),
    )
    assert found[first] == Chain(((Remember(first, 60),), (Balance((A,)),)))


def test_who_may_answer_is_told_whatever_the_policies_and_local_endpoints_are_counted() -> None:
    obj = service(type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=32000,
                  ports=[{"port": 80, "nodePort": 30080}])  # fmt: skip
    ends = [LOCAL, entry(B.address, ready=False, serving=True, terminating=True),
            entry("10.244.2.3", ready=False, serving=False)]  # fmt: skip
    part = rules.service_rules(obj, [endpoint_slice(*ends)], NODE, CLUSTER)
    both = frozenset({A, B})
    assert part.backends == {Frontend("10.96.0.10", TCP, 80): both, Frontend("", TCP, 30080): both}
    assert (part.health_check_port, part.local_endpoints) == (32000, 1)


def test_a_load_balancer_is_sent_away_from_a_node_whose_endpoints_end_though_they_serve() -> None:
    obj = service(type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=32000,
                  ports=[{"port": 80, "nodePort": 30080}])  # fmt: skip
    ending = entry(A.address, "one", ready=False, serving=True, terminating=True)
    part = rules.service_rules(obj, [endpoint_slice(ending, REMOTE)], NODE, CLUSTER)
    assert part.ruleset.chains["local-default/web/tcp/80"] == Chain(((Balance((A,)),),))
    assert part.local_endpoints == 0


def test_of_two_services_with_one_external_address_the_first_has_it() -> None:
    first, second = service("first", "10.96.0.1", externalIPs=["192.0.2.7"]), service("b", externalIPs=["192.0.2.7"])
    slices = [endpoint_slice(LOCAL, name="first"), endpoint_slice(LOCAL, REMOTE, name="b")]
    pairs = zip((first, second), slices, strict=True)
    table = union([rules.service_rules(obj, [own], NODE, CLUSTER).ruleset for obj, own in pairs])
    assert table.elements["services"][("192.0.2.7", TCP, 80)] == goto("masquerade-1")


def test_addresses_of_many_spellings_are_one() -> None:
    addresses = {"clusterIP": "FD00:96::0:10", "clusterIPs": ["FD00:96::0:10"]}
    status = {"loadBalancer": {"ingress": [{"ip": "2001:db8:0::8"}]}}
    obj = service(externalIPs=["2001:DB8::7", "2001:db8:0:0::7"], type="LoadBalancer", status=status, **addresses)
    slices = [endpoint_slice(entry("FD00::0:5"), entry("fd00::5"), address_type="IPv6")]
    part = rules.service_rules(obj, slices, NODE, ("fd00::/48",), Family.IP6)
    fronts = {"fd00:96::10", "2001:db8::7", "2001:db8::8"}
    assert {key[0] for key in part.ruleset.elements["services"]} == fronts
    assert part.ruleset.elements["endpoints"] == {(front, TCP, 80, 0): Endpoint("fd00::5", 8080) for front in fronts}
    assert set(part.backends) == {Frontend(front, TCP, 80) for front in fronts}
