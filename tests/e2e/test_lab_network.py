"""Everybody reaches everybody in the lab, also after each thing that breaks networks; names, policies, traces hold."""

from __future__ import annotations

import base64
import json
import shlex
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from conftest import GRACE_SECONDS, WORKERS
from labs import WHERRY, Lab, eventually, is_ready, run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NODES = WORKERS
# Long enough for what lives for a minute or two: connections, neighbours, leases, what a resolver remembers.
PARTITION_SECONDS = 120
PAGE = "It lands anywhere."
IMAGE = "localhost/wherry/demo:1"

# Asks for the page at all targets at once, and prints the names of those that gave it.
ASK_FROM_POD = (
    "for t in %s; do ( n=${t%%%%=*}; a=${t#*=}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' | "
    "/bin/busybox nc -w 4 ${a%%:*} ${a##*:} 2>/dev/null | /bin/busybox grep -q lands && echo $n ) & done; wait"
)
ASK_FROM_NODE = """
import socket, sys, threading
def ask(name, address):
    try:
        with socket.create_connection(address, timeout=4) as asking:
            asking.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            page = b"".join(iter(lambda: asking.recv(65536), b""))
    except OSError:
        return
    if b"lands" in page:
        print(name, flush=True)
for target in sys.argv[1:]:
    name, _, place = target.partition("=")
    host, _, port = place.rpartition(":")
    threading.Thread(target=ask, args=(name, (host, int(port)))).start()
"""
# Opens so many connections a second for so long, and prints how many got the page and what became of the others.
LOAD = """
import collections, json, resource, socket, sys, threading, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
address, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
outcomes = collections.Counter()
def ask():
    try:
        with socket.create_connection((address, 80), timeout=10) as asking:
            asking.sendall(b"GET /hosts HTTP/1.0\\r\\n\\r\\n")
            page = b"".join(iter(lambda: asking.recv(65536), b""))
        outcomes["page" if b"Kubernetes" in page else "empty"] += 1
    except OSError as error:
        outcomes[str(error)] += 1
start, tasks = time.monotonic(), []
for number in range(int(rate * seconds)):
    time.sleep(max(0.0, start + number / rate - time.monotonic()))
    tasks.append(threading.Thread(target=ask))
    tasks[-1].start()
for task in tasks:
    task.join()
print(json.dumps(outcomes))
"""


@dataclass
class Network:
    """The lab with a pod on each node that asks and answers, the demo, and the control host, which is outside."""

    lab: Lab
    targets: dict[str, str]

    def reached(self) -> dict[str, set[str]]:
        """For each client the targets that answer it: pods, nodes, and the machine outside."""
        inside = " ".join(f"{name}={place}" for name, place in self.targets.items())
        ports = " ".join(f"{name}={place}" for name, place in self.targets.items() if name.startswith("port-"))
        ask = python(ASK_FROM_NODE)

        def pod(name: str) -> str:
            return self.lab.kubectl("exec", f"asker-{name}", "--", "/bin/sh", "-c", ASK_FROM_POD % inside, check=False)

        with ThreadPoolExecutor(7) as pool:
            said = {f"pod-{name}": pool.submit(pod, name) for name in NODES}
            said |= {name: pool.submit(self.lab.ssh, name, f"{ask} {inside}", check=False) for name in NODES}
            said["outside"] = pool.submit(self.lab.ssh, "control", f"{ask} {ports}", check=False)
        return {client: set(words.result().split()) for client, words in said.items()}

    def whole(self) -> bool:
        """Whether everybody reaches everybody."""
        clients = ("outside", *NODES, *(f"pod-{name}" for name in NODES))
        wanted = {client: set(self.targets) for client in clients}
        wanted["outside"] = {name for name in self.targets if name.startswith("port-")}
        found = self.reached()
        assert found == wanted, {client: sorted(wanted[client] - found[client]) for client in wanted}
        return True


def python(script: str) -> str:
    """A shell command that runs a script of Python."""
    encoded = base64.b64encode(script.encode()).decode()
    return f'python3 -c "import base64; exec(base64.b64decode(\\"{encoded}\\"))"'


@pytest.fixture(scope="module")
def network(lab: Lab) -> Iterator[Network]:
    for name in NODES:
        # It answers with the same page as the demo.
        container = {"name": "main", "image": IMAGE, "volumeMounts": [{"name": "page", "mountPath": "/www/page"}]}
        asker = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"asker-{name}", "labels": {"app": "asker"}},
                 "spec": {"nodeName": name, "terminationGracePeriodSeconds": 0, "containers": [container],
                          "volumes": [{"name": "page", "configMap": {"name": "demo-page"}}]}}  # fmt: skip
        lab.kubectl("apply", "-f", "-", stdin=json.dumps(asker))
    # Who is outside has no part in the cluster's network but the machines' own.
    serve = f"mkdir -p /run/outside && echo {PAGE!r} >/run/outside/index.html && systemd-run --unit=outside "
    lab.ssh("control", serve + "python3 -m http.server --directory /run/outside 8090")
    eventually(lambda: len(lab.running_pods("app=asker")) == len(NODES), 60, "the asking pods run")
    eventually(lambda: len(lab.running_pods("app=demo")) == 3, 90, "the demo runs")
    pods = {pod["spec"]["nodeName"]: pod["status"]["podIP"] for pod in lab.running_pods("app=asker")}
    service = lab.kubectl("get", "service", "demo", "-o", "jsonpath={.spec.clusterIP}")
    addresses = {node["metadata"]["name"]: node["status"]["addresses"][0]["address"] for node in lab.objects("nodes")}
    control = lab.ssh("control", "hostname -I").split()[0]
    targets = {f"pod-{name}": f"{pods[name]}:8080" for name in NODES}
    targets |= {f"port-{name}": f"{addresses[name]}:30080" for name in NODES}
    yield Network(lab, targets | {"service": f"{service}:80", "outside": f"{control}:8090"})
    lab.ssh("control", "systemctl stop outside; rm -r /run/outside", check=False)
    lab.kubectl("delete", "pod", "-l", "app=asker", "--wait=false")


def test_everybody_reaches_everybody(network: Network) -> None:
    eventually(network.whole, 20, "everybody reaches everybody")


@pytest.mark.parametrize("name, address", [
    ("demo", "demo"), ("demo.default.svc.cluster.local", "demo"),
    ("kubernetes", "kubernetes"),
])  # fmt: skip
def test_pods_find_services_by_their_names(network: Network, name: str, address: str) -> None:
    expected = network.lab.kubectl("get", "service", address, "-o", "jsonpath={.spec.clusterIP}")
    said = network.lab.kubectl("exec", "asker-node2", "--", "/bin/busybox", "nslookup", name, check=False)
    assert expected in said, said


FAULTS = {
    "kill -9 of the proxy": "systemctl kill --kill-whom=main --signal=SIGKILL wherry-proxy",
    "all tables flushed": "nft flush ruleset",
    "a route deleted": "ip route del $(ip route show proto 87 | grep ' via ' | head -1)",
    "the route to the own pods deleted": "ip route del $(ip route show dev wherry0 | grep -o '^10.244[^ ]*')",
    "the link down": "r=$(ip route show default); ip link set eth0 down; sleep 1; ip link set eth0 up; "
    'test -z "$r" || ip route replace $r',
    "the bridge down": "ip link set wherry0 down",
    "the bridge deleted": "ip link del wherry0",
    "the pods' links deleted": "for v in $(ip -o link show master wherry0 | grep -o 'veth[0-9a-f]*'); do "
    "ip link del $v; done",
    "forwarding off": "echo 0 > /proc/sys/net/ipv4/ip_forward",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_everybody_reaches_everybody_again_after(network: Network, fault: str) -> None:
    network.lab.ssh("node1", FAULTS[fault])
    eventually(network.whole, 30, f"everybody reaches everybody after {fault}")


ROLLING = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: rolling}
spec:
  replicas: 3
  selector: {matchLabels: {app: rolling}}
  template:
    metadata: {labels: {app: rolling}}
    spec:
      terminationGracePeriodSeconds: 6
      containers:
        - name: web
          image: "localhost/wherry/demo:1"
          command: ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/etc"]
          ports: [{containerPort: 8080}]
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, timeoutSeconds: 5}
          lifecycle: {preStop: {exec: {command: ["/bin/busybox", "sleep", "4"]}}}
---
apiVersion: v1
kind: Service
metadata: {name: rolling}
spec:
  selector: {app: rolling}
  ports: [{port: 80, targetPort: 8080}]
"""


@pytest.fixture(scope="class")
def partition(network: Network) -> Iterator[None]:
    """Cuts node2 off, and connects it again when it has been away for long enough; the others are whole meanwhile."""
    network.lab.lab("disconnect", "node2")
    end = time.monotonic() + PARTITION_SECONDS
    try:
        eventually(lambda: not ready(network, "node2"), GRACE_SECONDS + 60, "node2 counts as lost")
        yield
        while time.monotonic() < end:
            eventually(lambda: rest_is_whole(network), 20, "everybody else still reaches everybody else")
            assert not serving(network, "node2")
    finally:
        network.lab.lab("connect", "node2")


def rest_is_whole(network: Network) -> bool:
    """Whether everybody but node2 and its pods reaches everybody else, the service included."""
    rest = {name for name in network.targets if not name.endswith("node2")}
    found = network.reached()
    return all(rest <= found[client] for client in ("node1", "node3", "pod-node1", "pod-node3"))


@pytest.mark.usefixtures("partition")
class TestWhileANodeIsPartitioned:
    """The others go on as if nothing had happened."""

    def test_a_trace_says_which_node_does_not_answer(self, network: Network) -> None:
        found = run([*trace(network), "pod/asker-node1", network.targets["pod-node2"]], check=False)
        assert found.returncode == 1 and "node2 does not answer at" in found.stdout, found.stdout + found.stderr

    def test_everybody_else_reaches_everybody_else(self, network: Network) -> None:
        eventually(lambda: not serving(network, "node2"), 20, "no endpoint on node2 serves")
        eventually(lambda: rest_is_whole(network), 20, "everybody else reaches everybody else, the service included")

    def test_no_connection_fails_during_a_rolling_update(self, network: Network) -> None:
        lab = network.lab
        lab.kubectl("apply", "-f", "-", stdin=ROLLING)
        try:
            eventually(lambda: len(lab.running_pods("app=rolling")) == 3, 60, "three replicas are Ready")
            address = lab.kubectl("get", "service", "rolling", "-o", "jsonpath={.spec.clusterIP}")
            before = {pod["metadata"]["name"] for pod in lab.running_pods("app=rolling")}
            with ThreadPoolExecutor() as pool:
                load = pool.submit(lab.ssh, "node1", f"{python(LOAD)} {shlex.quote(address)} 200 25")
                lab.kubectl("rollout", "restart", "deployment/rolling")
                lab.kubectl("rollout", "status", "deployment/rolling", "--timeout=60s", timeout=70)
                outcomes = json.loads(load.result())
            after = {pod["metadata"]["name"] for pod in lab.running_pods("app=rolling")}
            assert not before & after
            assert outcomes == {"page": 5000}
        finally:
            lab.kubectl("delete", "deployment,service", "rolling", "--wait=false")


def test_everybody_reaches_everybody_again_after_a_node_was_partitioned(network: Network) -> None:
    eventually(lambda: ready(network, "node2"), 60, "node2 is Ready again")
    eventually(network.whole, 30, "everybody reaches everybody after the partition")


def serving(network: Network, node: str) -> bool:
    """Whether the service still counts on an endpoint of a node."""
    slices = network.lab.objects("endpointslices", "-l", "kubernetes.io/service-name=demo")
    ends = [end for one in slices for end in one.get("endpoints") or () if end["nodeName"] == node]
    return any(end["conditions"]["ready"] for end in ends)


def ready(network: Network, name: str) -> bool:
    return is_ready(json.loads(network.lab.kubectl("get", "node", name, "-o", "json")))


def test_repairs_are_said_in_events(network: Network) -> None:
    # What was broken while no proxy ran is set up anew and not called a repair.
    network.lab.ssh("node1", "nft flush ruleset; ip link set wherry0 down")

    repairs = {"ServiceRulesRepaired", "PodNetworkRepaired"}
    eventually(lambda: repairs <= messages(network, "reason"), 20, "both repairs are told as events")


def test_a_policy_shuts_pods_off_and_its_end_lets_them_in_again(network: Network) -> None:
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "closed"},
              "spec": {"podSelector": {"matchLabels": {"app": "demo"}},
                       "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}]}]}}  # fmt: skip
    network.lab.kubectl("apply", "-f", "-", stdin=json.dumps(policy))
    try:
        # A node always reaches its own pods, also through a service.
        eventually(lambda: "service" not in network.reached()["pod-node1"], 20, "the policy holds")
        found = run([*trace(network), "pod/asker-node1", "service/demo"], check=False)
        assert found.returncode == 1 and "these network policies judge it: ingress default/closed" in found.stdout
    finally:
        network.lab.kubectl("delete", "networkpolicy", "closed")
    eventually(network.whole, 20, "everybody reaches everybody again")


def trace(network: Network) -> list[str]:
    return [*WHERRY, "trace", "--kubeconfig", str(network.lab.files / "admin.kubeconfig")]


def test_nodes_on_different_segments_reach_each_other_by_vxlan(network: Network) -> None:
    # With addresses of no network the nodes take each other for machines beyond a router.
    narrow = "ip -4 -o addr show eth0 | sed 's/.* \\([0-9.]*\\)\\/24 .*/\\1/' | while read a; do "
    narrow += "ip addr add $a/32 dev eth0; ip addr del $a/24 dev eth0; ip route add ${a%.*}.0/24 dev eth0; done"
    wide = "ip -4 -o addr show eth0 | sed 's/.* \\([0-9.]*\\)\\/32 .*/\\1/' | while read a; do "
    wide += "ip addr del $a/32 dev eth0; ip addr add $a/24 dev eth0; done"
    on_all(network, narrow)
    try:
        eventually(lambda: all("vxlan" in found for found in routes(network)), 30, "all go by VXLAN")
        eventually(network.whole, 30, "everybody reaches everybody by VXLAN")
        network.lab.ssh("node2", "nft 'add table ip fw; add chain ip fw in { type filter hook input priority -5; }; "
                                 "add rule ip fw in udp dport 4789 drop'")  # fmt: skip
        found = run([*trace(network), "pod/asker-node1", "pod/asker-node2:8080"], check=False)
        assert found.returncode == 1 and "a firewall between node1 and node2 drops UDP port 4789" in found.stdout
        said = "a firewall between node1 and node2 drops UDP port 4789"
        eventually(lambda: any(said in one for one in messages(network)), 40, "the event about VXLAN")
        network.lab.ssh("node2", "nft delete table ip fw")
        eventually(network.whole, 30, "everybody reaches everybody by VXLAN again")
    finally:
        network.lab.ssh("node2", "nft delete table ip fw 2>/dev/null", check=False)
        on_all(network, wide)
    eventually(lambda: not any("vxlan" in found for found in routes(network)), 30, "all go directly again")
    eventually(network.whole, 30, "everybody reaches everybody directly again")


def on_all(network: Network, command: str) -> list[str]:
    """What a command writes on each node."""
    with ThreadPoolExecutor(len(NODES)) as pool:
        return list(pool.map(lambda name: network.lab.ssh(name, command), NODES))


def routes(network: Network) -> list[str]:
    """Each node's routes to the pods of others."""
    return on_all(network, "ip route show proto 87 | grep via || true")


def messages(network: Network, field: str = "message") -> set[str]:
    """What all events say, or their reasons."""
    return {event[field] for event in network.lab.objects("events", "-A")}


def test_a_trace_names_every_hop(network: Network) -> None:
    found = run([*trace(network), "pod/asker-node1", "service/demo"])
    for words in ("pod default/asker-node1", "chain spread-3", "route 10.244.", "node1 -> node2", "accepted"):
        assert words in found.stdout, found.stdout
    assert "broken" not in found.stdout.lower()
