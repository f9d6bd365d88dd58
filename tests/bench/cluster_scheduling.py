"""Scheduling through the API: the whole control plane with hollow nodes, measured as a user of the API sees it.

python tests/bench/cluster_scheduling.py [--nodes 100] [--pods 1000] [--replicas 500]
python tests/bench/cluster_scheduling.py --nodes 1000 --hold 20000 --minutes 10

The first form prints how fast pods are bound, how long one takes from creation to its binding at a steady pace, and
how long a Deployment takes up and down. The second fills the cluster, lets deployments roll meanwhile, and prints
memory and processor time of every process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api import kubeconfig
from api.client import Client
from api.objects import Object

_WHERRY = (sys.executable, "-m", "control.cli.main")
_TICK = os.sysconf("SC_CLK_TCK")


@contextmanager
def cluster(directory: Path, nodes: int) -> Iterator[tuple[Client, dict[str, int]]]:
    """A control plane with hollow nodes: a client of it, and the process of each component."""
    server = _start("server", "--data-dir", str(directory), "--listen", "127.0.0.1:0")
    hollow = None
    try:
        config = str(directory / "admin.kubeconfig")
        hollow = _start("hollow", "--kubeconfig", config, "--nodes", str(nodes))
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        names = {_component(int(pid)): int(pid) for pid in children}
        yield kubeconfig.client(config, "bench"), names | {"hollow nodes": hollow.pid}
    finally:
        for process in (hollow, server):
            if process is not None:
                process.terminate()
                process.wait(60)


def _start(*arguments: str) -> subprocess.Popen[str]:
    """A command that says with its first line that it is ready."""
    process = subprocess.Popen([*_WHERRY, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if not process.stdout.readline():
        raise SystemExit(f"`wherry {arguments[0]}` did not start")
    return process


def _component(pid: int) -> str:
    return Path(os.readlink(f"/proc/{pid}/fd/1")).stem


def usage(pid: int) -> tuple[float, float]:
    """(processor seconds, resident megabytes) of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Observer:
    """Watches the pods and notes when each is first seen, bound, running and gone."""

    def __init__(self, client: Client) -> None:
        self.bound: dict[str, float] = {}
        self.running: dict[str, float] = {}
        self.gone: dict[str, float] = {}
        version = client.list("pods", "default", limit=1).resource_version
        self._watch = client.watch("pods", "default", resource_version=version)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        for event in self._watch:
            pod, now = event.object, time.monotonic()
            name = pod["metadata"].get("name", "")
            if pod.get("spec", {}).get("nodeName"):
                self.bound.setdefault(name, now)
            if (pod.get("status") or {}).get("phase") == "Running":
                self.running.setdefault(name, now)
            if event.type == "DELETED":
                self.gone[name] = now


def until(holds: Callable[[], bool], what: str, seconds: float = 300.0) -> None:
    """Wait; give up with what was waited for."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.01)


def template(app: str) -> Object:
    """A pod of 1m CPU."""
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}}}
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


def deployment(name: str, replicas: int) -> Object:
    """A Deployment of such pods."""
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name)}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def measure_burst(client: Client, observer: Observer, pods: int) -> None:
    """Bare pods, created as fast as a few clients can."""
    names = [f"burst-{index}" for index in range(pods)]
    began = time.monotonic()
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda name: _create(client, name), names))
    created = time.monotonic()
    until(lambda: all(name in observer.bound for name in names), "all pods are bound")
    seconds = max(observer.bound[name] for name in names) - began
    print(f"burst: {pods} pods created in {created - began:.2f} s, {pods / seconds:,.0f} bound/s", flush=True)
    until(lambda: all(name in observer.running for name in names), "all pods run")
    seconds = max(observer.running[name] for name in names) - began
    print(f"burst: all {pods} pods run after {seconds:.2f} s", flush=True)


def measure_pace(client: Client, observer: Observer, pods: int, a_second: float) -> None:
    """Bare pods, one at a time."""
    created = {}
    for index in range(pods):
        name = f"pace-{index}"
        created[name] = time.monotonic()
        _create(client, name)
        time.sleep(max(0.0, created[name] + 1 / a_second - time.monotonic()))
    until(lambda: all(name in observer.bound for name in created), "all pods are bound")
    waits = sorted(observer.bound[name] - began for name, began in created.items())
    middle, late = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    print(
        f"pace: creation to binding p50 {middle * 1000:.1f} ms, p99 {late * 1000:.1f} ms at {a_second:g}/s", flush=True
    )


def _create(client: Client, name: str) -> None:
    pod = template("bare")
    pod["metadata"] |= {"name": name, "namespace": "default"}
    client.create("pods", pod)


def measure_deployment(client: Client, observer: Observer, replicas: int) -> None:
    """Up from nothing, and down to nothing."""
    client.create("deployments.apps", deployment("scaled", 0))
    before, began = len(observer.bound), time.monotonic()
    client.patch("deployments.apps", "scaled", {"spec": {"replicas": replicas}}, "default")
    until(lambda: len(observer.bound) - before >= replicas, "all replicas are bound")
    print(f"deployment: 0 to {replicas} replicas bound in {time.monotonic() - began:.2f} s", flush=True)
    until(lambda: len(observer.running) - before >= replicas, "all replicas run")
    print(f"deployment: all run after {time.monotonic() - began:.2f} s", flush=True)
    before, began = len(observer.gone), time.monotonic()
    client.patch("deployments.apps", "scaled", {"spec": {"replicas": 0}}, "default")
    until(lambda: len(observer.gone) - before >= replicas, "all replicas are gone")
    print(f"deployment: {replicas} to 0 replicas gone in {time.monotonic() - began:.2f} s", flush=True)


def hold(client: Client, processes: dict[str, int], pods: int, minutes: float) -> None:
    """Fill the cluster, let deployments roll, and say what that costs."""
    size = 200
    names = [f"held-{index}" for index in range(max(1, pods // size))]
    began = time.monotonic()
    for name in names:
        client.create("deployments.apps", deployment(name, size))
    until(lambda: all(_settled(client, name, size) for name in names), "all replicas are available", 1800)
    print(f"{len(names) * size} pods run after {time.monotonic() - began:.0f} s", flush=True)
    report("filling", processes, dict.fromkeys(processes, (0.0, 0.0)), time.monotonic() - began)
    for what, rolling in (("at rest", False), ("rolling", True)):
        before, since = {name: usage(pid) for name, pid in processes.items()}, time.monotonic()
        rolls = 0
        while time.monotonic() - since < minutes * 30:
            if rolling:
                name = names[rolls % len(names)]
                stamp = {"template": {"metadata": {"annotations": {"rolled": str(rolls)}}}}
                client.patch("deployments.apps", name, {"spec": stamp}, "default")
                until(lambda name=name: _settled(client, name, size), f"{name} has rolled", 600)
                rolls += 1
            else:
                time.sleep(1)
        seconds = time.monotonic() - since
        print(f"{what}: {rolls} deployments of {size} rolled in {seconds:.0f} s", flush=True)
        report(what, processes, before, seconds)


def _settled(client: Client, name: str, replicas: int) -> bool:
    found = client.get("deployments.apps", name, "default")
    status: dict[str, Any] = found.get("status") or {}
    seen = status.get("observedGeneration") == found["metadata"]["generation"]
    time.sleep(0.05)
    return seen and all(status.get(part) == replicas for part in ("updatedReplicas", "availableReplicas", "replicas"))


def report(what: str, processes: dict[str, int], before: dict[str, tuple[float, float]], seconds: float) -> None:
    """Memory and processor of every process."""
    for name, pid in processes.items():
        spent, memory = usage(pid)
        print(f"{what}: {name}: {memory:.0f} MB, {(spent - before[name][0]) / seconds:.3f} processors", flush=True)


def main() -> None:
    """Run all, or hold."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--replicas", type=int, default=500)
    parser.add_argument("--hold", type=int, default=0, help="fill the cluster with so many pods instead")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to hold them")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="wherry-bench-") as directory,
        cluster(Path(directory) / "server", arguments.nodes) as (client, processes),
    ):
        if arguments.hold:
            hold(client, processes, arguments.hold, arguments.minutes)
            return
        before, began = {name: usage(pid) for name, pid in processes.items()}, time.monotonic()
        observer = Observer(client)
        measure_pace(client, observer, 100, 5.0)
        measure_burst(client, observer, arguments.pods)
        measure_deployment(client, observer, arguments.replicas)
        report("all", processes, before, time.monotonic() - began)


if __name__ == "__main__":
    main()
