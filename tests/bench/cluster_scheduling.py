"""Scheduling through the API: the whole control plane with hollow nodes, measured as a user of the API sees it.

python tests/bench/cluster_scheduling.py [--nodes 100] [--pods 1000] [--replicas 500]
python tests/bench/cluster_scheduling.py --nodes 1000 --hold 20000 --minutes 10

The first form prints how fast pods are bound, how long one takes from creation to its binding at a steady pace, how
long a Deployment takes up and down, and as tables what a pod costs each process, and what a node at rest does. The
second fills the cluster and prints for each process, while it fills, at rest and while deployments roll: memory,
processors, and what a pod costs. docs/scale.md has these tables. Every wait has an end: a process that is gone, or work
that does not come to its end, ends the run with a sentence and status 1.
"""

from __future__ import annotations

import argparse
import os
import signal
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
from api.errors import NotFound
from api.objects import Object
from api.transport import TransportError

_WHERRY = (sys.executable, "-m", "control.cli.main")
_TICK = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 300.0
# Pods that come one at a time.
PACED = 100
# Processes without which no wait can come to its end.
_watched: dict[str, int] = {}
Usage = dict[str, tuple[float, float]]


@contextmanager
def cluster(directory: Path, nodes: int) -> Iterator[tuple[Client, dict[str, int]]]:
    """A control plane with hollow nodes: a client of it, and the process of each component."""
    server = _start("server", "--data-dir", str(directory), "--listen", "127.0.0.1:0", "--cluster-cidr", "10.0.0.0/12")
    hollow = None
    try:
        config = str(directory / "admin.kubeconfig")
        hollow = _start("hollow", "--kubeconfig", config, "--nodes", str(nodes))
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        _watched.update({_component(int(pid)): int(pid) for pid in children} | {"hollow nodes": hollow.pid})
        client = kubeconfig.client(config, "bench")
        # On a busy machine an answer may take long: that is measured, not an error.
        client.timeout = _START_SECONDS
        yield client, dict(_watched)
    finally:
        for process in (hollow, server):
            if process is not None:
                _end(process)


def _start(*arguments: str) -> subprocess.Popen[str]:
    """A command that says with its first line that it is ready."""
    process = subprocess.Popen([*_WHERRY, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    impatience = threading.Timer(_START_SECONDS, process.kill)
    impatience.start()
    ready = process.stdout.readline()
    impatience.cancel()
    if not ready:
        raise SystemExit(f"`wherry {arguments[0]}` did not start within {_START_SECONDS:.0f} s")
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _component(pid: int) -> str:
    return Path(os.readlink(f"/proc/{pid}/fd/1")).stem


def usage(processes: dict[str, int]) -> Usage:
    """(processor seconds, resident megabytes) of each process; ends the run if one of them is gone."""
    found = {}
    for name, pid in processes.items():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            raise SystemExit(f"{name} fell over (process {pid} is gone)") from None
        seconds = (int(fields[11]) + int(fields[12])) / _TICK
        found[name] = seconds, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return found


def table(title: str, columns: list[str], rows: dict[str, list[str]]) -> None:
    """Print a table as the documentation has it."""
    print(f"\n{title}\n\n| process | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, values in rows.items():
        print(f"| {name} | {' | '.join(values)} |")
    print(flush=True)


def spent(before: Usage, after: Usage, pieces: float) -> dict[str, str]:
    """Milliseconds of processor time a piece, for each process."""
    return {name: f"{(after[name][0] - before[name][0]) * 1000 / pieces:.2f}" for name in before}


class Observer:
    """Watches the pods and notes when each is first seen, bound, running and gone."""

    def __init__(self, client: Client) -> None:
        self.bound: dict[str, float] = {}
        self.running: dict[str, float] = {}
        self.gone: dict[str, float] = {}
        version = client.list("pods", "default", limit=1).resource_version
        self._watch = client.watch("pods", "default", resource_version=version)
        self._closing = False
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Follow no longer."""
        self._closing = True
        self._watch.close()
        self._thread.join(10)

    def _follow(self) -> None:
        try:
            self._note_all()
        except TransportError:
            if not self._closing:
                raise

    def _note_all(self) -> None:
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
        usage(_watched)
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


def warm_up(client: Client, observer: Observer) -> None:
    """One pod, so that what starts has started: service accounts, the scheduler's lead."""
    until(lambda: _exists(client, "serviceaccounts", "default"), "pods may be created")
    _create(client, "first")
    until(lambda: "first" in observer.running, "the first pod runs")


def _exists(client: Client, resource: str, name: str) -> bool:
    try:
        client.get(resource, name, "default")
    except NotFound:
        return False
    return True


def measure_rest(processes: dict[str, int], nodes: int, seconds: float) -> None:
    """What nodes that only renew their leases cost."""
    time.sleep(min(seconds, 10.0))
    before = usage(processes)
    time.sleep(seconds)
    costs = spent(before, usage(processes), seconds * nodes)
    title = f"A node at rest, of {nodes}: milliseconds of CPU a second and node, over {seconds:.0f} s"
    table(title, ["ms"], {name: [cost] for name, cost in costs.items()})


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
    """Fill the cluster, leave it alone, let deployments roll, and say what each costs."""
    size = min(200, pods)
    names = [f"held-{index}" for index in range(max(1, pods // size))]
    empty, began = usage(processes), time.monotonic()
    for name in names:
        client.create("deployments.apps", deployment(name, size))
    until(lambda: all(_settled(client, name, size) for name in names), "all replicas are available", 1800)
    count = len(names) * size
    print(f"{count} pods run after {time.monotonic() - began:.0f} s", flush=True)
    report("Filling", empty, usage(processes), time.monotonic() - began, count)
    for what, rolling in (("At rest", False), ("Rolling", True)):
        before, since = usage(processes), time.monotonic()
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
        if rolling:
            print(f"{rolls} deployments of {size} pods rolled in {seconds:.0f} s", flush=True)
        report(what, before, usage(processes), seconds, rolls * size)


def _settled(client: Client, name: str, replicas: int) -> bool:
    found = client.get("deployments.apps", name, "default")
    status: dict[str, Any] = found.get("status") or {}
    seen = status.get("observedGeneration") == found["metadata"]["generation"]
    time.sleep(0.05)
    return seen and all(status.get(part) == replicas for part in ("updatedReplicas", "availableReplicas", "replicas"))


def report(what: str, before: Usage, after: Usage, seconds: float, pods: int) -> None:
    """Memory and processors of every process, and where pods came, what one of them costs."""
    rows = {}
    columns = ["MB", "processors"] + (["ms of CPU a pod", "KB more a pod"] if pods else [])
    costs = spent(before, after, pods or 1)
    for name, (used, memory) in after.items():
        rows[name] = [f"{memory:.0f}", f"{(used - before[name][0]) / seconds:.3f}"]
        if pods:
            rows[name] += [costs[name], f"{(memory - before[name][1]) * 1024 / pods:.1f}"]
    table(f"{what}, {seconds:.0f} s" + (f", {pods} pods made" if pods else ""), columns, rows)


def main() -> None:
    """Run all, or hold."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--replicas", type=int, default=500)
    parser.add_argument("--hold", type=int, default=0, help="fill the cluster with so many pods instead")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to hold them: half at rest, half rolling")
    parser.add_argument("--rest", type=float, default=30.0, help="seconds for which nodes at rest are measured")
    arguments = parser.parse_args()
    # Who stops the run by SIGTERM wants its processes gone as well.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("stopped"))
    with (
        tempfile.TemporaryDirectory(prefix="wherry-bench-") as directory,
        cluster(Path(directory) / "server", arguments.nodes) as (client, processes),
    ):
        if arguments.hold:
            hold(client, processes, arguments.hold, arguments.minutes)
            return
        measure_rest(processes, arguments.nodes, arguments.rest)
        observer = Observer(client)
        warm_up(client, observer)
        before = usage(processes)
        measure_pace(client, observer, PACED, 5.0)
        usages = [usage(processes)]
        measure_burst(client, observer, arguments.pods)
        usages.append(usage(processes))
        measure_deployment(client, observer, arguments.replicas)
        usages.append(usage(processes))
        observer.close()
        burst = spent(usages[0], usages[1], arguments.pods)
        scaled = spent(usages[1], usages[2], arguments.replicas)
        mixed = spent(before, usages[2], PACED + arguments.pods + arguments.replicas)
        columns = ["created, bound, running", "of a Deployment, up and down again", "all of the run's together"]
        rows = {name: [burst[name], scaled[name], mixed[name]] for name in burst}
        table("A pod: milliseconds of CPU", columns, rows)
        rows = {name: [f"{memory:.0f}"] for name, (_, memory) in usage(processes).items()}
        table("Memory at the end", ["MB"], rows)


if __name__ == "__main__":
    main()
