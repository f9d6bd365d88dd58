"""A table of services, then packets: what each client gets from each front end on a real kernel."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from namespace_lab import Host, Lab, node

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

CIDRS = {"one": "10.244.1.0/24", "two": "10.244.2.0/24"}
ADDRESSES = {"one": "192.168.9.11", "two": "192.168.9.12"}
CLIENT = "192.168.9.50"


def service(name: str, address: str, port: int = 80, *, protocol: str = "TCP", node_port: int = 0, **spec) -> dict:
    """A Service object with one port."""
    ports = [{"protocol": protocol, "port": port, "targetPort": 8080} | ({"nodePort": node_port} if node_port else {})]
    status = spec.pop("status", {})
    spec = {"clusterIP": address, "clusterIPs": [address], "ports": ports, "type": "ClusterIP"} | spec
    return {"metadata": {"namespace": "default", "name": name}, "spec": spec, "status": status}


def endpoint_slice(
    name: str, *endpoints: tuple[str, str], port: int = 8080, protocol: str = "TCP", **conditions
) -> dict:
    """An EndpointSlice of (node, address) pairs."""
    return {
        "metadata": {"namespace": "default", "name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": port, "protocol": protocol}],
        "endpoints": [
            {"addresses": [address], "nodeName": where, "conditions": {"ready": True} | conditions}
            for where, address in endpoints
        ],
    }  # fmt: skip


@dataclass
class Cluster:
    """Two nodes with the pods `web` (a server) and `idle`, and a client outside."""

    one: Host
    two: Host
    client: Host
    pods: dict[tuple[str, str], str]

    @property
    def web(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The two servers, as endpoints."""
        return ("one", self.pods["one", "web"]), ("two", self.pods["two", "web"])

    def program(self, services: list[dict], slices: list[dict]) -> list[str]:
        """Make the tables of both nodes."""
        return [
            host.services(services=services, slices=slices, node=host.name, addresses=[ADDRESSES[host.name]])
            for host in (self.one, self.two)
        ]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    lab = Lab()
    try:
        lab.segment("lan")
        pods = {}
        nodes = [node(name, ADDRESSES[name], CIDRS[name]) for name in CIDRS]
        for name in CIDRS:
            host = lab.host(name, "lan", f"{ADDRESSES[name]}/24", gateway="192.168.9.1")
            host.open(state=host.state, cidrs=[CIDRS[name]])
            for pod in ("web", "idle"):
                pods[name, pod] = host.attach(sandbox=pod)["addresses"][0]
            host.routes(nodes=nodes, name=name, address=ADDRESSES[name], cidr=CIDRS[name])
            host.serve(name, 8080, pod="web")
            host.serve(name, 8080, pod="web", protocol="udp")
        client = lab.host("client", "lan", f"{CLIENT}/24")
        yield Cluster(lab.hosts["one"], lab.hosts["two"], client, pods)
    finally:
        lab.close()


def test_every_client_reaches_every_endpoint_of_a_cluster_address(cluster: Cluster) -> None:
    cluster.program([service("web", "10.96.0.10")], [endpoint_slice("web", *cluster.web)])
    for host, pod in ((cluster.one, "idle"), (cluster.two, "idle"), (cluster.one, ""), (cluster.two, "")):
        answers = Counter(line.split()[0] for line in host.ask("10.96.0.10", 80, pod=pod, count=30))
        assert set(answers) == {"one", "two"}, (host.name, pod, answers)


def test_a_pod_keeps_its_address_towards_a_service(cluster: Cluster) -> None:
    cluster.program([service("web", "10.96.0.10")], [endpoint_slice("web", cluster.web[1])])
    assert cluster.one.ask("10.96.0.10", 80, pod="idle") == [f"two {cluster.pods['one', 'idle']} 2"]


def test_endpoints_are_drawn_evenly(cluster: Cluster) -> None:
    cluster.program([service("web", "10.96.0.10")], [endpoint_slice("web", *cluster.web)])
    answers = Counter(line.split()[0] for line in cluster.one.ask("10.96.0.10", 80, pod="idle", count=400))
    assert 140 < answers["one"] < 260


def test_a_pod_reaches_itself_through_its_service(cluster: Cluster) -> None:
    cluster.program([service("web", "10.96.0.10")], [endpoint_slice("web", cluster.web[0])])
    assert cluster.one.ask("10.96.0.10", 80, pod="web") == ["one 10.244.1.1 2"]


@pytest.mark.parametrize("where", ["one", "two"])
def test_a_node_port_answers_on_every_node(cluster: Cluster, where: str) -> None:
    cluster.program([service("web", "10.96.0.10", type="NodePort", node_port=30080)],
                    [endpoint_slice("web", *cluster.web)])  # fmt: skip
    clients = ((cluster.client, ""), (cluster.one, ""), (cluster.two, ""), (cluster.one, "idle"), (cluster.two, "web"))
    for host, pod in clients:
        answers = Counter(line.split()[0] for line in host.ask(ADDRESSES[where], 30080, pod=pod, count=20))
        assert set(answers) == {"one", "two"}, (host.name, pod, answers)


@pytest.mark.parametrize("source", ["pod", "node", "node-port"])
def test_without_endpoints_a_connection_is_refused_at_once(cluster: Cluster, source: str) -> None:
    cluster.program([service("none", "10.96.0.11", type="NodePort", node_port=30081)], [])
    host, pod = (cluster.client, "") if source == "node-port" else (cluster.one, "idle" if source == "pod" else "")
    address, port = (ADDRESSES["one"], 30081) if source == "node-port" else ("10.96.0.11", 80)
    _, kind, seconds = host.ask(address, port, pod=pod)[0].split()
    assert kind == "ConnectionRefusedError"
    assert float(seconds) < 0.5


def test_a_port_that_a_service_does_not_have_is_refused(cluster: Cluster) -> None:
    cluster.program([service("web", "10.96.0.10")], [endpoint_slice("web", *cluster.web)])
    assert cluster.one.ask("10.96.0.10", 81, pod="idle")[0].split()[1] == "ConnectionRefusedError"


def test_local_policy_drops_what_another_node_could_serve(cluster: Cluster) -> None:
    local = service("web", "10.96.0.10", type="NodePort", node_port=30080, externalTrafficPolicy="Local")
    cluster.program([local], [endpoint_slice("web", cluster.web[1])])
    assert cluster.client.ask(ADDRESSES["one"], 30080)[0].split()[1] == "TimeoutError"
    assert cluster.client.answer(ADDRESSES["two"], 30080) == "two"
    assert cluster.one.answer(ADDRESSES["one"], 30080, pod="idle") == "two"
    assert cluster.one.answer(ADDRESSES["one"], 30080) == "two"


BOTH, OWN = {"one", "two"}, {"one"}
CLIENTS = ("pod", "node", "outside")
ENDING = {"ready": False, "serving": True, "terminating": True}
# By policies and the endpoints' conditions: who reaches which endpoints through the first node, and keeps the own
# address, at the cluster's address and at those for clients outside.
EXTERNAL_LOCAL = (
    {"pod": (BOTH, True), "node": (BOTH, False), "outside": (BOTH, False)},
    {"pod": (BOTH, True), "node": (BOTH, False), "outside": (OWN, True)},
)
INTERNAL_LOCAL = (
    {"pod": (OWN, True), "node": (OWN, False), "outside": (OWN, False)},
    {"pod": (BOTH, False), "node": (BOTH, False), "outside": (BOTH, False)},
)
WAYS: dict[str, tuple[dict, dict, dict, dict]] = {
    "any endpoint": ({}, {}, EXTERNAL_LOCAL[0], INTERNAL_LOCAL[1]),
    "external local": ({"externalTrafficPolicy": "Local"}, {}, *EXTERNAL_LOCAL),
    "external local, and all end": ({"externalTrafficPolicy": "Local"}, ENDING, *EXTERNAL_LOCAL),
    "internal local": ({"internalTrafficPolicy": "Local"}, {}, *INTERNAL_LOCAL),
    "internal local, and all end": ({"internalTrafficPolicy": "Local"}, ENDING, *INTERNAL_LOCAL),
}


@pytest.mark.parametrize(("policies", "conditions", "inside", "beyond"), WAYS.values(), ids=WAYS.keys())
def test_policies_decide_for_each_client_at_each_address(
    cluster: Cluster, policies: dict, conditions: dict, inside: dict, beyond: dict
) -> None:
    balancer = {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}]}}
    balanced = service("web", "10.96.0.10", type="LoadBalancer", node_port=30080, status=balancer, **policies)
    cluster.program([balanced], [endpoint_slice("web", *cluster.web, **conditions)])
    cluster.client.sh("ip route replace 192.0.2.0/24 via 192.168.9.11; ip route replace 10.96.0.0/16 via 192.168.9.11")
    hosts = dict(zip(CLIENTS, ((cluster.one, "idle"), (cluster.one, ""), (cluster.client, "")), strict=True))
    own = {"pod": cluster.pods["one", "idle"], "outside": CLIENT}
    found = {}
    for address, port in (("10.96.0.10", 80), ("192.0.2.8", 80), (ADDRESSES["one"], 30080)):
        for name, (host, pod) in hosts.items():
            answers = [line.split() for line in host.ask(address, port, pod=pod, count=24)]
            kept = {seen == own.get(name) for _, seen, *_ in answers}
            found[address, name] = {where for where, *_ in answers}, kept
    expected = {(address, name): (ways[name][0], {ways[name][1]})
                for address, ways in (("10.96.0.10", inside), ("192.0.2.8", beyond), (ADDRESSES["one"], beyond))
                for name in CLIENTS}  # fmt: skip
    assert found == expected


def test_a_session_sticks_until_its_endpoint_is_gone(cluster: Cluster) -> None:
    sticky = service("web", "10.96.0.10", sessionAffinity="ClientIP")
    cluster.program([sticky], [endpoint_slice("web", *cluster.web)])
    first = {line.split()[0] for line in cluster.one.ask("10.96.0.10", 80, pod="idle", count=20)}
    assert len(first) == 1
    changed = cluster.program([sticky], [endpoint_slice("web", *cluster.web)])
    assert changed == ["0 added, 0 removed, 0 changed"] * 2
    (left,) = (endpoint for endpoint in cluster.web if endpoint[0] not in first)
    cluster.program([sticky], [endpoint_slice("web", left)])
    assert {line.split()[0] for line in cluster.one.ask("10.96.0.10", 80, pod="idle", count=5)} == {left[0]}
    cluster.program([sticky], [endpoint_slice("web", *cluster.web)])
    assert {line.split()[0] for line in cluster.one.ask("10.96.0.10", 80, pod="idle", count=20)} == {left[0]}


def test_a_session_is_remembered_for_as_long_as_the_service_says(cluster: Cluster) -> None:
    sticky = service("web", "10.96.0.10", sessionAffinity="ClientIP",
                     sessionAffinityConfig={"clientIP": {"timeoutSeconds": 7}})  # fmt: skip
    cluster.program([sticky], [endpoint_slice("web", *cluster.web)])
    assert cluster.one.answer("10.96.0.10", 80, pod="idle") in ("one", "two")
    remembered = re.escape(cluster.pods["one", "idle"]) + r" timeout \S+ expires [0-7]s"
    assert re.search(remembered, cluster.one.sh("nft list sets"))


def test_a_client_that_cannot_be_remembered_is_served(cluster: Cluster) -> None:
    cluster.program([service("web", "10.96.0.10", sessionAffinity="ClientIP")],
                    [endpoint_slice("web", cluster.web[0])])  # fmt: skip
    name = f"service-default/web/tcp/80/{cluster.pods['one', 'web']}/8080"
    size = int(re.search(r"size (\d+)", cluster.one.sh("nft list sets | grep -A3 'set service-default'")).group(1))
    clients = (f"{100 + n // 65536}.{n // 256 % 256}.{n % 256}.1 timeout 60s" for n in range(size))
    file = Path(cluster.one.state) / "clients.nft"
    file.write_text(f"flush set ip wherry {name}\nadd element ip wherry {name} {{ {','.join(clients)} }}\n")
    cluster.one.sh(f"nft -f {file}")
    assert cluster.one.answer("10.96.0.10", 80, pod="idle") == "one"


def test_external_and_balancer_addresses_lead_to_the_service(cluster: Cluster) -> None:
    balanced = service(
        "web", "10.96.0.10", type="LoadBalancer", externalIPs=["192.0.2.7"],
        status={"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}]}}, loadBalancerSourceRanges=["192.168.9.0/25"],
    )  # fmt: skip
    cluster.program([balanced], [endpoint_slice("web", *cluster.web)])
    cluster.client.sh("ip route replace 192.0.2.0/24 via 192.168.9.11")
    assert {line.split()[0] for line in cluster.client.ask("192.0.2.7", 80, count=16)} == {"one", "two"}
    assert {line.split()[0] for line in cluster.client.ask("192.0.2.8", 80, count=16)} == {"one", "two"}
    balanced["spec"]["loadBalancerSourceRanges"] = ["192.168.9.128/25", "198.51.100.0/24"]
    cluster.program([balanced], [endpoint_slice("web", *cluster.web)])
    assert cluster.client.answer("192.0.2.7", 80) in ("one", "two")
    assert cluster.client.ask("192.0.2.8", 80)[0].split()[1] == "TimeoutError"
    cluster.program([balanced], [])
    assert cluster.client.ask("192.0.2.7", 80)[0].split()[1] == "ConnectionRefusedError"
    assert cluster.client.ask("192.0.2.8", 80)[0].split()[1] == "TimeoutError"
    balanced["spec"]["loadBalancerSourceRanges"] = ["192.168.9.0/25"]
    cluster.program([balanced], [])
    assert cluster.client.ask("192.0.2.8", 80)[0].split()[1] == "ConnectionRefusedError"


@pytest.mark.parametrize(("ranges", "allowed"), [
    ([], {"outside", "node", "pod"}),
    ([f"{CLIENT}/32"], {"outside"}),
    ([f"{ADDRESSES['one']}/32"], {"node"}),
    (["192.168.9.77/24"], {"outside", "node"}),
    (["10.244.0.0/16"], {"pod"}),
    (["fd00::/8"], set()),
])  # fmt: skip
def test_source_ranges_hold_for_pods_and_for_the_node_that_has_the_address(
    cluster: Cluster, ranges: list[str], allowed: set[str]
) -> None:
    balancer = {"loadBalancer": {"ingress": [{"ip": "192.168.9.201"}]}}
    cluster.program([service("web", "10.96.0.10", type="LoadBalancer", node_port=30080, status=balancer,
                             loadBalancerSourceRanges=ranges)], [endpoint_slice("web", *cluster.web)])  # fmt: skip
    cluster.one.announce(addresses=["192.168.9.201"])
    try:
        found = {
            name
            for name, (host, pod) in {"outside": (cluster.client, ""), "node": (cluster.one, ""),
                                      "pod": (cluster.one, "idle")}.items()
            if host.reach("192.168.9.201:80", pod=pod)
        }  # fmt: skip
        assert found == allowed
        assert cluster.client.reach(f"{ADDRESSES['one']}:30080"), "node ports are not guarded"
    finally:
        cluster.one.announce(addresses=[])


def test_the_node_that_is_named_answers_for_an_address_and_another_takes_it_over(cluster: Cluster) -> None:
    status = {"loadBalancer": {"ingress": [{"ip": "192.168.9.200"}]}}
    cluster.program([service("web", "10.96.0.10", type="LoadBalancer", status=status)],
                    [endpoint_slice("web", *cluster.web)])  # fmt: skip
    cluster.client.sh("ip route flush 192.0.2.0/24")

    def answering() -> str:
        return cluster.client.sh("ip neigh show 192.168.9.200 | sed 's/.*lladdr \\([0-9a-f:]*\\) .*/\\1/'").strip()

    macs = {name: cluster_host.sh("ip -br link show eth0").split()[2]
            for name, cluster_host in (("one", cluster.one), ("two", cluster.two))}  # fmt: skip
    assert cluster.client.ask("192.168.9.200", 80)[0].split()[1] in ("TimeoutError", "OSError")
    assert cluster.one.announce(addresses=["192.168.9.200"]) == [["192.168.9.200"], []]
    assert cluster.one.announce(addresses=["192.168.9.200"]) == [[], []]
    assert {line.split()[0] for line in cluster.client.ask("192.168.9.200", 80, count=16)} == {"one", "two"}
    assert answering() == macs["one"]
    # The first node is cut off and keeps the address; the segment learns of the second one by its announcement alone.
    cluster.two.announce(addresses=["192.168.9.200"])
    assert answering() == macs["two"]
    assert {line.split()[0] for line in cluster.client.ask("192.168.9.200", 80, count=16)} == {"one", "two"}
    for host in (cluster.one, cluster.two):
        assert host.announce(addresses=[]) == [[], ["192.168.9.200"]]
        assert "wherry-lb" not in host.sh("ip link")


def test_udp_is_balanced_too(cluster: Cluster) -> None:
    cluster.program([service("dns", "10.96.0.10", 53, protocol="UDP", type="NodePort", node_port=30053)],
                    [endpoint_slice("dns", *cluster.web, protocol="UDP")])  # fmt: skip
    assert {line.split()[0] for line in cluster.one.ask("10.96.0.10", 53, pod="idle", protocol="udp", count=20)} == {
        "one", "two"}  # fmt: skip
    assert {line.split()[0] for line in cluster.client.ask(ADDRESSES["one"], 30053, protocol="udp", count=20)} == {
        "one", "two"}  # fmt: skip


def test_the_kernel_takes_a_service_of_sctp(cluster: Cluster) -> None:
    services = [service("signal", "10.96.0.10", 2905, protocol="SCTP", type="NodePort", node_port=30090)]
    slices = [endpoint_slice("signal", *cluster.web, protocol="SCTP")]
    cluster.program(services, slices)
    held = cluster.one.sh("nft list table ip wherry")
    for element in ("10.96.0.10 . sctp . 2905 : goto spread-2", "sctp . 30090 : goto node-port-2",
                    f"10.96.0.10 . sctp . 2905 . 0x00000001 : {cluster.pods['two', 'web']} . 8080"):  # fmt: skip
        assert element in held
    assert cluster.program(services, slices) == ["0 added, 0 removed, 0 changed"] * 2


def test_pods_leave_the_cluster_with_their_nodes_address(cluster: Cluster) -> None:
    cluster.program([], [])
    cluster.client.serve("outside", 7000)
    assert cluster.one.ask(CLIENT, 7000, pod="idle") == [f"outside {ADDRESSES['one']} 2"]


@pytest.mark.parametrize("damage", [
    "nft flush ruleset", "nft delete table ip wherry", "nft flush chain ip wherry services",
    "nft flush map ip wherry services", "nft flush chain ip wherry spread-2", "nft flush map ip wherry endpoints",
    "nft delete element ip wherry endpoints { 10.96.0.10 . tcp . 80 . 0x1 }",
    "nft add rule ip wherry services drop", "nft add element ip wherry cluster-addresses { 192.168.9.50 }",
    "nft delete chain ip wherry filter-output", "nft add chain ip wherry rogue",
])  # fmt: skip
def test_what_somebody_else_changed_is_noticed_and_repaired(cluster: Cluster, damage: str) -> None:
    services, slices = [service("web", "10.96.0.10")], [endpoint_slice("web", *cluster.web)]
    cluster.program(services, slices)
    assert cluster.one.repair()
    before = cluster.one.sh("nft list ruleset")
    cluster.one.sh(damage)
    assert not cluster.one.repair()
    assert cluster.one.services(services=services, slices=slices, node="one") != "0 added, 0 removed, 0 changed"
    assert sorted(cluster.one.sh("nft list ruleset").splitlines()) == sorted(before.splitlines())
    assert cluster.one.answer("10.96.0.10", 80, pod="idle") in ("one", "two")


def test_an_open_connection_survives_a_change_of_its_service(cluster: Cluster) -> None:
    both, first = endpoint_slice("web", *cluster.web), endpoint_slice("web", cluster.web[1])
    cluster.program([service("web", "10.96.0.10")], [first])
    script = (
        "import socket,time\nc=socket.create_connection(('10.96.0.10',80));c.settimeout(5)\n"
        "print('open',flush=True)\nimport sys,os\n"
        "while not os.path.exists(sys.argv[1]): time.sleep(0.02)\n"
        "c.sendall(b'x\\n');open(sys.argv[1]+'.answer','w').write(c.recv(100).decode())\n"
    )
    flag = f"{cluster.one.state}/flag"
    cluster.one.start(argv=["ip", "netns", "exec", "idle", "python3", "-c", script, flag])
    cluster.program([service("web", "10.96.0.10")], [both])
    cluster.program([service("web", "10.96.0.10")], [endpoint_slice("web", cluster.web[0])])
    cluster.one.sh(f"touch {flag}; for i in $(seq 100); do [ -s {flag}.answer ] && break; sleep 0.05; done")
    assert cluster.one.sh(f"cat {flag}.answer").startswith("two ")


# Sends a segment from port 8080 with a sequence number that no connection expects.
STRAY = """
import socket, struct, sys
here, there, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
body = struct.pack(">HHIIBBHHH", 8080, port, 0x9e3779b9, 0x7f4a7c15, 5 << 4, 0x18, 64, 0, 0)
words = socket.inet_aton(here) + socket.inet_aton(there) + struct.pack(">HH", 6, len(body)) + body
total = sum(struct.unpack(f">{len(words) // 2}H", words))
total = (total & 0xffff) + (total >> 16)
checked = body[:16] + struct.pack(">H", ~(total + (total >> 16)) & 0xffff) + body[18:]
socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP).sendto(checked, (there, 0))
"""


def test_a_stray_segment_of_an_endpoint_does_not_reset_its_client(cluster: Cluster) -> None:
    one, (web, idle) = cluster.one, (cluster.pods["one", "web"], cluster.pods["one", "idle"])
    cluster.program([service("web", "10.96.0.10")], [endpoint_slice("web", ("one", web))])
    script = (
        "import socket,time\nc=socket.socket();c.bind(('',5999));c.connect(('10.96.0.10',80))\n"
        "print('open',flush=True);time.sleep(600)"
    )
    client = one.start(argv=["ip", "netns", "exec", "idle", "python3", "-c", script])

    def resets() -> int:
        return int(one.sh("ip netns exec idle cat /proc/net/snmp | awk '/^Tcp: [0-9]/ {print $15}'"))

    def send(port: int) -> None:
        done = one.run(argv=["ip", "netns", "exec", "web", "python3", "-c", STRAY, web, idle, str(port)])
        assert done["code"] == 0, done["err"]

    before = resets()
    send(5999)
    assert resets() == before
    # Such a segment is answered by a reset where there is no connection that it does not fit.
    send(5998)
    assert resets() == before + 1
    one.kill(pid=client)
