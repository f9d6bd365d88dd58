"""How long pods take to start beside Podman itself, and what a kubelet with 30 idle pods costs.

    .venv/bin/python tests/bench/kubelet_bench.py [--pods 30] [--idle 60]

A node of its own in namespaces, with its own control plane. Needs root, Podman, crun, catatonit and busybox.
Podman is measured in turns with the kubelet, through the same socket, with containers of the same image: one container,
and a pod of Podman's own (infra container and container). In turns, because what else runs on a machine changes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration" / "kubelet"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from podman_host import BUSYBOX, NODE, PAUSE, Node, eventually

from agents.kubelet.runtime.podman_api import PodmanApi
from api.objects import is_true

ROUNDS = 8
COMMAND = ["sleep", "1000"]
TICKS = os.sysconf("SC_CLK_TCK")


def timed_in_turns(functions: Sequence[Callable[[int], object]], rounds: int = ROUNDS) -> list[float]:
    """The median of so many calls of each, in seconds."""
    found: list[list[float]] = [[] for _ in functions]
    for index in range(rounds):
        for function, times in zip(functions, found, strict=True):
            began = time.perf_counter()
            function(index)
            times.append(time.perf_counter() - began)
    return [statistics.median(times) for times in found]


def podman_container(api: PodmanApi, index: int) -> None:
    request = {"name": f"plain-{index}", "image": BUSYBOX, "command": COMMAND, "netns": {"nsmode": "host"}}
    api.post(f"/containers/{api.post('/containers/create', request)['Id']}/start")


def podman_pod(api: PodmanApi, index: int) -> None:
    pod = {"name": f"pod-{index}", "infra_image": PAUSE, "infra_command": ["/catatonit", "-P"],
           "netns": {"nsmode": "none"}}  # fmt: skip
    api.post("/pods/create", pod)
    request = {"name": f"in-pod-{index}", "image": BUSYBOX, "command": COMMAND, "pod": f"pod-{index}"}
    api.post("/containers/create", request)
    api.post(f"/pods/pod-{index}/start")


def create(node: Node, name: str) -> None:
    container = {"name": "app", "image": BUSYBOX, "command": COMMAND}
    spec = {"containers": [container], "nodeName": NODE, "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False}  # fmt: skip
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}}
    node.client.create("pods", body | {"spec": spec})


def ready(node: Node, name: str) -> bool:
    return is_true(node.client.get("pods", name, "default"), "Ready")


def start_one(node: Node, index: int) -> None:
    create(node, f"one-{index}")
    while not ready(node, f"one-{index}"):
        time.sleep(0.01)


def start_many(node: Node, count: int) -> float:
    began = time.perf_counter()
    for index in range(count):
        create(node, f"many-{index}")
    eventually(lambda: sum(is_true(pod, "Ready") for pod in many(node)) == count, "all pods are Ready", 180)
    return time.perf_counter() - began


def many(node: Node) -> list[dict[str, Any]]:
    return [pod for pod in node.client.list("pods", "default").items if pod["metadata"]["name"].startswith("many-")]


def delete_all(node: Node) -> None:
    for pod in node.client.list("pods", "default").items:
        node.client.delete("pods", pod["metadata"]["name"], "default", grace_period_seconds=0)
    eventually(lambda: not node.podman("ps", "--all", "--quiet").strip(), "nothing is left", 120)


def cpu_seconds(process: int) -> float:
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def memory(process: int) -> tuple[float, float]:
    """(resident, private) in MB."""
    found = {"Rss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in found:
            found[name] = int(value.split()[0])
    return found["Rss"] / 1024, (found["Private_Clean"] + found["Private_Dirty"]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pods", type=int, default=30)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds over which the idle kubelet is watched")
    arguments = parser.parse_args()
    node = Node("--sync-frequency", "60")
    try:
        node.start_podman()
        node.load_images()
        api = PodmanApi(str(node.podman_socket))
        node.start_cluster()
        eventually(lambda: node.client.list("serviceaccounts", "default").items, "pods may be made")
        plain, pod, one = timed_in_turns(
            [lambda i: podman_container(api, i), lambda i: podman_pod(api, i), lambda i: start_one(node, i)]
        )
        node.podman("pod", "rm", "--all", "--force", "--time", "0")
        node.podman("rm", "--force", "--time", "0", "--filter", "name=plain-")
        delete_all(node)
        print(f"podman: container {plain * 1000:.0f} ms, pod with one container {pod * 1000:.0f} ms")
        ratios = f"{one / pod:.2f} x podman's pod, {one / plain:.2f} x its container"
        print(f"kubelet: pod Ready after {one * 1000:.0f} ms: {ratios}")
        print(f"kubelet: {arguments.pods} pods at once Ready after {start_many(node, arguments.pods):.1f} s")
        time.sleep(10)
        process = node.pid("kubelet")
        began, before = time.monotonic(), cpu_seconds(process)
        time.sleep(arguments.idle)
        share = (cpu_seconds(process) - before) / (time.monotonic() - began)
        resident, private = memory(process)
        print(f"kubelet with {arguments.pods} idle pods: {share * 100:.2f} % of a core, {resident:.0f} MB resident, "
              f"{private:.0f} MB its own")  # fmt: skip
        delete_all(node)
    finally:
        node.close()


if __name__ == "__main__":
    main()
