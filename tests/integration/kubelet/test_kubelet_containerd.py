"""The same kubelet on containerd: the pods of the table that ask most of a runtime, and a kubelet that is killed."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pod_table
import pytest
from containerd_host import ctr, restart_containerd
from pod_case import NAMESPACE, Case, pod
from podman_host import NODE, Node, eventually
from pods_content import ENVIRONMENT, SAID, VOLUMES
from pods_life import LIFE, PROBES
from pods_ordered import ORDERED
from pods_security import SECURITY

from api.errors import ApiError
from api.objects import Object, is_true

pytestmark = pytest.mark.integration

CHOSEN = {
    *("runs", "succeeds", "fails", "restarts", "init-containers-run-in-order", "sidecar-runs-beside-and-ends-after"),
    *("message-from-log", "post-start-hook", "image-never", "no-such-command", "environment", "hosts-file"),
    *("config-map-volume", "memory-volume", "projected-token", "http-readiness", "exec-liveness", "non-root", "user"),
    *("capabilities", "privileged", "out-of-memory", "limits", "safe-sysctl", "runtime-class", "unknown-handler"),
    *("shared-processes", "host-network", "not-confined-unasked", "confined-by-the-container", "limits-of-the-pod"),
    *("image-volume", "part-of-an-image-volume", "no-such-part-of-an-image-volume", "image-volume-absent"),
    "no-such-command-and-no-second-try",
    *("confined-by-a-profile-of-the-node", "sub-path", "starts-over-after-a-container", "starts-over-after-a-sidecar"),
    *("capabilities-that-all-have", "capabilities-of-another-user", "no-new-privileges", "read-only-root", "fs-group"),
    *("image-says-all", "image-says-the-command", "image-says-nothing-of-where-and-has-no-such-place"),
    *("user-of-the-image", "group-beside-the-images-user", "processes-of-the-node", "messages-of-the-node"),
    *("own-stop-signal", "exec-probe-times-out", "sysctl-that-the-kernel-refuses", "image-missing"),
}
STEADY = Case("steady", pod())
ALL = LIFE + ORDERED + SAID + ENVIRONMENT + VOLUMES + SECURITY + PROBES
CASES = [STEADY] + [case for case in ALL if case.name in CHOSEN]


@pytest.fixture(scope="module")
def table(containerd_node: Node) -> Iterator[Node]:
    """A node on containerd with every chosen pod created."""
    with pod_table.created(containerd_node, CASES, "runc"):
        yield containerd_node
    eventually(lambda: not containerd_node.containers(), "no container is left", 60)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_pod(table: Node, case: Case) -> None:
    assert len(CASES) == len(CHOSEN) + 1
    pod_table.check(table, case)


def test_a_pod_whose_sandbox_cannot_be_made_is_tried_ever_more_seldom(table: Node) -> None:
    pod_table.check_that_tries_grow_rare(table, "sysctl-that-the-kernel-refuses", "FailedCreatePodSandBox")


def test_containers_outlive_containerd(table: Node) -> None:
    eventually(lambda: _is_ready(table), "the pod is Ready")
    before = _statuses(table)
    table.kill("containerd")
    restart_containerd(table)
    run = f"/api/v1/nodes/{NODE}/proxy/run/{NAMESPACE}/steady/app?cmd=echo&cmd=well"
    eventually(lambda: _answer(table, run) == b"well\n", "commands run in it again")
    assert _statuses(table) == before


def test_a_container_whose_shim_was_killed_starts_again(table: Node) -> None:
    eventually(lambda: _is_ready(table), "the pod is Ready")
    before = _statuses(table)[0]
    (shim,) = _shims(table, before["containerID"].removeprefix("containerd://"))
    os.kill(shim, signal.SIGKILL)
    eventually(lambda: _statuses(table)[0]["restartCount"] == before["restartCount"] + 1, "it was started again", 60)
    eventually(lambda: _is_ready(table), "the pod is Ready")


def test_the_kubelet_may_be_killed(table: Node) -> None:
    eventually(lambda: _is_ready(table), "the pod is Ready")
    before, listened = _statuses(table), table.log("kubelet").count("server listens")
    table.kill("kubelet")
    table.start_kubelet()
    eventually(lambda: table.log("kubelet").count("server listens") > listened, "the kubelet serves again")
    proxy = f"/api/v1/namespaces/{NAMESPACE}/pods/steady/log"
    assert table.client.raw("GET", proxy) == b""
    assert _statuses(table) == before
    assert before[0]["containerID"].startswith("containerd://")


def _is_ready(node: Node) -> bool:
    return is_true(node.client.get("pods", "steady", NAMESPACE), "Ready")


def _statuses(node: Node) -> list[Object]:
    return list(node.client.get("pods", "steady", NAMESPACE)["status"]["containerStatuses"])


def _answer(node: Node, path: str) -> bytes:
    try:
        return node.client.raw("POST", path)
    except ApiError:
        return b""


def _shims(node: Node, container: str) -> list[int]:
    """The process that holds a container: the parent of its first one."""
    tasks = ctr(node, "tasks", "list")
    first = re.search(rf"^{container}\s+(\d+)", tasks, re.MULTILINE)
    assert first is not None, tasks
    status = Path(f"/proc/{first[1]}/status").read_text()
    return [int(word) for word in re.findall(r"^PPid:\s+(\d+)", status, re.MULTILINE)]
