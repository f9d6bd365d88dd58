"""The path client → API server → store → watchers, measured with the whole control plane running.

On its own file and on etcd (from apt) in the same run, each several times; medians are printed beside the goals. The
CPU milliseconds that an operation costs carry over to other machines better than the rates.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "kvstore"))

from api_client import (
    JSON,
    MERGE_PATCH,
    Client,
    Request,
    Target,
    Watchers,
    cpu_seconds,
    proportional_megabytes,
    quantile,
    run,
)
from kvstore_processes import Etcd

COLLECTION = "/api/v1/namespaces/bench/configmaps"
GOALS = {
    "ready s": "<= 2",
    "memory idle MB (PSS)": "<= 200",
    "idle % of a core": "< 1",
    "create /s": ">= 1600",
    "get /s": ">= 3000",
    "patch /s": ">= 1100",
    "delete /s": ">= 1200",
    "list ms per 1,000": "<= 4",
    "watch p99 ms after the ack": "<= 6",
    "one event to all s": "<= 1",
}


def config_map(number: int, prefix: str = "object") -> bytes:
    """A ConfigMap of about 1 KiB."""
    metadata = {"name": f"{prefix}-{number:05}", "labels": {"app": "bench", "group": str(number % 10)}}
    data = {"payload": (f"{number:05} " * 200)[:1024]}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}).encode()


@dataclass
class ControlPlane:
    """A running `wherry server`."""

    directory: Path
    process: subprocess.Popen[str]
    ready_seconds: float
    parts: dict[str, int] = field(default_factory=dict)

    def target(self) -> Target:
        return Target.of(self.directory / "admin.kubeconfig")

    def cpu(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self.parts.items()}

    def memory(self) -> float:
        return sum(proportional_megabytes(pid) for pid in self.parts.values())


@contextmanager
def control_plane(store: str, *more: str) -> Iterator[ControlPlane]:
    """Start one, and end it whatever happens."""
    with tempfile.TemporaryDirectory(prefix="api-bench-", dir=os.environ.get("BENCH_DIR")) as name:
        directory = Path(name)
        command = [sys.executable, "-m", "control.cli.main", "server", "--data-dir", name, "--store", store]
        started = time.monotonic()
        process = subprocess.Popen([*command, "--listen", "127.0.0.1:0", *more], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("ready"):
                raise RuntimeError(f"wherry server did not start: {line}")
            found = ControlPlane(directory, process, time.monotonic() - started, {"server": process.pid})
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            for pid in children:
                found.parts[Path(os.readlink(f"/proc/{pid}/fd/1")).stem] = int(pid)
            yield found
        finally:
            process.terminate()
            process.wait(30)


class Bench:
    """One round on one control plane."""

    def __init__(self, plane: ControlPlane, options: argparse.Namespace) -> None:
        self.plane = plane
        self.options = options
        self.target = plane.target()
        self.figures: dict[str, float] = {}

    def round(self) -> dict[str, float]:
        self.figures["ready s"] = self.plane.ready_seconds
        self._idle()
        Client(self.target).ask(
            "POST", "/api/v1/namespaces", b'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"bench"}}'
        )
        names = [f"{COLLECTION}/object-{number:05}" for number in range(self.options.objects)]
        self._rate("create", [("POST", COLLECTION, config_map(number), JSON) for number in range(len(names))])
        self._rate("get", [("GET", name, b"", JSON) for name in names])
        self._one_connection(names)
        self._list()
        self._rate("patch", [("PATCH", name, b'{"data":{"extra":"more"}}', MERGE_PATCH) for name in names])
        self._rate("delete", [("DELETE", name, b"", JSON) for name in names])
        self._watch()
        if self.options.crowd:
            self._crowd()
        return self.figures

    def _idle(self) -> None:
        time.sleep(self.options.settle)
        before = sum(self.plane.cpu().values())
        time.sleep(self.options.idle)
        used = sum(self.plane.cpu().values()) - before
        self.figures["idle % of a core"] = used / self.options.idle * 100 if self.options.idle else 0.0
        self.figures["memory idle MB (PSS)"] = self.plane.memory()

    def _rate(self, name: str, requests: list[Request]) -> None:
        before = self.plane.cpu()
        load = run(self.target, requests, self.options.connections)
        used = {part: (seconds - before[part]) / load.count * 1e3 for part, seconds in self.plane.cpu().items()}
        self.figures[f"{name} /s"] = load.rate
        self.figures[f"{name} p99 ms"] = quantile(load.latencies, 0.99) * 1e3
        self.figures[f"{name} server CPU ms"] = sum(used.values())
        for part in ("apiserver", "kvstore", "controller-manager"):
            self.figures[f"{name} CPU ms of {part}"] = used[part]
        self.figures[f"{name} client CPU ms"] = load.client_cpu / load.count * 1e3

    def _one_connection(self, names: list[str]) -> None:
        count = max(1, len(names) // 10)
        made = [("POST", COLLECTION, config_map(number, "single"), JSON) for number in range(count)]
        self.figures["create /s, one connection"] = run(self.target, made, 1).rate
        self.figures["get /s, one connection"] = run(
            self.target, [("GET", n, b"", JSON) for n in names[:count]], 1
        ).rate

    def _list(self) -> None:
        client, times, count = Client(self.target), [], 0
        for _ in range(7):
            started = time.monotonic()
            body = client.ask("GET", COLLECTION)
            times.append(time.monotonic() - started)
            count = len(json.loads(body)["items"])
        self.figures["list ms per 1,000"] = statistics.median(times) * 1e6 / count

    def _watch(self) -> None:
        """Events to some watches while writes come at a rate that leaves the machine time."""
        events = 200
        version = json.loads(Client(self.target).ask("GET", f"{COLLECTION}?limit=1"))["metadata"]["resourceVersion"]
        path = f"{COLLECTION}?watch=true&resourceVersion={version}"
        memory = self.plane.memory()
        watchers = Watchers(self.target, path, self.options.watchers, events)
        self.figures["memory of a watch KB"] = (self.plane.memory() - memory) / self.options.watchers * 1024
        client, acknowledged, before = Client(self.target), [], self.plane.cpu()["apiserver"]
        for number in range(events):
            time.sleep(0.02)
            client.ask("POST", COLLECTION, config_map(number, "event"))
            acknowledged.append(time.monotonic())
        arrivals_by_watcher = watchers.arrivals()
        used = self.plane.cpu()["apiserver"] - before
        self.figures["CPU µs of an event and watcher"] = used / events / self.options.watchers * 1e6
        late = [
            max(0.0, arrival - acknowledged[number]) * 1e3
            for arrivals in arrivals_by_watcher
            for number, arrival in enumerate(arrivals)
        ]
        self.figures["watch p50 ms after the ack"] = quantile(late, 0.5)
        self.figures["watch p99 ms after the ack"] = quantile(late, 0.99)

    def _crowd(self) -> None:
        version = json.loads(Client(self.target).ask("GET", f"{COLLECTION}?limit=1"))["metadata"]["resourceVersion"]
        path = f"{COLLECTION}?watch=true&resourceVersion={version}"
        watchers = Watchers(self.target, path, self.options.crowd, 1)
        time.sleep(1)
        client = Client(self.target)
        started = time.monotonic()
        client.ask("POST", COLLECTION, config_map(0, "crowd"))
        self.figures["one event to all s"] = max(last[0] for last in watchers.arrivals()) - started
        self.figures["memory with the crowd MB"] = self.plane.memory()


def median_round(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def table(columns: dict[str, dict[str, float]]) -> str:
    """Figures in rows, goals beside them."""
    rows = [("", "goal", *columns)]
    for name in next(iter(columns.values())):
        rows.append((name, GOALS.get(name, ""), *(_number(column[name]) for column in columns.values())))
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    first, *others = widths
    return "\n".join(
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others))]) for row in rows
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def measure(store: Callable[[Path], Etcd] | None, options: argparse.Namespace) -> dict[str, float]:
    """The medians of some rounds, each on a control plane and a store of its own."""
    rounds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="api-bench-etcd-", dir=os.environ.get("BENCH_DIR")) as name:
            etcd = store(Path(name)) if store else None
            if etcd:
                etcd.start()
            try:
                servers = f"--apiservers={options.apiservers}"
                with control_plane(etcd.spec if etcd else "sqlite", servers) as plane:
                    rounds.append(Bench(plane, options).round())
            finally:
                if etcd:
                    etcd.stop()
    return median_round(rounds)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=3000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--apiservers", type=int, default=1)
    parser.add_argument("--watchers", type=int, default=100)
    parser.add_argument("--crowd", type=int, default=0, help="watches that one event goes to (10000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--settle", type=float, default=3.0, help="seconds before rest is measured")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds of rest that are measured")
    parser.add_argument("--stores", default="sqlite,etcd")
    options = parser.parse_args()
    columns = {}
    for store in options.stores.split(","):
        if store == "etcd" and Etcd.binary is None:
            print("etcd is not installed (apt install etcd-server): left out", file=sys.stderr)
            continue
        columns[store] = measure(Etcd if store == "etcd" else None, options)
    print(f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d', time.gmtime())}, median of {options.rounds}")
    print(table(columns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
