"""A real node runs short of memory, disk, inodes or process ids: who goes, what is told, what is collected."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pod_case import BUSYBOX, RUN, shell
from podman_host import NODE, PAUSE, SPEAKER, Node, eventually
from traces import NAMESPACE, container, create, pod, ready

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
    create(node, name, containers=[shell(f"{script}; {RUN}", **EMPTY, **more)], volumes=VOLUME, nodeName=NODE)


def test_a_node_short_of_memory_evicts_and_takes_no_more(clean: Node) -> None:
    create(clean, "first")
    ready(clean, "first")
    # Much less is left for pods than the machine's other processes have; with nothing left no kubelet starts.
    kept = read_pressure(clean.directory, clean.directory).memory_total - 2**28
    with kubelet_with(clean, f"memory.available<{kept}"):
        eventually(lambda: evicted(clean, "first"), "the pod is evicted", 60)
        eventually(lambda: has(clean, "MemoryPressure"), "the node says so")
        create(clean, "second", nodeName=NODE)
        refused = "The node had condition: [MemoryPressure]. "
        eventually(lambda: pod(clean, "second")["status"].get("message") == refused, "no more is taken")
    eventually(lambda: not has(clean, "MemoryPressure"), "the node has memory again")


@contextmanager
def images_restored(node: Node) -> Iterator[None]:
    """Give back what other tests need, though it was unused."""
    try:
        yield
    finally:
        left = node.images()
        if BUSYBOX not in left:
            node.import_image(BUSYBOX, node.small_files(), applets=True)
        if SPEAKER not in left:
            node.load_speaker()


def test_a_node_short_of_room_for_images_collects_what_nobody_uses(clean: Node) -> None:
    unused = "localhost/test/unused:1"
    clean.import_image(unused, {"unused": Path(__file__)})
    create(clean, "done", containers=[shell("true")], restartPolicy="Never")
    eventually(lambda: pod(clean, "done")["status"]["phase"] == "Succeeded", "the short pod has ended")
    ended = container(clean, "done")["containerID"].partition("//")[2]
    assert unused in clean.images() and ended in clean.containers()
    with images_restored(clean), kubelet_with(clean, "imagefs.available<900Ti"):
        eventually(lambda: has(clean, "DiskPressure"), "the node says so")
        eventually(lambda: clean.images() == {PAUSE}, "what nobody uses is collected")
        eventually(lambda: ended not in clean.containers(), "nor does what has ended stay")
    eventually(lambda: not has(clean, "DiskPressure"), "the node has room again")


@pytest.fixture(scope="module")
def tight(node: Node) -> Iterator[None]:
    """The node while its kubelet has a small file system, and no more process ids than some."""
    available = read_pressure(node.directory, node.directory).processes_available
    thresholds = f"nodefs.available<16Mi,nodefs.inodesFree<1500,pid.available<{available - 1000}"
    with kubelet_with(node, thresholds, "size=32m,nr_inodes=4000"):
        yield


def test_a_node_short_of_disk_evicts_who_took_most(tight: None, clean: Node) -> None:
    before = clean.images()
    requests = {"requests": {"ephemeral-storage": "4Mi"}}
    make(clean, "modest", "dd if=/dev/zero of=/d/f bs=1M count=1", resources=requests)
    ready(clean, "modest")
    assert not has(clean, "DiskPressure")

    make(clean, "greedy", "dd if=/dev/zero of=/d/f bs=1M count=20")
    status = eventually(lambda: evicted(clean, "greedy"), "who took most is evicted", 60)
    low = r"The node was low on resource: ephemeral-storage\. Threshold quantity: 16Mi, available: \d+Ki\. "
    assert re.match(low, status["message"])
    eventually(lambda: has(clean, "DiskPressure") and tainted(clean, "disk-pressure"), "the node says so")
    assert clean.images() == before, "they lie on another disk, and would not help"
    eventually(lambda: not has(clean, "DiskPressure"), "what the evicted pod had is gone", 60)
    eventually(lambda: not tainted(clean, "disk-pressure"), "the taint is gone")

    make(clean, "littering", "for i in $(seq 3000); do : > /d/$i; done")
    status = eventually(lambda: evicted(clean, "littering"), "who has most files is evicted", 60)
    assert status["message"].startswith("The node was low on resource: inodes. Threshold quantity: 1500, available: ")
    eventually(lambda: has(clean, "DiskPressure"), "the node says so")
    eventually(lambda: not has(clean, "DiskPressure"), "its files are gone, and pods are taken again", 60)
    ready(clean, "modest")


def test_a_node_short_of_process_ids_evicts_who_has_most(tight: None, clean: Node) -> None:
    make(clean, "many", "for i in $(seq 1500); do sleep 1000 & done")
    status = eventually(lambda: evicted(clean, "many"), "who has most is evicted", 60)
    assert status["message"].startswith("The node was low on resource: pids. ")
    eventually(lambda: has(clean, "PIDPressure"), "the node says so")
    eventually(lambda: not has(clean, "PIDPressure"), "the node has ids again")
