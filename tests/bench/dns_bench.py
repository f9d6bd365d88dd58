"""How many questions a second the node's name server answers with one core, beside dnsmasq with the same names.

    .venv/bin/python tests/bench/dns_bench.py [--services 10000] [--questions 40000]

Each server runs as a process of its own on loopback; figures are questions per second of its CPU time, which a busy
machine does not change much, and questions per second of the clock. dnsmasq is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import dns.message

PORT = 15353
WINDOW = 64
TICKS = os.sysconf("SC_CLK_TCK")


def name_of(number: int) -> str:
    return f"svc-{number}.default.svc.cluster.local"


def address_of(number: int) -> str:
    return f"10.{96 + number // 65025}.{number // 255 % 255}.{number % 255 + 1}"


def serve(services: int) -> None:
    """The node's name server, as `wherry proxy` runs it."""
    import gevent.monkey

    gevent.monkey.patch_all()
    from agents.dns.resolver import Resolver
    from agents.dns.server import DnsServer
    from agents.dns.upstream import Upstream
    from agents.dns.zone import Zone, service_names
    from api.runtime import SystemRuntime

    clock = SystemRuntime()
    resolver = Resolver(Zone("cluster.local", ["10.0.0.0/8"]), Upstream((), clock), clock)
    started = time.perf_counter()
    for number in range(services):
        spec = {"clusterIP": address_of(number), "ports": [{"name": "http", "port": 80}]}
        service = {"metadata": {"name": f"svc-{number}", "namespace": "default"}, "spec": spec}
        resolver.update(str(number), service_names(service, [], "cluster.local"))
    print(f"{services:,} services taken in {time.perf_counter() - started:.2f} s", flush=True)
    stop = clock.event()
    DnsServer(resolver, clock, "127.0.0.1", PORT).start(stop)
    stop.wait()


def wherry(services: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).resolve()), "--serve", "--services", str(services)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    print(child.stdout.readline().strip())
    return child


def dnsmasq(services: int, directory: str) -> subprocess.Popen[str]:
    hosts = Path(directory) / "hosts"
    hosts.write_text("".join(f"{address_of(number)} {name_of(number)}\n" for number in range(services)))
    command = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--addn-hosts={hosts}",
               f"--port={PORT}", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root",
               "--conf-file=/dev/null", "--pid-file="]  # fmt: skip
    return subprocess.Popen(command, text=True)


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def ask(questions: list[bytes]) -> None:
    """Send the questions, so many at a time, and wait for every answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("127.0.0.1", PORT))
        asking.settimeout(2)
        for start in range(0, len(questions), WINDOW):
            batch = questions[start : start + WINDOW]
            for question in batch:
                asking.send(question)
            for _ in batch:
                asking.recv(4096)


def wait_until_it_answers() -> None:
    for _ in range(200):
        try:
            ask([dns.message.make_query(name_of(0), "A").to_wire()])
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the server does not answer")


def measure(name: str, start: Callable[[int], subprocess.Popen[str]], services: int, count: int) -> dict[str, float]:
    """Questions per CPU second: each name once, and a few names again and again."""
    child = start(services)
    try:
        wait_until_it_answers()
        pick = random.Random(1)
        once = [dns.message.make_query(name_of(n), "A", id=n & 0xFFFF).to_wire() for n in range(min(services, count))]
        few = [pick.choice(once[:500]) for _ in range(count)]
        figures = {}
        for kind, questions in (("asked once", once), ("asked again", few)):
            before, began = cpu_of(child.pid), time.perf_counter()
            ask(questions)
            used = max(cpu_of(child.pid) - before, 1 / TICKS)
            figures[kind] = len(questions) / used
            passed = len(questions) / (time.perf_counter() - began)
            print(f"| {name:8} | {kind:12} | {figures[kind]:12,.0f} | {passed:12,.0f} |")
        return figures
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=10000)
    parser.add_argument("--questions", type=int, default=40000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.services)
        return
    print("| server   | names        | a CPU second | a second     |")
    print("|----------|--------------|--------------|--------------|")
    ours = measure("wherry", wherry, arguments.services, arguments.questions)
    if shutil.which("dnsmasq"):
        with tempfile.TemporaryDirectory() as directory:
            theirs = measure("dnsmasq", lambda n: dnsmasq(n, directory), arguments.services, arguments.questions)
        ratios = ", ".join(f"{kind} {ours[kind] / theirs[kind]:.2f}" for kind in ours)
        print(f"wherry per CPU second as a multiple of dnsmasq: {ratios}")


if __name__ == "__main__":
    main()
