"""Routes to other nodes: direct on one segment, a tunnel otherwise."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

import pytest
from namespace_lab import node

from agents.network import routes
from agents.network.routes import Tunnel
from agents.network.rtnetlink.values import LinkAddress, Neighbour, Route

pytestmark = pytest.mark.unit

LOOPBACK = LinkAddress(1, ip_interface("127.0.0.1/8"))
UPLINK = LinkAddress(2, ip_interface("192.168.9.11/24"))
BRIDGE = LinkAddress(3, ip_interface("10.244.1.1/24"))
OWN = node("one", "192.168.9.11", "10.244.1.0/24")
NEAR = node("near", "192.168.9.12", "10.244.2.0/24")
FAR = node("far", "172.16.0.9", "10.244.3.0/24")
FAR_TUNNEL = Tunnel(
    ip_network("10.244.3.0/24"), ip_address("10.244.3.0"), "0a:56:ac:10:00:09", ip_address("172.16.0.9")
)


@pytest.mark.parametrize(("nodes", "direct", "tunnels"), [
    ([OWN], (), ()),
    ([OWN, NEAR], (Route(ip_network("10.244.2.0/24"), 2, ip_address("192.168.9.12")),), ()),
    ([OWN, FAR], (), (FAR_TUNNEL,)),
    ([FAR, NEAR, OWN], (Route(ip_network("10.244.2.0/24"), 2, ip_address("192.168.9.12")),), (FAR_TUNNEL,)),
    ([OWN, {"metadata": {"name": "new"}, "spec": {}, "status": {}}], (), ()),
    ([OWN, node("odd", "not an address", "10.244.4.0/24"), node("odder", "fe80::1%eth0", "10.244.5.0/24")], (), ()),
    ([OWN, node("near", "192.168.9.12", "10.244.2.7/24")],
     (Route(ip_network("10.244.2.0/24"), 2, ip_address("192.168.9.12")),), ()),
    ([OWN, {"metadata": {"name": "new"}, "spec": {"podCIDR": "10.244.4.0/24"}}], (), ()),
])  # fmt: skip
def test_the_plan_follows_from_nodes_and_addresses(nodes: list, direct: tuple, tunnels: tuple) -> None:
    plan = routes.plan(routes.peers(nodes, "one"), [LOOPBACK, UPLINK, BRIDGE], bridge_index=3)
    assert (plan.routes, plan.tunnels, plan.unreachable) == (direct, tunnels, ())


def test_a_peer_inside_the_pod_network_is_not_on_our_segment() -> None:
    inside = node("odd", "10.244.1.77", "10.244.5.0/24")
    plan = routes.plan(routes.peers([OWN, inside], "one"), [UPLINK, BRIDGE], bridge_index=3)
    assert [tunnel.remote for tunnel in plan.tunnels] == [ip_address("10.244.1.77")]


def test_a_node_with_our_address_is_named() -> None:
    plan = routes.plan(routes.peers([OWN, node("twin", "192.168.9.11", "10.244.2.0/24")], "one"), [UPLINK], 3)
    assert plan.unreachable == ("node twin claims 192.168.9.11, which is an address of this node",)


def test_a_tunnel_needs_a_route_a_neighbour_and_a_forwarding_entry() -> None:
    assert routes.tunnel_routes([FAR_TUNNEL], 7) == (
        {Route(ip_network("10.244.3.0/24"), 7, ip_address("10.244.3.0"), onlink=True)},
        {Neighbour(7, ip_address("10.244.3.0"), "0a:56:ac:10:00:09")},
        {Neighbour(7, ip_address("172.16.0.9"), "0a:56:ac:10:00:09")},
    )
