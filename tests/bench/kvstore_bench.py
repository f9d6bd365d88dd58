"""Puts a second of the store's service against etcd in the same run, each put synced.

Rounds alternate between the two, so that what else the machine does hits both; medians are printed. CPU time of the
server for a put carries over to other machines better than the rate.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "kvstore"))

from kvstore_load import EtcdProtocol, PutProtocol, WherryProtocol, puts_per_second
from kvstore_processes import Etcd, Process, Service

ROUNDS = 5
SECONDS = 1.0
CLIENTS = (1, 64)
GOALS = {1: 1.0, 64: 0.5}


def cpu_seconds(pid: int) -> float:
    """Time that all threads of a process have run."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(process: Process, protocol: PutProtocol, clients: int) -> tuple[float, float]:
    """Puts a second, and the server's CPU microseconds for one."""
    before = cpu_seconds(process.pid)
    rate, puts = puts_per_second(protocol, clients, SECONDS)
    return rate, (cpu_seconds(process.pid) - before) / puts * 1e6


def compare(service: Service, etcd: Etcd) -> bool:
    """Print the table; whether the goals are met."""
    port = int(etcd.url.rpartition(":")[2])
    print(
        f"{'clients':>8} {'wherry/s':>9} {'etcd/s':>9} {'ratio':>6} {'goal':>5} {'wherry CPU µs':>14}"
        f" {'etcd CPU µs':>12}"
    )
    met = True
    for clients in CLIENTS:
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(measure(service, WherryProtocol(service.socket), clients))
            theirs.append(measure(etcd, EtcdProtocol(port), clients))
        our_rate, our_cpu = (statistics.median(column) for column in zip(*ours, strict=True))
        their_rate, their_cpu = (statistics.median(column) for column in zip(*theirs, strict=True))
        ratio = our_rate / their_rate
        met = met and ratio >= GOALS[clients]
        print(
            f"{clients:>8} {our_rate:>9.0f} {their_rate:>9.0f} {ratio:>6.2f} {GOALS[clients]:>5} "
            f"{our_cpu:>14.0f} {their_cpu:>12.0f}"
        )
    return met


def main() -> int:
    """Exit status 1 if a goal is missed."""
    if Etcd.binary is None:
        print("etcd is not installed (apt install etcd-server): nothing to compare with", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="kvstore-bench-", dir=os.environ.get("BENCH_DIR")) as directory:
        service, etcd = Service(Path(directory)), Etcd(Path(directory))
        service.start()
        try:
            etcd.start()
            try:
                return 0 if compare(service, etcd) else 1
            finally:
                etcd.stop()
        finally:
            service.stop()


if __name__ == "__main__":
    sys.exit(main())
