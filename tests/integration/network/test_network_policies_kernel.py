"""Network policies on a real kernel: a table of policies, and which connections between real pods they let through."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from namespace_lab import Host, Lab, node

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

CIDRS = {"one": "10.244.1.0/24", "two": "10.244.2.0/24"}
ADDRESSES = {"one": "192.168.9.11", "two": "192.168.9.12"}
OUTSIDE = "192.168.9.50"
NAMESPACES = [{"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name} | labels}}
              for name, labels in (("shop", {}), ("other", {"team": "red"}))]  # fmt: skip
# Pod: node, namespace, labels, ports by number.
PODS = {
    "web": ("one", "shop", {"app": "web"}, {8080: "http", 9090: "metrics"}),
    "idle": ("one", "shop", {"app": "idle"}, {}),
    "db": ("two", "shop", {"app": "db"}, {8080: "sql"}),
    "spy": ("two", "other", {"app": "idle"}, {}),
}
TARGETS = ("web:8080", "web:9090", "db:8080", "outside:7000")


@dataclass
class Cluster:
    """Two nodes with the pods above, and a host outside."""

    hosts: dict[str, Host]
    addresses: dict[str, str] = field(default_factory=lambda: {"outside": OUTSIDE})

    def pod(self, name: str, **changed) -> dict:
        where, namespace, labels, ports = PODS[name]
        containers = [{"ports": [{"name": port, "containerPort": number} for number, port in ports.items()]}]
        return {"metadata": {"name": name, "namespace": namespace, "labels": labels} | changed,
                "spec": {"nodeName": where, "containers": containers},
                "status": {"podIPs": [{"ip": self.addresses[name]}], "phase": "Running"}}  # fmt: skip

    def apply(self, *specs: dict, pods: list[dict] | None = None, namespace: str = "shop") -> None:
        """Put these policies in force on both nodes."""
        objects = [{"metadata": {"name": f"policy-{number}", "namespace": namespace}, "spec": spec}
                   for number, spec in enumerate(specs)]  # fmt: skip
        everyone = pods if pods is not None else [self.pod(name) for name in PODS]
        for name, cidr in CIDRS.items():
            self.hosts[name].policies(objects=objects, pods=everyone, namespaces=NAMESPACES, node=name, cidr=cidr)

    def reach(self, client: str, *targets: str) -> set[str]:
        """Those of the targets that a client gets a connection to, by their names."""
        names = {f"{self.addresses[target.split(':')[0]]}:{target.split(':')[1]}": target for target in targets}
        host, pod = (self.hosts[PODS[client][0]], client) if client in PODS else (self.hosts["outside"], "")
        return {names[found] for found in host.reach(*names, pod=pod)}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    lab = Lab()
    try:
        lab.segment("lan")
        made = Cluster(lab.hosts)
        nodes = [node(name, ADDRESSES[name], CIDRS[name]) for name in CIDRS]
        for name in CIDRS:
            host = lab.host(name, "lan", f"{ADDRESSES[name]}/24", gateway="192.168.9.1")
            host.open(state=host.state, cidrs=[CIDRS[name]])
            for pod, (where, _, _, ports) in PODS.items():
                if where == name:
                    made.addresses[pod] = host.attach(sandbox=pod)["addresses"][0]
                    for port in ports:
                        host.serve(pod, port, pod=pod)
            host.routes(nodes=nodes, name=name, address=ADDRESSES[name], cidr=CIDRS[name])
        outside = lab.host("outside", "lan", f"{OUTSIDE}/24")
        outside.serve("outside", 7000)
        for name in CIDRS:
            outside.sh(f"ip route add {CIDRS[name]} via {ADDRESSES[name]}")
        yield made
    finally:
        lab.close()


def selecting(app: str, **spec) -> dict:
    """A policy for the pods of an app; "" for all of its namespace."""
    return {"podSelector": {"matchLabels": {"app": app}} if app else {}} | spec


def ingress(*rules: dict, app: str = "web") -> dict:
    return selecting(app, policyTypes=["Ingress"], ingress=list(rules))


def egress(*rules: dict, app: str = "idle") -> dict:
    return selecting(app, policyTypes=["Egress"], egress=list(rules))


def block(cidr: str, *excepted: str) -> dict:
    return {"ipBlock": {"cidr": cidr} | ({"except": list(excepted)} if excepted else {})}


def expressed(kind: str, key: str, operator: str, *values: str) -> dict:
    requirement = {"key": key, "operator": operator} | ({"values": list(values)} if values else {})
    return {f"{kind}Selector": {"matchExpressions": [requirement]}}


APP_IDLE = {"podSelector": {"matchLabels": {"app": "idle"}}}
RED = {"namespaceSelector": {"matchLabels": {"team": "red"}}}
NOT_RED = expressed("namespace", "team", "DoesNotExist")
ALL_OF_WEB = {(client, port) for client in ("idle", "spy", "outside") for port in ("8080", "9090")}


def of(client: str) -> set[tuple[str, str]]:
    return {(client, "8080"), (client, "9090")}


def on(port: str) -> set[tuple[str, str]]:
    return {(client, port) for client in ("idle", "spy", "outside")}


@pytest.mark.parametrize("policies, allowed", [
    pytest.param([], ALL_OF_WEB, id="no policy lets all through"),
    pytest.param([selecting("", policyTypes=["Ingress"])], set(), id="default deny"),
    pytest.param([selecting("", ingress=[])], set(), id="a policy without types is for ingress"),
    pytest.param([ingress({})], ALL_OF_WEB, id="an empty rule lets all through"),
    pytest.param([ingress({"from": [APP_IDLE]})], of("idle"), id="pods of the same namespace"),
    pytest.param([ingress({"from": [RED]})], of("spy"), id="pods of a namespace"),
    pytest.param([ingress({"from": [APP_IDLE | RED]})], of("spy"), id="both selectors of one peer"),
    pytest.param([ingress({"from": [APP_IDLE, RED]})], of("spy") | of("idle"), id="either of two peers"),
    pytest.param([ingress({"from": [{"namespaceSelector": {}}]})], of("spy") | of("idle"), id="pods of all namespaces"),
    pytest.param([ingress({"from": [block(f"{OUTSIDE}/32")]})], of("outside"), id="a block"),
    pytest.param([ingress({"from": [block("0.0.0.0/0", OUTSIDE + "/32", "10.244.2.0/24")]})], of("idle"),
                 id="a block with exceptions"),
    pytest.param([ingress({"from": [block(f"{OUTSIDE}/26"), block("10.244.9.9/16", "10.244.2.77/24")]})],
                 of("idle") | of("outside"), id="blocks named by one of their addresses"),
    pytest.param([ingress({"from": [block("fd00::/8")]})], set(), id="a block of the other family"),
    pytest.param([ingress({"ports": [{"port": 8080, "protocol": "TCP"}]})], on("8080"), id="a port"),
    pytest.param([ingress({"ports": [{"port": 9000, "endPort": 9100}]})], on("9090"), id="a range of ports"),
    pytest.param([ingress({"ports": [{"port": "metrics"}]})], on("9090"), id="a port by name"),
    pytest.param([ingress({"ports": [{"protocol": "TCP"}]})], ALL_OF_WEB, id="a protocol"),
    pytest.param([ingress({"ports": [{"protocol": "UDP", "port": 8080}]})], set(), id="the other protocol"),
    pytest.param([ingress({"from": [APP_IDLE], "ports": [{"port": "http"}]})], {("idle", "8080")}, id="peer and port"),
    pytest.param([ingress({"from": [APP_IDLE]}), ingress({"ports": [{"port": 9090}]})], of("idle") | on("9090"),
                 id="policies add up"),
    pytest.param([ingress({"from": [NOT_RED | expressed("pod", "app", "In", "idle")]})], of("idle"), id="expressions"),
    pytest.param([ingress({"from": [APP_IDLE]}), ingress({})], ALL_OF_WEB, id="what lets all through comes first"),
    pytest.param([ingress({"ports": [{"protocol": "SCTP", "port": 8080}]})], set(), id="SCTP is not TCP"),
    pytest.param([egress()], of("spy") | of("outside"), id="the other pods' egress stays as it is"),
    pytest.param([ingress(app="db")], ALL_OF_WEB, id="other pods are not concerned"),
])  # fmt: skip
def test_what_reaches_a_pod(cluster: Cluster, policies: list[dict], allowed: set[tuple[str, str]]) -> None:
    cluster.apply(*policies)
    clients = ("idle", "spy", "outside")
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda client: cluster.reach(client, "web:8080", "web:9090"), clients)
    assert {(client, target.split(":")[1]) for client, targets in zip(clients, found) for target in targets} == allowed


@pytest.mark.parametrize("policies, allowed", [
    pytest.param([egress()], set(), id="default deny"),
    pytest.param([selecting("idle", egress=[{"to": [{"podSelector": {"matchLabels": {"app": "db"}}}]}])], {"db:8080"},
                 id="pods, and types follow from the rules"),
    pytest.param([egress({"to": [block("192.168.9.0/24")]})], {"outside:7000"}, id="a block"),
    pytest.param([egress({"ports": [{"port": 8080}]})], {"web:8080", "db:8080"}, id="a port anywhere"),
    pytest.param([egress({"ports": [{"port": "http"}]})], {"web:8080"}, id="a port by name, of the pod that has it"),
    pytest.param([egress({"to": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": "metrics"}]})],
                 {"web:9090"}, id="a port by name of some pods"),
    pytest.param([egress({}), ingress()], {"db:8080", "outside:7000"}, id="both ends have to agree"),
    pytest.param([ingress(app="idle")], set(TARGETS), id="ingress does not hold back answers"),
])  # fmt: skip
def test_what_a_pod_reaches(cluster: Cluster, policies: list[dict], allowed: set[str]) -> None:
    cluster.apply(*policies)
    assert cluster.reach("idle", *TARGETS) == allowed


def test_the_own_node_and_the_pod_itself_are_never_shut_out(cluster: Cluster) -> None:
    cluster.apply(selecting("", policyTypes=["Ingress", "Egress"]))
    target = f"{cluster.addresses['web']}:8080"
    assert cluster.hosts["one"].reach(target) == {target}
    assert cluster.reach("web", "web:8080") == {"web:8080"}
    assert cluster.hosts["two"].reach(target) == set()


def test_a_service_is_judged_by_the_pod_it_leads_to(cluster: Cluster) -> None:
    service = {"metadata": {"namespace": "shop", "name": "web"},
               "spec": {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": [{"port": 80}]}}  # fmt: skip
    slices = {"metadata": {"namespace": "shop", "name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
              "addressType": "IPv4", "ports": [{"name": "", "port": 8080}],
              "endpoints": [{"addresses": [cluster.addresses["web"]], "nodeName": "one"}]}  # fmt: skip
    for name in CIDRS:
        cluster.hosts[name].services(services=[service], slices=[slices], node=name)
    cluster.apply(ingress({"from": [RED], "ports": [{"port": 8080}]}))
    assert cluster.hosts["two"].reach("10.96.0.10:80", pod="spy") == {"10.96.0.10:80"}
    assert cluster.hosts["one"].reach("10.96.0.10:80", pod="idle") == set()
    assert cluster.hosts["one"].reach("10.96.0.10:80", pod="web") == {"10.96.0.10:80"}


def test_pods_come_and_go_without_a_change_of_rules(cluster: Cluster) -> None:
    strict = ingress({"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}]})
    stranger, friend = cluster.pod("idle"), cluster.pod("idle", labels={"role": "friend"})
    rest = [cluster.pod(name) for name in PODS if name != "idle"]
    cluster.apply(strict, pods=[*rest, stranger])
    before = cluster.hosts["one"].sh("nft -a list chains ip; nft -a list chain ip wherry-policy ingress-shop/policy-0")
    assert cluster.reach("idle", "web:8080") == set()
    cluster.apply(strict, pods=[*rest, friend])
    assert cluster.reach("idle", "web:8080") == {"web:8080"}
    cluster.apply(strict, pods=rest)
    cluster.apply(strict, pods=[*rest, stranger])
    assert cluster.reach("idle", "web:8080") == set()
    after = cluster.hosts["one"].sh("nft -a list chains ip; nft -a list chain ip wherry-policy ingress-shop/policy-0")
    assert after == before


def test_policies_may_have_the_longest_names_of_the_api(cluster: Cluster) -> None:
    rule = {"from": [APP_IDLE], "ports": [{"port": "http"}]}
    long = "x" * 252
    objects = [{"metadata": {"name": long + end, "namespace": "shop"}, "spec": spec}
               for end, spec in (("a", ingress(rule)), ("b", ingress({"ports": [{"port": "metrics"}]})))]  # fmt: skip
    everyone = [cluster.pod(name) for name in PODS]
    for name, cidr in CIDRS.items():
        cluster.hosts[name].policies(objects=objects, pods=everyone, namespaces=NAMESPACES, node=name, cidr=cidr)
    assert cluster.reach("idle", "web:8080", "web:9090") == {"web:8080", "web:9090"}
    assert cluster.reach("spy", "web:8080", "web:9090") == {"web:9090"}


def test_a_pod_that_the_api_does_not_show_yet_is_held_back_while_there_are_policies(cluster: Cluster) -> None:
    cluster.apply(ingress(app="db"), pods=[cluster.pod(name) for name in PODS if name != "web"])
    assert cluster.reach("idle", "web:8080") == set()
    cluster.apply(ingress(app="db"))
    assert cluster.reach("idle", "web:8080") == {"web:8080"}


def test_datagrams_are_judged_by_their_own_rules(cluster: Cluster) -> None:
    one, address = cluster.hosts["one"], cluster.addresses["web"]
    server = one.serve("web", 8080, pod="web", protocol="udp")

    def answers(protocol: str) -> str:
        return one.answer(address, 8080, pod="idle", protocol=protocol)

    cluster.apply(ingress({"from": [APP_IDLE], "ports": [{"protocol": "UDP", "port": 8080}]}))
    assert (answers("udp"), cluster.reach("idle", "web:8080")) == ("web", set())
    cluster.apply(ingress({"from": [APP_IDLE], "ports": [{"protocol": "TCP"}]}))
    assert (answers("udp"), cluster.reach("idle", "web:8080")) == ("error", {"web:8080"})
    one.kill(pid=server)


def test_a_connection_that_was_let_through_goes_on(cluster: Cluster) -> None:
    cluster.apply()
    host = cluster.hosts["one"]
    flag = f"{host.state}/flag"
    script = (
        "import socket,time,sys,os\n"
        f"c=socket.create_connection(({cluster.addresses['web']!r},8080));c.settimeout(5)\n"
        "print('open',flush=True)\n"
        "while not os.path.exists(sys.argv[1]): time.sleep(0.02)\n"
        "c.sendall(b'x\\n');open(sys.argv[1]+'.answer','w').write(c.recv(100).decode())\n"
    )
    host.start(argv=["ip", "netns", "exec", "idle", "python3", "-c", script, flag])
    cluster.apply(ingress())
    assert cluster.reach("idle", "web:8080") == set()
    host.sh(f"touch {flag}; for i in $(seq 100); do [ -s {flag}.answer ] && break; sleep 0.05; done")
    assert host.sh(f"cat {flag}.answer").startswith("web ")


def test_the_tables_of_one_process_do_not_take_each_others_changes_for_somebody_elses(cluster: Cluster) -> None:
    host = cluster.hosts["one"]
    host.services(services=[], slices=[], node="one")
    cluster.apply(ingress())
    host.services(services=[], slices=[], node="one")
    assert host.repair()
    cluster.apply(ingress({}))
    assert host.repair()
    host.sh("nft add table ip foreign; nft delete table ip foreign")
    assert not host.repair()
