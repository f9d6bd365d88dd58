"""How fast services reach the kernel, beside `nft -f` and iptables-style chains on the same machine in the same run.

    .venv/bin/python tests/bench/proxy_bench.py [--services 1000] [--many 10000]

Everything happens in a network namespace of its own, which ends with the process. Needs root and nft.
Milliseconds are of CPU, in the kernel and in the program, so that a busy machine changes them little.
Latency is that of the first packet of a connection, measured by a client in a pod's place, per rule layout. Nobody
takes the connections while the clock runs: whether a server wakes up on this processor or on another doubles the time,
and says nothing of rules.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agents.network.nftables.table import NftTable
from agents.network.nftables.values import Ruleset
from agents.proxy import rules
from agents.proxy.composition import Composition
from agents.proxy.endpoints import NodeView

NODE = NodeView("one")
CLUSTER = ("10.244.0.0/16",)
ENDPOINTS = 10
SERVER = ("127.0.0.1", 18080)
CHANGES = 50
FEW = 10
TURNS, ROUNDS, CONNECTIONS = 2, 2, 400
LISTENER: list[socket.socket] = []


def objects(count: int, *, server: tuple[str, int] | None = None) -> tuple[list[dict], list[dict]]:
    """Services and their slices; with `server` the last service leads to that address alone."""
    services, slices = [], []
    for number in range(count):
        name, address = f"svc-{number}", f"10.{96 + number // 65025}.{number // 255 % 255}.{number % 255 + 1}"
        entries = [{"addresses": [f"10.244.{(number + i) // 200 % 200}.{(number + i) % 200 + 2}"], "nodeName": "two",
                    "conditions": {"ready": True}} for i in range(ENDPOINTS)]  # fmt: skip
        port = 8080
        if server and number == count - 1:
            entries, port = [entries[0] | {"addresses": [server[0]]}], server[1]
        services.append({"metadata": {"namespace": "default", "name": name},
                         "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]}})  # fmt: skip
        slices.append({"metadata": {"namespace": "default", "name": name,
                                    "labels": {"kubernetes.io/service-name": name}},
                       "addressType": "IPv4", "ports": [{"name": "", "port": port}], "endpoints": entries})  # fmt: skip
    return services, slices


def timed(function: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of CPU that a call takes."""
    gc.collect()
    started = clock()
    function()
    return clock() - started


def children() -> float:
    """Seconds of CPU that ended child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def nft(script: str) -> float:
    """Seconds of CPU that `nft -f` takes for a script."""
    return timed(lambda: subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True), children)


def one_chain_a_service(services: list[dict], slices: list[dict]) -> str:
    """The compact layout for nft: a verdict map to one chain a service, which draws from an anonymous map."""
    chains, elements = [], []
    for service, endpoint_slice in zip(services, slices, strict=True):
        name, address = service["metadata"]["name"], service["spec"]["clusterIP"]
        port = endpoint_slice["ports"][0]["port"]
        ends = ", ".join(f"{i} : {e['addresses'][0]} . {port}" for i, e in enumerate(endpoint_slice["endpoints"]))
        count = len(endpoint_slice["endpoints"])
        chains.append(f"chain {name} {{ meta l4proto tcp dnat ip to numgen random mod {count} map {{ {ends} }}\n}}")
        elements.append(f"{address} . tcp . 80 : goto {name}")
    return (
        "table ip compact {\n map services { type ipv4_addr . inet_proto . inet_service : verdict; elements = {"
        + ",".join(elements) + "} }\n" + "\n".join(chains)
        + "\nchain out { type nat hook output priority -100; ip daddr . meta l4proto . th dport vmap @services\n}\n}\n"
    )  # fmt: skip


def one_rule_a_service(services: list[dict], slices: list[dict]) -> str:
    """The layout of iptables: one rule after another compares the address, a chain a service and an endpoint."""
    jumps, chains = [], []
    for service, endpoint_slice in zip(services, slices, strict=True):
        name, address = service["metadata"]["name"], service["spec"]["clusterIP"]
        port, ends = endpoint_slice["ports"][0]["port"], endpoint_slice["endpoints"]
        draws = []
        for index, end in enumerate(ends):
            chains.append(f"chain {name}-{index} {{ meta l4proto tcp dnat to {end['addresses'][0]}:{port}\n}}")
            left = len(ends) - index
            draws.append(f"numgen random mod {left} < 1 goto {name}-{index};" if left > 1 else f"goto {name}-{index};")
        chains.append(f"chain {name} {{ {' '.join(draws)}\n}}")
        jumps.append(f"ip daddr {address} tcp dport 80 goto {name};")
    body = "\n".join(chains)
    return f"table ip linear {{\n{body}\nchain out {{ type nat hook output priority -100; {' '.join(jumps)}\n}}\n}}\n"


@dataclass
class Ours:
    """The proxy's own way from objects to the kernel."""

    services: list[dict]
    slices: list[dict]

    def __post_init__(self) -> None:
        self.table = NftTable(rules.TABLE)
        self.composition = Composition(rules.base(CLUSTER))

    def part(self, number: int, endpoint_slice: dict) -> Ruleset:
        return rules.service_rules(self.services[number], [endpoint_slice], NODE, CLUSTER).ruleset

    def decide(self) -> None:
        for number, endpoint_slice in enumerate(self.slices):
            self.composition.replace(str(number), self.part(number, endpoint_slice))

    def apply(self) -> None:
        self.table.reconcile(self.composition.whole())

    def change(self, number: int, endpoint_slice: dict) -> None:
        self.table.replace(*self.composition.replace(str(number), self.part(number, endpoint_slice)))

    def remove(self) -> None:
        self.table.remove()
        self.table.close()


def first_packets(address: str, port: int = 80) -> float:
    """Median microseconds of a connect to an address; the first round warms the processor's caches."""
    samples: list[float] = []
    for number in range(ROUNDS + 1):
        for _ in range(CONNECTIONS):
            with socket.socket() as client:
                started = time.perf_counter()
                client.connect((address, port))
                if number:
                    samples.append(time.perf_counter() - started)
        with contextlib.suppress(BlockingIOError):
            while True:
                LISTENER[0].accept()[0].close()
    return statistics.median(samples) * 1e6


def measure(count: int) -> dict[str, float]:
    """All figures for so many services, in seconds and microseconds."""
    services, slices = objects(count, server=SERVER)
    figures = {"nft -f, a chain a service": nft(one_chain_a_service(services, slices))}
    figures["latency, a chain a service"] = first_packets(services[-1]["spec"]["clusterIP"])
    nft("delete table ip compact\n")
    ours = Ours(services, slices)
    figures["from nothing: decide"] = timed(ours.decide)
    figures["from nothing: apply"] = timed(ours.apply)
    fewer = [endpoint_slice | {"endpoints": endpoint_slice["endpoints"][1:]} for endpoint_slice in slices]
    changes = [timed(lambda n=n: ours.change(n, fewer[n])) for n in range(CHANGES)]
    figures["one service changed"] = statistics.median(changes)
    figures["the worst of them"] = max(changes)
    replaced = [dict(s, endpoints=[dict(s["endpoints"][0], addresses=["10.244.250.9"]), *s["endpoints"][1:]])
                for s in fewer[:CHANGES]]  # fmt: skip
    figures["one endpoint replaced"] = statistics.median(
        timed(lambda n=n: ours.change(n, replaced[n])) for n in range(CHANGES)
    )
    figures["compare with the kernel"] = timed(ours.apply)
    ours.remove()
    return figures


def measure_latency(counts: tuple[int, ...]) -> dict[int, float]:
    """Microseconds of the first packet among so many services.

    In turns, for what the machine remembers of earlier connections slows later ones down whatever the rules.
    """
    tables = {count: objects(count, server=SERVER) for count in counts}
    samples: dict[int, list[float]] = {count: [] for count in counts}
    for count in [*counts, *reversed(counts)] * TURNS:
        services, slices = tables[count]
        ours = Ours(services, slices)
        ours.decide()
        ours.apply()
        samples[count].append(first_packets(services[-1]["spec"]["clusterIP"]))
        ours.remove()
    return {count: statistics.median(found) for count, found in samples.items()}


def measure_linear(count: int) -> dict[str, float]:
    """The figures of iptables-style chains."""
    services, slices = objects(count, server=SERVER)
    figures = {"iptables-style chains": nft(one_rule_a_service(services, slices))}
    figures["latency, iptables-style"] = first_packets(services[-1]["spec"]["clusterIP"])
    nft("delete table ip linear\n")
    return figures


def report(counts: tuple[int, int], measured: list[dict[str, float]]) -> None:
    print(f"| {'':28} | {counts[0]:>12,} services | {counts[1]:>12,} services | ratio |")
    print(f"|{'-' * 30}|{'-' * 23}|{'-' * 23}|-------|")
    for name in measured[0]:
        first, second = measured[0][name], measured[1].get(name, float("nan"))
        unit, scale = ("µs", 1.0) if name.startswith("latency") else ("ms", 1000.0)
        print(f"| {name:28} | {first * scale:18.2f} {unit} | {second * scale:18.2f} {unit} | {second / first:5.1f} |")
    for count, figures in zip(counts, measured, strict=True):
        apply, decide = figures["from nothing: apply"], figures["from nothing: decide"]
        faster = figures["nft -f, a chain a service"] / apply
        print(
            f"{count:,} services: decided and applied in {apply + decide:.2f} s; "
            f"applied {faster:.1f} times as fast as nft -f applies a chain a service"
        )


def serve() -> None:
    LISTENER.append(socket.create_server(SERVER, backlog=2 * CONNECTIONS))
    LISTENER[0].setblocking(False)


def main() -> None:
    """Measure in a fresh network namespace and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10000)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.inside:
        command = ["unshare", "--net", sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--inside"]
        os.execvp(command[0], command)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "route", "add", "10.0.0.0/8", "dev", "lo"], check=True)
    serve()
    # One processor does the client's part and the server's: what is measured is the way through the rules.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    counts = (arguments.services, arguments.many)
    print(f"first packet: {first_packets(*SERVER):.1f} µs without rules")
    for count, taken in measure_latency((FEW, *counts)).items():
        print(f"first packet: {taken:.1f} µs with {count:,} services")
    measured = [measure(count) for count in counts]
    measured[0] |= measure_linear(arguments.services)
    report(counts, measured)


if __name__ == "__main__":
    main()
