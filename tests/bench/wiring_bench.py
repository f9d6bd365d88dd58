"""How long wiring a pod takes, beside the same steps by iproute2's `ip`, on the same machine in the same run.

    .venv/bin/python tests/bench/wiring_bench.py [--pods 100]

Everything happens in network and mount namespaces of its own, which end with the process. Needs root and ip.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agents.network.netlink_network import NetlinkPodNetwork
from api.runtime import SystemRuntime

AT_ONCE = 10
BY_IP = """
ip netns add {name}
ip link add v{name} mtu 1500 master br0 type veth peer name eth0 netns {name}
ip link set v{name} up type bridge_slave hairpin on
ip netns exec {name} sh -c 'ip link set lo up; ip link set eth0 up; ip addr add {address}/32 dev eth0;
  ip route add 10.245.0.1 dev eth0; ip route add default via 10.245.0.1'
"""


def milliseconds(calls: list[Callable[[], object]]) -> list[float]:
    """How long each call takes."""
    taken = []
    for call in calls:
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1000)
    return taken


def shell(script: str) -> None:
    subprocess.run(["sh", "-ec", script], check=True)


def report(name: str, taken: list[float]) -> float:
    """Print a line; the median."""
    ordered = sorted(taken)
    print(f"| {name:24} | {statistics.median(taken):8.1f} | {ordered[int(len(ordered) * 0.95)]:8.1f} |")
    return statistics.median(taken)


def measure(pods: int, state: Path) -> None:
    """Wire so many pods both ways, and take them off again."""
    network = NetlinkPodNetwork(state, SystemRuntime(), mtu=1500)
    network.configure(("10.244.0.0/23",))
    shell("ip link add br0 type bridge; ip addr add 10.245.0.1/16 dev br0; ip link set br0 up")
    names = [f"p{number}" for number in range(pods)]
    print("| milliseconds a pod       |   median |      p95 |\n|--------------------------|----------|----------|")
    ours = report("wherry: attach", milliseconds([lambda n=n: network.attach(n) for n in names]))
    report("wherry: attach again", milliseconds([lambda n=n: network.attach(n) for n in names]))
    report("wherry: detach", milliseconds([lambda n=n: network.detach(n) for n in names]))
    for name in names:
        network.attach(name)
    started = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(network.detach, names))
    report(f"wherry: detach {AT_ONCE} at once", [(time.perf_counter() - started) * 1000 / pods])
    scripts = [BY_IP.format(name=f"q{n}", address=f"10.245.{n // 200}.{n % 200 + 2}") for n in range(pods)]
    theirs = report("ip commands: attach", milliseconds([lambda s=s: shell(s) for s in scripts]))
    print(f"wiring by netlink takes {ours / theirs:.2f} of the time of ip commands")


def main() -> None:
    """Measure in fresh namespaces and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=100)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.inside:
        command = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c",
                   'mkdir -p /run/netns && mount -t tmpfs none /run/netns && exec "$@"', "sh",
                   sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--inside"]  # fmt: skip
        os.execvp(command[0], command)
    with tempfile.TemporaryDirectory(prefix="wherry-wiring-") as state:
        measure(arguments.pods, Path(state))


if __name__ == "__main__":
    main()
