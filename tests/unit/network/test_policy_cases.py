"""Who reaches whom under which policies: the cases of the original's own suite, decided without a kernel.

Three namespaces have a pod a, b and c each, spread over two nodes; a connection passes if the client's node and the
server's node let it through. A case names the pairs that are shut off, all others are open; a pod always reaches
itself.

Source: test/e2e/network/netpol/network_policy.go.
"""

from __future__ import annotations

from itertools import count, product
from typing import Any

import pytest
from packet_walk import Packet, passes

from agents.network.nftables.values import PROTOCOLS
from agents.network.policies import cluster_of, desired

pytestmark = pytest.mark.unit

PLACES = tuple(f"{namespace}/{pod}" for namespace in "xyz" for pod in "abc")
NETWORKS = {"one": "10.244.1.0/24", "two": "10.244.2.0/24"}
NODE = {place: ("one", "two")[number % 2] for number, place in enumerate(PLACES)}
ADDRESS = {place: f"10.244.{1 + number % 2}.{number + 2}" for number, place in enumerate(PLACES)}
PORTS = [{"name": f"serve-{number}-{protocol.lower()}", "containerPort": number, "protocol": protocol}
         for number in (80, 81) for protocol in ("TCP", "UDP", "SCTP")]  # fmt: skip
NUMBERS = count()

Pairs = set[tuple[str, str]]


def pod(place: str, **labels: str) -> dict:
    namespace, name = place.split("/")
    return {"metadata": {"name": name, "namespace": namespace, "labels": {"pod": name} | labels},
            "spec": {"nodeName": NODE[place], "containers": [{"ports": PORTS}]},
            "status": {"podIPs": [{"ip": ADDRESS[place]}], "phase": "Running"}}  # fmt: skip


def namespace(name: str, **labels: str) -> dict:
    return {"metadata": {"name": name, "labels": {"ns": name, "kubernetes.io/metadata.name": name} | labels}}


PODS, NAMESPACES = [pod(place) for place in PLACES], [namespace(name) for name in "xyz"]


def shut(policies: list[dict], where: str = "80/TCP", pods: list = PODS, namespaces: list = NAMESPACES) -> Pairs:
    """The pairs of which the first cannot connect to a port of the second."""
    cluster = cluster_of(pods, namespaces)
    tables = {node: desired(policies, cluster, node, [network]) for node, network in NETWORKS.items()}
    number, protocol = where.split("/")

    def through(client: str, server: str) -> bool:
        packet = Packet(ADDRESS[client], ADDRESS[server], PROTOCOLS[protocol], int(number))
        return all(passes(tables[node], packet) for node in {NODE[client], NODE[server]})

    return {(client, server) for client, server in product(PLACES, PLACES) if not through(client, server)}


def places(*patterns: str) -> set[str]:
    """The pods of x/a, x/* or */a."""
    parts = [pattern.split("/") for pattern in patterns]
    return {place for place in PLACES for one, other in parts if one in ("*", place[0]) and other in ("*", place[2])}


def into(server: str, *but: str) -> Pairs:
    """Whatever comes to servers, but from these clients."""
    return {(one, two) for one, two in product(set(PLACES) - places(*but), places(server)) if one != two}


def out(client: str, *but: str) -> Pairs:
    """Whatever leaves clients, but to these servers."""
    return {(one, two) for one, two in product(places(client), set(PLACES) - places(*but)) if one != two}


def policy(target: str, **spec: list) -> dict:
    """A policy for x/a, or by x/* for all pods of the namespace; it judges the directions that it has rules of."""
    where, name = target.split("/")
    types = [direction.capitalize() for direction in ("ingress", "egress") if direction in spec]
    selector = {} if name == "*" else {"matchLabels": {"pod": name}}
    return {"metadata": {"namespace": where, "name": f"policy-{next(NUMBERS)}"},
            "spec": {"podSelector": selector, "policyTypes": types} | spec}  # fmt: skip


def allowing(*peers: dict, ports: list | None = None, side: str = "from") -> dict:
    """A rule for peers and ports; none mean all."""
    return ({side: list(peers)} if peers else {}) | ({"ports": ports} if ports else {})


def to(*peers: dict, ports: list | None = None) -> dict:
    return allowing(*peers, ports=ports, side="to")


def port(number: int | str | None = None, protocol: str = "TCP", last: int = 0) -> dict:
    found: dict[str, Any] = {"protocol": protocol} | ({} if number is None else {"port": number})
    return found | ({"endPort": last} if last else {})


def pods(**labels: str) -> dict:
    return {"podSelector": {"matchLabels": labels}}


def inside(**labels: str) -> dict:
    return {"namespaceSelector": {"matchLabels": labels}}


def expressed(kind: str, key: str, operator: str, *values: str) -> dict:
    return {f"{kind}Selector": {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}}


def block(cidr: str, *excepted: str) -> dict:
    return {"ipBlock": {"cidr": cidr} | ({"except": list(excepted)} if excepted else {})}


B, C, Y = pods(pod="b"), pods(pod="c"), inside(ns="y")
NOT_X = expressed("namespace", "ns", "NotIn", "x")
EVERYBODY = {"podSelector": {}, "namespaceSelector": {}}
XB = ADDRESS["x/b"]
DEFAULT_NAME = "kubernetes.io/metadata.name"
NOBODY: Pairs = set()


def ingress(*peers: dict, ports: list | None = None, of: str = "x/a") -> list[dict]:
    return [policy(of, ingress=[allowing(*peers, ports=ports)])]


def egress(*peers: dict, ports: list | None = None, of: str = "x/a") -> list[dict]:
    return [policy(of, egress=[to(*peers, ports=ports)])]


PEERS = {
    "no policy": ([], NOBODY),
    "deny all ingress": ([policy("x/*", ingress=[])], into("x/*")),
    "deny all egress": ([policy("x/*", egress=[])], out("x/*")),
    "deny all": ([policy("x/*", ingress=[], egress=[])], into("x/*") | out("x/*")),
    "from pods of the namespace": (ingress(B), into("x/a", "x/b")),
    "to one pod of a namespace that is shut": (
        [policy("x/*", ingress=[]), *ingress(EVERYBODY)], into("x/b") | into("x/c")),
    "from pods of all namespaces": (ingress({"namespaceSelector": {}}), NOBODY),
    "from all pods of the own namespace": (ingress({"podSelector": {}}), into("x/a", "x/*")),
    "from another namespace": (ingress(Y), into("x/a", "y/*")),
    "a pod by an expression": (ingress(expressed("pod", "pod", "In", "b")), into("x/a", "x/b")),
    "a pod that has a label": (ingress(expressed("pod", "pod", "Exists")), into("x/a", "x/*")),
    "a pod that has not a label": (ingress(expressed("pod", "pod", "DoesNotExist")), into("x/a")),
    "a namespace by an expression": (ingress(expressed("namespace", "ns", "In", "y")), into("x/a", "y/*")),
    "pods or namespaces": (ingress(NOT_X, B), into("x/a", "y/*", "z/*", "x/b")),
    "pods and namespaces": (ingress(NOT_X | B), into("x/a", "y/b", "z/b")),
    "several pods of several namespaces": (
        ingress(NOT_X | expressed("pod", "pod", "In", "b", "c")), into("x/a", "y/b", "y/c", "z/b", "z/c")),
    "any of several pods": (ingress(B, C), into("x/a", "x/b", "x/c")),
    "a pod of another namespace": (ingress(Y | pods(pod="a")), into("x/a", "y/a")),
    "deny from other namespaces": (ingress({"podSelector": {}}, of="x/*"), into("x/*", "x/*")),
    "a namespace by its own name": (ingress(inside(**{DEFAULT_NAME: "y"})), into("x/a", "y/*")),
    "not to a namespace, by its own name": (
        egress(expressed("namespace", DEFAULT_NAME, "NotIn", "y")), out("x/a", "x/*", "z/*")),
    "egress to pods": (egress(B), out("x/a", "x/b")),
    "egress to a pod of another namespace": (egress(Y | pods(pod="a")), out("x/a", "y/a")),
    "several egress policies": (
        [policy("x/*", egress=[]), *egress(Y), *egress(B)], out("x/b") | out("x/c") | out("x/a", "y/*", "x/b")),
    "the client's side denies what the server's allows": (
        [*egress(Y | pods(pod="a")), *ingress(inside(ns="x") | pods(pod="a"), of="y/a"),
         *ingress(inside(ns="x") | pods(pod="a"), of="y/b")],
        out("x/a", "y/a") | into("y/a", "x/a") | into("y/b")),
    "ingress and egress apart": ([*egress(), policy("x/a", ingress=[])], into("x/a")),
    "egress to a block": (egress(block(f"{ADDRESS['y/b']}/32")), out("x/a", "y/b")),
    "egress to a block but a part": (egress(block(f"{XB}/4", f"{XB}/32")), {("x/a", "x/b")}),
    "what one policy excepts another allows": (
        [*egress(block(f"{XB}/4", f"{XB}/32")), *egress(block(f"{XB}/32"))], NOBODY),
    "ingress from a block": (ingress(block("10.244.1.0/24", f"{ADDRESS['x/c']}/32")),
                             into("x/a", *(place for place in PLACES if NODE[place] == "one" and place != "x/c"))),
    "blocks of the other family": (ingress(block("::/0")), into("x/a")),
}  # fmt: skip


@pytest.mark.parametrize(("policies", "closed"), PEERS.values(), ids=PEERS.keys())
@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_peers(policies: list[dict], closed: Pairs, protocol: str) -> None:
    assert shut(policies, f"80/{protocol}") == closed


ALL_WAYS = into("x/a")
# Policies, and the pairs that are shut off at each port.
BY_PORT: dict[str, tuple[list[dict], dict[str, Pairs]]] = {
    "a port": (
        ingress(Y, ports=[port(81)]),
        {"81/TCP": into("x/a", "y/*"), "80/TCP": ALL_WAYS, "81/UDP": ALL_WAYS, "81/SCTP": ALL_WAYS}),
    "stacked policies with selectors that overlap": (
        [*ingress(Y, ports=[port(81)]), *ingress(Y, ports=[port(80)])],
        {"81/TCP": into("x/a", "y/*"), "80/TCP": into("x/a", "y/*"), "80/UDP": ALL_WAYS}),
    "allow all": ([policy("x/*", ingress=[{}])], {"80/TCP": NOBODY, "81/UDP": NOBODY}),
    "allow all over one port": (
        [*ingress(ports=[port(80)], of="x/*"), policy("x/*", ingress=[{}])], {"80/TCP": NOBODY, "81/TCP": NOBODY}),
    "allow all egress over one port": (
        [*egress(ports=[port(80)], of="x/*"), policy("x/*", egress=[{}])], {"80/TCP": NOBODY, "81/TCP": NOBODY}),
    "egress to one port": (egress(ports=[port(80)], of="x/*"), {"80/TCP": NOBODY, "81/TCP": out("x/*")}),
    "a named port": (ingress(ports=[port("serve-81-tcp")]), {"81/TCP": NOBODY, "80/TCP": ALL_WAYS}),
    "a named port of the other protocol": (ingress(ports=[port("serve-81-udp")]), {"81/TCP": ALL_WAYS}),
    "a named port of UDP": (
        ingress(ports=[port("serve-81-udp", "UDP")]), {"81/UDP": NOBODY, "81/TCP": ALL_WAYS, "80/UDP": ALL_WAYS}),
    "egress to a named port": (
        egress(ports=[port("serve-80-tcp")]), {"80/TCP": NOBODY, "81/TCP": out("x/a")}),
    "egress to a named port of some pods": (
        egress(Y, ports=[port("serve-80-tcp")]), {"80/TCP": out("x/a", "y/*"), "81/TCP": out("x/a")}),
    "a port and whom it is for": (
        [policy("x/a", ingress=[allowing(B)], egress=[to(ports=[port(80)])])],
        {"80/TCP": into("x/a", "x/b"), "81/TCP": into("x/a", "x/b") | out("x/a")}),
    "a range of ports": (
        ingress(ports=[port(81, last=90)]),
        {"80/TCP": ALL_WAYS, "81/TCP": NOBODY, "90/TCP": NOBODY, "91/TCP": ALL_WAYS}),
    "a protocol": (ingress(ports=[port()]), {"80/TCP": NOBODY, "80/UDP": ALL_WAYS, "80/SCTP": ALL_WAYS}),
    "SCTP is not TCP": (
        [policy("x/*", ingress=[]), *ingress(ports=[port(81, "SCTP")])],
        {"81/TCP": into("x/*"), "81/SCTP": into("x/b") | into("x/c")}),
    "a policy of SCTP isolates": (ingress(ports=[port(80, "SCTP")]), {"81/TCP": ALL_WAYS, "80/SCTP": NOBODY}),
    "UDP is not TCP": (ingress(ports=[port(81, "UDP")]), {"81/TCP": ALL_WAYS, "81/UDP": NOBODY}),
    "several ports of several protocols": (
        ingress(Y, B, ports=[port(80), port(81, "UDP")]),
        {"80/TCP": into("x/a", "y/*", "x/b"), "81/UDP": into("x/a", "y/*", "x/b"), "80/UDP": ALL_WAYS}),
}  # fmt: skip


@pytest.mark.parametrize(("policies", "closed"), BY_PORT.values(), ids=BY_PORT.keys())
def test_ports(policies: list[dict], closed: dict[str, Pairs]) -> None:
    assert {where: shut(policies, where) for where in closed} == closed


def test_labels_that_change_decide_anew() -> None:
    friends = ingress(inside(team="red"), pods(role="friend"))
    assert shut(friends) == into("x/a")
    red = [namespace("x"), namespace("y", team="red"), namespace("z")]
    assert shut(friends, namespaces=red) == into("x/a", "y/*")
    friendly = [pod(place, **({"role": "friend"} if place in ("x/c", "z/c") else {})) for place in PLACES]
    assert shut(friends, pods=friendly, namespaces=red) == into("x/a", "y/*", "x/c")
    target = [policy("x/*", ingress=[])]
    target[0]["spec"]["podSelector"] = {"matchLabels": {"target": "isolated"}}
    assert shut(target) == NOBODY
    isolated = [pod(place, **({"target": "isolated"} if place == "x/b" else {})) for place in PLACES]
    assert shut(target, pods=isolated) == into("x/b")


def test_a_policy_holds_before_the_labels_of_its_namespace_are_known() -> None:
    assert shut([policy("x/*", ingress=[])], namespaces=[]) == into("x/*")
    assert shut(ingress({"podSelector": {}}), namespaces=[]) == into("x/a", "x/*")
    assert shut(ingress({"namespaceSelector": {}}), namespaces=[]) == into("x/a")


def test_pods_that_have_ended_or_use_the_nodes_network_are_nobodys_peers() -> None:
    ended = pod("x/b") | {"status": {"podIPs": [{"ip": ADDRESS["x/b"]}], "phase": "Succeeded"}}
    rest = [one for one in PODS if one["metadata"] | {} != ended["metadata"]]
    assert ("x/b", "x/a") in shut(ingress(B), pods=[*rest, ended])
    host = pod("x/b")
    host["spec"] = host["spec"] | {"hostNetwork": True}
    assert ("x/b", "x/a") in shut(ingress(B), pods=[*rest, host])


def test_a_named_port_may_be_that_of_a_sidecar() -> None:
    server = pod("x/a")
    named = {"ports": [{"name": "metrics", "containerPort": 81}]}
    server["spec"]["containers"] = [{}, {"ports": [{"name": "web", "containerPort": 80}]},
                                    {"ports": [{"name": "web", "containerPort": 90}]}]  # fmt: skip
    server["spec"]["initContainers"] = [named | {"restartPolicy": "Always"}, {"ports": [{"name": "x"}]}]
    everyone = [server, *PODS[1:]]
    assert shut(ingress(ports=[port("metrics")]), "81/TCP", everyone) == NOBODY
    assert shut(ingress(ports=[port("web")]), "80/TCP", everyone) == NOBODY
    assert shut(ingress(ports=[port("web")]), "90/TCP", everyone) == into("x/a")
    server["spec"]["initContainers"][0]["restartPolicy"] = "OnFailure"
    assert shut(ingress(ports=[port("metrics")]), "81/TCP", everyone) == into("x/a")
