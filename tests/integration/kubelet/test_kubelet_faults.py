"""The kubelet, Podman and containers are killed; running containers go on, and nothing is left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from pod_case import BUSYBOX, shell
from podman_host import NODE, Node, eventually
from traces import NAMESPACE, container, create, messages, pod, ready

from api.objects import condition, is_true

pytestmark = pytest.mark.integration


def test_a_killed_kubelet_takes_up_what_runs(clean: Node) -> None:
    create(clean, "steady")
    ready(clean, "steady")
    before = container(clean, "steady")
    clean.kill("kubelet")
    create(clean, "later")
    clean.start_kubelet()
    ready(clean, "later")
    assert container(clean, "steady") == before


def test_a_kubelet_killed_while_pods_start_finishes_them(clean: Node) -> None:
    names = [f"half-{index}" for index in range(6)]
    for name in names:
        create(clean, name)
    for _ in range(4):
        clean.kill("kubelet")
        clean.start_kubelet()
        eventually(lambda: len(clean.podman("ps", "--all", "--quiet").split()) > 0, "something was made")
    ready(clean, *names)
    assert len(clean.podman("ps", "--quiet").split()) == len(names)


def test_a_kubelet_killed_while_pods_end_finishes_that(clean: Node) -> None:
    names = [f"ending-{index}" for index in range(4)]
    for name in names:
        create(clean, name)
    ready(clean, *names)
    for name in names:
        clean.client.delete("pods", name, NAMESPACE)
    for _ in range(3):
        clean.kill("kubelet")
        clean.start_kubelet()
    eventually(lambda: not clean.client.list("pods", NAMESPACE).items, "the pods are gone", 60)


def test_a_pod_removed_while_the_kubelet_was_away_is_cleared_off(clean: Node) -> None:
    create(clean, "orphan")
    ready(clean, "orphan")
    clean.kill("kubelet")
    clean.client.delete("pods", "orphan", NAMESPACE, grace_period_seconds=0)
    clean.start_kubelet()
    eventually(lambda: not clean.podman("ps", "--all", "--quiet").strip(), "the orphan's containers are gone", 60)


def test_containers_outlive_the_podman_service(clean: Node) -> None:
    create(clean, "steady")
    ready(clean, "steady")
    before = container(clean, "steady")
    clean.kill("podman")
    eventually(lambda: not is_true(clean.client.get("nodes", NODE), "Ready"), "the node says that it is not Ready")
    clean.start_podman()
    eventually(lambda: is_true(clean.client.get("nodes", NODE), "Ready"), "the node is Ready again", 60)
    create(clean, "later")
    ready(clean, "later", "steady")
    assert container(clean, "steady") == before


def test_a_killed_container_starts_again(clean: Node) -> None:
    create(clean, "victim")
    ready(clean, "victim")
    before = container(clean, "victim")
    identifier = before["containerID"].removeprefix("podman://")
    os.kill(int(clean.podman("inspect", "--format", "{{.State.Pid}}", identifier)), signal.SIGKILL)
    eventually(lambda: container(clean, "victim")["restartCount"] == 1, "the container was started again")
    ready(clean, "victim")
    assert container(clean, "victim")["lastState"]["terminated"]["exitCode"] == 137


def test_a_lost_sandbox_is_made_again(clean: Node) -> None:
    unwell = shell("trap 'exit 3' TERM; while true; do sleep 0.1; done")
    create(clean, "shaken", containers=[unwell, {**shell("exit 0"), "name": "done"}], restartPolicy="OnFailure")

    def states() -> list[tuple[str, int]]:
        entries = pod(clean, "shaken")["status"].get("containerStatuses") or []
        return [(next(iter(entry["state"])), entry["restartCount"]) for entry in entries]

    eventually(lambda: states() == [("running", 0), ("terminated", 0)], "one runs and one has ended", 60)
    (sandbox,) = (clean.directory / "kubelet" / "sandboxes").iterdir()
    clean.run("umount", "--lazy", str(sandbox / "ipc"))
    eventually(lambda: states() == [("running", 1), ("terminated", 0)], "the one that ran was started again")
    for said in ("Stopping container app", "Pod sandbox changed, it will be killed and re-created."):
        assert said in messages(clean, "shaken")


def test_a_lost_process_that_holds_a_sandbox_is_made_again(clean: Node) -> None:
    create(clean, "held", shareProcessNamespace=True)
    ready(clean, "held")
    holder = clean.podman("ps", "--quiet", "--filter", "label=io.kubernetes.container.type=sandbox").strip()
    clean.podman("kill", "--signal", "KILL", holder)
    eventually(lambda: container(clean, "held")["restartCount"] == 1, "the container was started again")
    ready(clean, "held")


def test_an_image_that_was_never_there_leaves_nothing(clean: Node) -> None:
    create(clean, "imageless", containers=[{"name": "app", "image": "localhost/none:1", "imagePullPolicy": "Never"}])
    eventually(lambda: pod(clean, "imageless")["status"].get("containerStatuses"), "the kubelet says something")
    assert container(clean, "imageless")["state"]["waiting"]["reason"] == "ErrImageNeverPull"


def test_a_container_outlives_its_monitor(clean: Node) -> None:
    create(clean, "lonely")
    ready(clean, "lonely")
    identifier = container(clean, "lonely")["containerID"].removeprefix("podman://")
    monitor = int(Path(clean.podman("inspect", "--format", "{{.ConmonPidFile}}", identifier).strip()).read_text())
    process = int(clean.podman("inspect", "--format", "{{.State.Pid}}", identifier))
    os.kill(monitor, signal.SIGKILL)
    create(clean, "later")
    ready(clean, "later", "lonely")
    assert container(clean, "lonely")["restartCount"] == 0
    os.kill(process, signal.SIGKILL)
    eventually(lambda: container(clean, "lonely")["restartCount"] == 1, "the container was started again", 60)
    ready(clean, "lonely")


def test_a_full_disk_is_said_and_waited_out(clean: Node) -> None:
    pods = f"{clean.directory}/kubelet/pods"
    clean.run("mkdir", "-p", pods)
    clean.run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", pods)
    metadata = {"name": "large", "namespace": NAMESPACE}
    clean.client.create("configmaps", {"metadata": metadata, "data": {"x": "y" * 90_000}})
    try:
        create(clean, "squeezed", volumes=[{"name": "m", "configMap": {"name": "large"}}])
        eventually(lambda: "No space left on device" in messages(clean, "squeezed"), "users are told")
        clean.run("mount", "-o", "remount,size=32m", pods)
        ready(clean, "squeezed")
        clean.client.delete("pods", "squeezed", NAMESPACE, grace_period_seconds=0)
        eventually(lambda: not clean.client.list("pods", NAMESPACE).items, "the pod is gone")
    finally:
        clean.client.delete("configmaps", "large", NAMESPACE)
        clean.run("umount", "--lazy", pods)


def test_pods_are_ended_in_order_when_the_machine_goes_down(clean: Node) -> None:
    create(clean, "ordinary")
    ready(clean, "ordinary")
    said = clean.directory / "bin" / "systemctl"
    said.parent.mkdir(exist_ok=True)
    said.write_text("#!/bin/sh\necho stopping\n")
    said.chmod(0o755)
    try:
        clean.kill("kubelet", signal.SIGTERM)
        status = pod(clean, "ordinary")["status"]
        assert (status["phase"], status["reason"]) == ("Failed", "Terminated")
        assert status["message"] == "Pod was terminated in response to imminent node shutdown."
        node = condition(clean.client.get("nodes", NODE), "Ready") or {}
        assert (node["status"], node["message"]) == ("False", "node is shutting down")
    finally:
        said.unlink()
        clean.start_kubelet()
    eventually(lambda: is_true(clean.client.get("nodes", NODE), "Ready"), "the node is Ready again", 60)


def test_many_pods_come_and_go(clean: Node) -> None:
    for cycle in range(int(os.environ.get("WHERRY_POD_CYCLES", "20")) // 10):
        names = [f"many-{cycle}-{index}" for index in range(10)]
        for name in names:
            create(clean, name, containers=[{"name": "app", "image": BUSYBOX, "command": ["sleep", "1000"]}])
        ready(clean, *names)
        for name in names:
            clean.client.delete("pods", name, NAMESPACE, grace_period_seconds=1)
        eventually(lambda: not clean.client.list("pods", NAMESPACE).items, "the pods are gone", 60)
