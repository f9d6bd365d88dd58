"""Nodes made of namespaces: each a process with its own network and mounts, joined by a switch or a router.

Nothing is made in the machine's own namespaces: a switch is a bridge in a namespace of its own, and every link is
made there. When the processes end, the kernel removes everything.

Invariant: after `Lab.close` no process, link, namespace, mount or file of the lab is left.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CIDRS = {"one": "10.244.1.0/24", "two": "10.244.2.0/24"}
TRAFFIC = str(HERE / "namespace_traffic.py")


class CallFailed(Exception):
    """The node raised an exception; the text names it."""


class Host:
    """A namespace with a process in it; attributes that are not found here are calls of `namespace_node.Node`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.scratch = tempfile.TemporaryDirectory(prefix=f"wherry-{name}-")
        command = ["unshare", "--net", "--mount", "--propagation", "private", "--kill-child", "--fork",
                   "sh", "-c", 'mkdir -p /run/netns && mount -t tmpfs none /run/netns && exec "$@"', "sh",
                   sys.executable, str(HERE / "namespace_node.py")]  # fmt: skip
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = json.loads(self.process.stdout.readline())["pid"]
        self.sh("ip link set lo up")

    def __getattr__(self, call: str):
        def invoke(**arguments):
            self.process.stdin.write(json.dumps([call, arguments]) + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
            if "error" in answer:
                raise CallFailed(answer["error"])
            return answer["value"]

        return invoke

    def sh(self, script: str) -> str:
        """Run a shell script in the node's namespaces; its output."""
        done = self.run(argv=["sh", "-ec", script])
        assert done["code"] == 0, f"{self.name}: {script}: {done['out']}{done['err']}"
        return done["out"]

    @property
    def state(self) -> str:
        """A directory for the node's state."""
        return self.scratch.name

    def serve(self, name: str, port: int, *, pod: str = "", protocol: str = "tcp") -> int:
        """Start a server on the node, or in a pod; its pid."""
        argv = [sys.executable, "-I", TRAFFIC, "serve", protocol, str(port), name]
        return self.start(argv=["ip", "netns", "exec", pod, *argv] if pod else argv)

    def ask(
        self, address: str, port: int, *, pod: str = "", protocol: str = "tcp", count: int = 1, size: int = 1,
        source_port: int = 0, source: str = "",
    ) -> list[str]:  # fmt: skip
        """What a client on the node, or in a pod, gets from `count` connections."""
        argv = [sys.executable, "-I", TRAFFIC, "ask", protocol, address, str(port), str(count), str(size),
                str(source_port), source]  # fmt: skip
        done = self.run(argv=["ip", "netns", "exec", pod, *argv] if pod else argv, timeout=60)
        assert done["code"] == 0, done["err"]
        return done["out"].splitlines()

    def reach(self, *targets: str, pod: str = "") -> set[str]:
        """Those of the targets (ADDRESS:PORT) that take a connection from the node, or from a pod."""
        argv = [sys.executable, "-I", TRAFFIC, "reach", *targets]
        done = self.run(argv=["ip", "netns", "exec", pod, *argv] if pod else argv)
        assert done["code"] == 0, done["err"]
        return set(done["out"].split())

    def answer(self, address: str, port: int, **options) -> str:
        """Who answered one connection (its name), or the error."""
        return self.ask(address, port, **options)[0].split()[0]

    def counts(self) -> dict[str, int]:
        """How much there is of what could leak."""
        return {
            "links": len(self.sh("ip -o link").splitlines()),
            "addresses": len(self.sh("ip -o -4 addr").splitlines()),
            "namespaces": len(self.sh("ip netns").splitlines()),
            "routes": len(self.sh("ip -4 route show table all").splitlines()),
            "rules": len(self.sh("nft list ruleset").splitlines()),
            "mounts": len(self.sh("grep /run/netns /proc/self/mounts").splitlines()),
        }

    def close(self) -> None:
        """End the node."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        self.process.stdout.close()
        self.scratch.cleanup()


class Lab:
    """Hosts, and the switch that joins them."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.switch = Host("switch")

    def segment(self, bridge: str, address: str = "") -> None:
        """Make a segment; with an address the switch routes between it and the others."""
        self.switch.sh(f"ip link add {bridge} type bridge && ip link set {bridge} up")
        if address:
            self.switch.sh(f"ip addr add {address} dev {bridge}; echo 1 > /proc/sys/net/ipv4/ip_forward")

    def host(self, name: str, bridge: str, address: str, *, gateway: str = "") -> Host:
        """A host whose eth0 is on the segment."""
        host = self.hosts[name] = Host(name)
        self.switch.sh(
            f"ip link add port-{name} type veth peer name eth0 netns {host.pid};"
            f"ip link set port-{name} master {bridge} up"
        )
        host.sh(f"ip addr add {address} dev eth0; ip link set eth0 up")
        if gateway:
            host.sh(f"ip route add default via {gateway}")
        return host

    def close(self) -> None:
        """End all."""
        for host in (*self.hosts.values(), self.switch):
            host.close()


def node(name: str, address: str, cidr: str) -> dict:
    """A Node object; addresses and ranges of two families are separated by commas."""
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": cidr.split(",")[0], "podCIDRs": cidr.split(",")},
        "status": {"addresses": [{"type": "InternalIP", "address": one} for one in address.split(",")]},
    }


def two_nodes(lab: Lab, *, routed: bool) -> tuple[Host, Host]:
    """Two nodes with a pod each (`web` with a server), on one segment or beyond a router."""
    lab.segment("lan", "192.168.9.1/24")
    if routed:
        lab.segment("wan", "192.168.10.1/24")
    one = lab.host("one", "lan", "192.168.9.11/24", gateway="192.168.9.1")
    address = "192.168.10.12" if routed else "192.168.9.12"
    two = lab.host("two", "wan" if routed else "lan", f"{address}/24", gateway=f"{address.rpartition('.')[0]}.1")
    nodes = [node("one", "192.168.9.11", CIDRS["one"]), node("two", address, CIDRS["two"])]
    for each, own in ((one, "192.168.9.11"), (two, address)):
        each.open(state=each.state, cidrs=[CIDRS[each.name]])
        each.attach(sandbox="web")
        each.routes(nodes=nodes, name=each.name, address=own, cidr=CIDRS[each.name])
        each.serve(each.name, 8080, pod="web")
    return one, two
