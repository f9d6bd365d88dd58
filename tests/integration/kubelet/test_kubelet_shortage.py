"""A real node runs short of memory, disk, inodes or process ids: who goes, what is told, what is collected."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pod_case import BUSYBOX, RUN, shell
from podman_host import NODE, PAUSE, SPEAKER, Node, eventually
from traces import NAMESPACE, create, pod, ready

from agents.kubelet.machine import read_pressure
from api.objects import Object, is_true

pytestmark = pytest.mark.integration

EMPTY = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
VOLUME = [{"name": "d", "emptyDir": {}}]


@contextmanager
def kubelet_with(node: Node, thresholds: str, disk: str = "") -> Iterator[None]:
    """The node's kubelet with thresholds of its own, and if wanted with its directory on a small file system."""
    directory = f"{node.directory}/kubelet"
    node.kill("kubelet", signal.SIGTERM)
    if disk:
        node.run("mount", "-t", "tmpfs", "-o", disk, "tmpfs", directory)
    quick = ("--housekeeping-interval", "1", "--eviction-pressure-transition-period", "1")
    node.start_kubelet("--eviction-hard", thresholds, *quick)
    try:
        yield
        for found in node.client.list("pods", NAMESPACE).items:
            node.client.delete("pods", found["metadata"]["name"], NAMESPACE, grace_period_seconds=0)
        eventually(lambda: not node.client.list("pods", NAMESPACE).items, "the pods are gone", 60)
    finally:
        node.kill("kubelet", signal.SIGTERM)
        if disk:
            node.run("umount", "--lazy", directory)
        node.start_kubelet()


def has(node: Node, kind: str) -> bool:
    return is_true(node.client.get("nodes", NODE), kind)


def tainted(node: Node, key: str) -> bool:
    taints = node.client.get("nodes", NODE)["spec"].get("taints") or []
    return any(taint["key"] == f"node.kubernetes.io/{key}" for taint in taints)


def evicted(node: Node, name: str) -> Object | None:
    status: Object = pod(node, name).get("status") or {}
    return status if status.get("reason") == "Evicted" and status.get("phase") == "Failed" else None


def make(node: Node, name: str, script: str, **more: object) -> None:
    container = shell(f"{script}; {RUN}", **EMPTY, **more)
    create(node, name, containers=[container], volumes=VOLUME, nodeName=NODE)


def test_a_node_short_of_memory_evicts_and_takes_no_more(clean: Node) -> None:
    create(clean, "first")
    ready(clean, "first")
    with kubelet_with(clean, "memory.available<900Ti"):
        eventually(lambda: evicted(clean, "first"), "the pod is evicted", 60)
        eventually(lambda: has(clean, "MemoryPressure"), "the node says so")
        create(clean, "second", nodeName=NODE)
        refused = "The node had condition: [MemoryPressure]. "
        eventually(lambda: pod(clean, "second")["status"].get("message") == refused, "no more is taken")
    eventually(lambda: not has(clean, "MemoryPressure"), "the node has memory again")


def images(node: Node) -> set[str]:
    """The images' names. Podman fails to list them while one is being removed: it is asked again then."""
    words = node.command(*node.podman_words(), "images", "--format", "{{.Repository}}:{{.Tag}}")

    def listed() -> set[str] | None:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return set(done.stdout.split()) if done.returncode == 0 else None

    found: set[str] = eventually(listed, "Podman lists its images")
    return found


@contextmanager
def images_restored(node: Node) -> Iterator[None]:
    """Give back what other tests need, though it was unused."""
    try:
        yield
    finally:
        left = images(node)
        if BUSYBOX not in left:
            node.import_image(BUSYBOX, node.small_files(), applets=True)
        if SPEAKER not in left:
            node.load_speaker()


def test_a_node_short_of_room_for_images_collects_what_nobody_uses(clean: Node) -> None:
    unused = "localhost/test/unused:1"
    clean.import_image(unused, {"unused": Path(__file__)})
    create(clean, "done", containers=[shell("true")], restartPolicy="Never")
    eventually(lambda: pod(clean, "done")["status"]["phase"] == "Succeeded", "the short pod has ended")
    assert unused in images(clean)
    with images_restored(clean), kubelet_with(clean, "imagefs.available<900Ti"):
        eventually(lambda: has(clean, "DiskPressure"), "the node says so")
        eventually(lambda: images(clean) == {PAUSE}, "what nobody uses is collected")
        names = ("ps", "--all", "--format", "{{.Names}}")
        eventually(lambda: "k8s_app_done" not in clean.podman(*names), "nor does what has ended stay")
    eventually(lambda: not has(clean, "DiskPressure"), "the node has room again")


def test_a_node_short_of_disk_evicts_who_took_most(clean: Node) -> None:
    before = images(clean)
    with kubelet_with(clean, "nodefs.available<16Mi,nodefs.inodesFree<1500", "size=32m,nr_inodes=4000"):
        requests = {"requests": {"ephemeral-storage": "4Mi"}}
        make(clean, "modest", "dd if=/dev/zero of=/d/f bs=1M count=1", resources=requests)
        ready(clean, "modest")
        assert not has(clean, "DiskPressure")

        make(clean, "greedy", "dd if=/dev/zero of=/d/f bs=1M count=20")
        status = eventually(lambda: evicted(clean, "greedy"), "who took most is evicted", 60)
        low = r"The node was low on resource: ephemeral-storage\. Threshold quantity: 16Mi, available: \d+Ki\. "
        assert re.match(low, status["message"])
        eventually(lambda: has(clean, "DiskPressure") and tainted(clean, "disk-pressure"), "the node says so")
        assert images(clean) == before, "they lie on another disk, and would not help"
        eventually(lambda: not has(clean, "DiskPressure"), "what the evicted pod had is gone", 60)
        eventually(lambda: not tainted(clean, "disk-pressure"), "the taint is gone")

        make(clean, "littering", "for i in $(seq 3000); do : > /d/$i; done")
        status = eventually(lambda: evicted(clean, "littering"), "who has most files is evicted", 60)
        assert status["message"].startswith(
            "The node was low on resource: inodes. Threshold quantity: 1500, available: "
        )
        ready(clean, "modest")


def test_a_node_short_of_process_ids_evicts_who_has_most(clean: Node) -> None:
    available = read_pressure(clean.directory, clean.directory).processes_available
    with kubelet_with(clean, f"pid.available<{available - 1000}"):
        make(clean, "many", "for i in $(seq 1500); do sleep 1000 & done")
        status = eventually(lambda: evicted(clean, "many"), "who has most is evicted", 60)
        assert status["message"].startswith("The node was low on resource: pids. ")
        eventually(lambda: has(clean, "PIDPressure"), "the node says so")
    eventually(lambda: not has(clean, "PIDPressure"), "the node has ids again")
