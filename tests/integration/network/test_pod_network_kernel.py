"""Sandboxes on a real kernel: wired, idempotent, repaired after a crash, and gone without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from namespace_lab import CIDRS, CallFailed, Host, Lab, node, two_nodes
from proxy_site import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def lab() -> Iterator[Lab]:
    made = Lab()
    yield made
    made.close()


@pytest.fixture
def host(lab: Lab) -> Host:
    lab.segment("lan")
    made = lab.host("one", "lan", "192.168.9.11/24")
    made.open(state=made.state, cidrs=[CIDRS["one"]])
    return made


def test_a_sandbox_reaches_node_and_neighbour_and_is_reached(host: Host) -> None:
    first, second = host.attach(sandbox="a"), host.attach(sandbox="b")
    assert first["gateway"] == "10.244.1.1"
    assert first["namespace_path"] == "/run/netns/a"
    host.serve("node", 80)
    host.serve("b", 80, pod="b")
    assert host.ask(second["addresses"][0], 80, pod="a") == [f"b {first['addresses'][0]} 2"]
    assert host.answer("10.244.1.1", 80, pod="a") == "node"
    assert host.answer(second["addresses"][0], 80) == "b"


def test_attach_again_changes_nothing(host: Host) -> None:
    before = host.attach(sandbox="a")
    # The kernel tells of a bridge's first carrier a moment later.
    wait_for(lambda: "state UP" in host.sh("ip -o link show wherry0"), "the bridge has a carrier")
    links = host.sh("ip -o link")
    assert host.attach(sandbox="a") == before
    assert host.sh("ip -o link") == links


def test_detach_leaves_no_trace(host: Host) -> None:
    before = host.counts()
    for name in "abc":
        host.attach(sandbox=name, host_ports=[{"host_port": 8000 + ord(name), "container_port": 80}])
    for name in "abc":
        host.detach(sandbox=name)
        host.detach(sandbox=name)
    assert host.attached() == {}
    # The kernel ends a namespace, and the link that leads to it, a moment after its last user.
    wait_for(lambda: host.counts() == before, "nothing is left")


def test_sandboxes_that_end_together_leave_no_trace_and_the_others_alone(host: Host) -> None:
    host.attach(sandbox="stays")
    host.sh("ip link add mine group 7 type veth peer name other")
    before = host.counts()
    names = [f"pod-{number}" for number in range(8)]
    for name in names:
        host.attach(sandbox=name)
    host.detach_together(sandboxes=[*names, "never-was"])
    wait_for(lambda: host.counts() == before, "nothing is left of those that ended")
    assert list(host.attached()) == ["stays"]
    host.serve("stays", 80, pod="stays")
    assert host.answer(host.attached()["stays"]["addresses"][0], 80) == "stays"


def test_a_sandbox_whose_namespace_somebody_holds_is_cut_off_and_leaves_no_link(host: Host) -> None:
    held = host.attach(sandbox="a")
    host.serve("a", 80, pod="a")
    assert host.answer(held["addresses"][0], 80) == "a"
    host.detach(sandbox="a")
    assert host.ask(held["addresses"][0], 80)[0].startswith("error ")
    assert "state DOWN" in host.sh("ip -o link show type veth master wherry0")
    assert host.repair_pods() == [], "it is nobody else's doing"
    assert host.sh("ip -o link show type veth master wherry0") == ""
    assert host.attach(sandbox="a")["addresses"] != held["addresses"]


def test_a_new_process_finds_the_sandboxes_of_the_old_one(host: Host) -> None:
    before = host.attach(sandbox="a")
    host.open(state=host.state, cidrs=[CIDRS["one"]])
    assert host.attached() == {"a": before}
    assert host.attach(sandbox="b")["addresses"] != before["addresses"]


@pytest.mark.parametrize("damage", [
    "ip netns exec a ip link del eth0",
    "ip netns exec a ip addr flush dev eth0",
    "ip netns exec a ip route flush table main",
    "ip netns exec a ip link set lo down",
    "ip link del $(ip -o link show type veth master wherry0 | sed 's/.*: \\(veth[^@]*\\)@.*/\\1/')",
    "ip netns del a",
    "umount /run/netns/a",
    "ip link del wherry0",
])  # fmt: skip
def test_attach_repairs_what_a_crash_or_a_person_left_half(host: Host, damage: str) -> None:
    before = host.attach(sandbox="a")
    host.sh(damage)
    assert host.attach(sandbox="a") == before
    host.serve("a", 80, pod="a")
    host.serve("node", 81)
    assert host.answer(before["addresses"][0], 80) == "a"
    assert host.answer("10.244.1.1", 81, pod="a") == "node"
    assert len(host.sh("ip -o link show type veth master wherry0").splitlines()) == 1


LINKS = "ip -o link show type veth master wherry0 | grep -o 'veth[0-9a-f]*'"


@pytest.mark.parametrize(("damage", "said"), [
    (f"for v in $({LINKS}); do ip link del $v; done", "of b again"),
    (f"for v in $({LINKS}); do ip link set $v down; done", "of a up"),
    ("ip netns exec a ip link del eth0", "of a again"),
    ("nft flush ruleset", "nftables table wherry-hostports of IPv4: "),
    ("nft flush map ip wherry-hostports ports", "nftables table wherry-hostports of IPv4: 1 added"),
])  # fmt: skip
def test_what_somebody_takes_away_of_pods_is_made_again_and_said(lab: Lab, host: Host, damage: str, said: str) -> None:
    client = lab.host("client", "lan", "192.168.9.50/24")
    port = {"host_port": 8000, "container_port": 80}
    held = {name: host.attach(sandbox=name, host_ports=[port] if name == "a" else []) for name in "ab"}
    for name in "ab":
        host.serve(name, 80, pod=name)
    assert host.repair_pods() == []
    host.sh(damage)
    changes = host.repair_pods()
    assert any(said in one for one in changes), changes
    assert host.repair_pods() == []
    assert [host.answer(held[name]["addresses"][0], 80) for name in "ab"] == ["a", "b"]
    assert client.answer("192.168.9.11", 8000) == "a"
    host.detach(sandbox="a")
    assert host.repair_pods() == []


def test_what_cannot_be_repaired_keeps_nothing_else_from_it(host: Host) -> None:
    held = {name: host.attach(sandbox=name, host_ports=[]) for name in "abc"}
    host.serve("c", 80, pod="c")
    host.sh(f"for v in $({LINKS}); do ip link del $v; done")
    for name in "ab":
        host.sh(f"ip netns exec {name} ip link add eth0 type bridge")
    made, *failed = host.repair_pods()
    assert made.endswith("of c again")
    assert [one.partition(" cannot be repaired: ")[0] for one in failed] == ["the link of a", "the link of b"]
    assert host.answer(held["c"]["addresses"][0], 80) == "c"
    for name in "ab":
        host.sh(f"ip netns exec {name} ip link del eth0")
    assert len(host.repair_pods()) == 2, "they are tried again though nobody tells of a change"


def test_killing_the_process_between_any_two_steps_leaks_nothing(host: Host) -> None:
    before = host.counts()
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from api.runtime import SystemRuntime\n"
        "from agents.network.netlink_network import NetlinkPodNetwork\n"
        "network = NetlinkPodNetwork(Path(sys.argv[2]), SystemRuntime()); network.configure(('10.244.1.0/24',))\n"
        "print('ready', flush=True)\n"
        "for number in range(1000): network.attach(f'crash-{number}')\n"
    )
    root = str(Path(__file__).resolve().parents[3])
    for _ in range(4):
        pid = host.start(argv=[sys.executable, "-c", program, root, host.state])
        host.sh("for i in 1 2 3 4 5 6 7 8; do sleep 0.02; ip netns | grep -q crash- && break; done")
        assert host.kill(pid=pid, number=signal.SIGKILL) == -signal.SIGKILL
    host.open(state=host.state, cidrs=[CIDRS["one"]])
    left = host.attached()
    assert left, "the program was killed before it attached anything"
    addresses = [held["addresses"][0] for held in left.values()]
    assert len(set(addresses)) == len(addresses)
    for name in left:
        host.detach(sandbox=name)
    wait_for(lambda: host.counts() == before, "nothing is left")


def test_a_pods_bandwidth_is_limited_in_both_directions(host: Host) -> None:
    host.attach(sandbox="free")
    limited = {"ingress": 20_000_000, "egress": 10_000_000}
    address = host.attach(sandbox="slow", bandwidth=limited)["addresses"][0]
    host.attach(sandbox="slow", bandwidth=limited)
    assert "rate 10Mbit" in host.sh("ip netns exec slow tc qdisc show dev eth0")
    assert host.sh("tc qdisc show").count("rate 20Mbit") == 1
    assert host.repair_pods() == []
    host.sh("ip netns exec slow tc qdisc del dev eth0 root")
    host.sh("tc qdisc del dev $(tc qdisc show | sed -n 's/^qdisc tbf .* dev \\(veth[^ ]*\\).*/\\1/p') root")
    assert host.repair_pods() == ["limited what slow takes again", "limited what slow sends again"]
    assert host.repair_pods() == []
    for name in ("free", "slow"):
        host.serve(name, 80, pod=name)
    started = time.monotonic()
    assert host.answer(address, 80, pod="free", size=5_000_000) == "slow"
    assert time.monotonic() - started > 1.0
    assert "rate 10Mbit" in host.sh("ip netns exec slow tc qdisc show dev eth0")
    assert host.sh("tc qdisc show").count("rate 20Mbit") == 1


def test_an_exhausted_network_is_said_with_its_name(host: Host) -> None:
    host.open(state=host.state, cidrs=["10.244.7.0/30"])
    host.attach(sandbox="a")
    with pytest.raises(CallFailed, match=r"sandbox b gets no address: all of podCIDR 10\.244\.7\.0/30 are in use"):
        host.attach(sandbox="b")


def test_a_host_port_leads_to_its_pod_from_outside_inside_and_itself(lab: Lab, host: Host) -> None:
    client = lab.host("client", "lan", "192.168.9.50/24")
    ports = [{"host_port": 8080, "container_port": 80}, {"host_port": 9090, "container_port": 80,
             "host_address": "192.168.9.11"}]  # fmt: skip
    host.attach(sandbox="web", host_ports=ports)
    host.attach(sandbox="other")
    host.serve("web", 80, pod="web")
    assert client.ask("192.168.9.11", 8080)[0].startswith("web 192.168.9.50")
    assert client.answer("192.168.9.11", 9090) == "web"
    assert host.answer("192.168.9.11", 8080, pod="other") == "web"
    assert host.answer("192.168.9.11", 8080) == "web"
    assert host.answer("192.168.9.11", 8080, pod="web") == "web"
    assert host.answer("127.0.0.1", 8080) == "web"
    host.sh("echo 0 > /proc/sys/net/ipv4/conf/wherry0/route_localnet")
    assert host.repair_pods() == ["let the node reach host ports at 127.0.0.1 again"]
    assert host.answer("127.0.0.1", 8080) == "web"
    host.detach(sandbox="web")
    assert client.answer("192.168.9.11", 8080) == "error"


def test_pods_share_a_host_port_if_its_address_or_protocol_differs(host: Host) -> None:
    port = {"host_port": 54323, "container_port": 8080}
    for name, protocol, address in (("loopback", "TCP", "127.0.0.1"), ("stream", "TCP", "192.168.9.11"),
                                    ("datagram", "UDP", "192.168.9.11")):  # fmt: skip
        host.attach(sandbox=name, host_ports=[port | {"protocol": protocol, "host_address": address}])
        host.serve(name, 8080, pod=name, protocol=protocol.lower())
    assert host.answer("127.0.0.1", 54323, source="192.168.9.11") == "loopback"
    assert host.answer("127.0.0.1", 54323) == "loopback"
    assert host.answer("192.168.9.11", 54323) == "stream"
    assert host.answer("192.168.9.11", 54323, protocol="udp") == "datagram"


def test_a_pod_reaches_nothing_at_the_nodes_loopback_while_host_ports_are_there_and_after(host: Host) -> None:
    held = {}
    at_home = {"host_port": 8081, "container_port": 80, "host_address": "127.0.0.1"}
    for name in ("web", "bold"):
        ports = [{"host_port": 8080, "container_port": 80}, at_home] if name == "web" else []
        held[name] = host.attach(sandbox=name, host_ports=ports)
    host.serve("private", 7000)
    host.serve("web", 80, pod="web")
    gateway = held["bold"]["gateway"]
    host.sh(
        "ip netns exec bold sh -ec 'echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet;"
        f" ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via {gateway}'"
    )
    assert host.answer("127.0.0.1", 7000) == "private"
    own = held["bold"]["addresses"][0]
    assert host.answer("127.0.0.1", 8081) == "web"
    for port in (7000, 8081, 8080):
        assert host.answer("127.0.0.1", port, pod="bold", source=own) == "error"
    host.detach(sandbox="web")
    assert host.answer("127.0.0.1", 7000, pod="bold", source=own) == "error"


@pytest.mark.parametrize("address", ["anywhere", "10.0.0", "fe80::1%eth0"])
def test_a_host_port_at_no_address_fails_its_own_pod_only(host: Host, address: str) -> None:
    port = {"host_port": 8080, "container_port": 80}
    with pytest.raises(CallFailed, match=f"'{address}' is no address"):
        host.attach(sandbox="odd", host_ports=[port | {"host_address": address}])
    host.attach(sandbox="web", host_ports=[port])
    host.serve("web", 80, pod="web")
    assert host.answer("192.168.9.11", 8080) == "web"
    assert list(host.attached()) == ["web"]


def test_a_udp_client_with_one_port_follows_a_host_port_to_the_next_pod(lab: Lab, host: Host) -> None:
    client = lab.host("client", "lan", "192.168.9.50/24")

    def answer(port: int) -> str:
        return client.answer("192.168.9.11", port, protocol="udp", source_port=5000 + port)

    for number, (name, ports) in enumerate((("old", (53, 54)), ("new", (53,)))):
        wanted = [{"host_port": port, "container_port": 8080, "protocol": "UDP"} for port in ports]
        if number:
            host.detach(sandbox="old")
            assert answer(53) == answer(54) == "error"
        host.attach(sandbox=name, host_ports=wanted)
        host.serve(name, 8080, pod=name, protocol="udp")
        assert answer(53) == name
    host.attach(sandbox="other", host_ports=[{"host_port": 54, "container_port": 8080, "protocol": "UDP"}])
    host.serve("other", 8080, pod="other", protocol="udp")
    assert (answer(53), answer(54)) == ("new", "other")


@pytest.mark.parametrize("routed", [False, True], ids=["direct", "vxlan"])
def test_pods_of_two_nodes_reach_each_other(lab: Lab, routed: bool) -> None:
    one, two = two_nodes(lab, routed=routed)
    source = one.attached()["web"]["addresses"][0]
    target = two.attached()["web"]["addresses"][0]
    assert one.ask(target, 8080, pod="web") == [f"two {source} 2"]
    assert two.answer(source, 8080, pod="web") == "one"
    assert one.answer(target, 8080) == "two"
    assert one.ask(target, 8080, pod="web", size=3_000_000) == [f"two {source} 3000001"]
    assert "mtu 1500 " in one.sh("ip netns exec web ip link show eth0")
    assert ("wherry-vxlan: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 " in one.sh("ip link")) is routed


@pytest.mark.parametrize("routed", [False, True], ids=["direct", "vxlan"])
def test_routes_are_repaired_and_removed_without_a_trace(lab: Lab, routed: bool) -> None:
    one, two = two_nodes(lab, routed=routed)
    address = "192.168.10.12" if routed else "192.168.9.12"
    arguments = {"nodes": [node("two", address, CIDRS["two"])], "name": "one", "address": "192.168.9.11",
                 "cidr": CIDRS["one"]}  # fmt: skip
    assert one.routes(**arguments) == []
    damages = ["ip route del 10.244.2.0/24"]
    if routed:
        damages += ["ip link del wherry-vxlan", "ip neigh flush nud permanent dev wherry-vxlan",
                    "bridge fdb del $(bridge fdb show dev wherry-vxlan | cut -d' ' -f1) dev wherry-vxlan self",
                    "ip addr flush dev wherry-vxlan", "ip link set wherry-vxlan down",
                    "ip link set wherry-vxlan mtu 1500", "ip link set eth0 mtu 1400"]  # fmt: skip
    target = two.attached()["web"]["addresses"][0]
    for damage in damages:
        one.sh(damage)
        assert one.routes(**arguments), damage
        assert one.answer(target, 8080, pod="web") == "two", damage
        assert one.routes(**arguments) == [], damage
    assert ("mtu 1350 " in one.sh("ip link")) is routed
    assert one.ask(target, 8080, pod="web", size=1_000_000)[0].startswith("two ")
    one.unroute()
    assert "proto 87" not in one.sh("ip route")
    assert "wherry-vxlan" not in one.sh("ip link")


def test_nothing_is_left_in_the_machines_own_namespace() -> None:
    def everything() -> str:
        commands = ["ip -o link", "ip -4 route show table all", "nft list ruleset", "ip netns", "cat /proc/mounts"]
        return "".join(subprocess.run(["sh", "-c", c], capture_output=True, text=True).stdout for c in commands)

    before = everything()
    made = Lab()
    two_nodes(made, routed=True)
    during = everything()
    made.close()
    assert during == before
    assert everything() == before
