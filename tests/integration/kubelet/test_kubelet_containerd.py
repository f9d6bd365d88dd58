"""The same kubelet on containerd: the pods of the table that ask most of a runtime, and a kubelet that is killed."""

from __future__ import annotations

from collections.abc import Iterator

import pod_table
import pytest
from containerd_host import containerd_missing, start_containerd
from pod_case import NAMESPACE, Case, pod
from podman_host import Node, eventually
from pods_content import ENVIRONMENT, VOLUMES
from pods_life import LIFE, PROBES
from pods_ordered import ORDERED
from pods_security import SECURITY

from api.objects import is_true

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
}
STEADY = Case("steady", pod())
CASES = [STEADY] + [case for case in LIFE + ORDERED + ENVIRONMENT + VOLUMES + SECURITY + PROBES if case.name in CHOSEN]


@pytest.fixture(scope="module")
def table() -> Iterator[Node]:
    """A node on containerd with every chosen pod created."""
    if containerd_missing():
        pytest.skip(f"a node with containerd {containerd_missing()}")
    host = Node()
    directory = host.directory
    host.options = (
        *("--runtime", "containerd", "--container-runtime-endpoint", f"unix:{directory}/containerd.sock"),
        *("--cni-conf-dir", f"{directory}/cni/net.d", "--cni-bin-dir", f"{directory}/cni/bin"),
    )
    try:
        start_containerd(host)
        host.start_cluster()
        with pod_table.created(host, CASES, "runc"):
            yield host
        eventually(lambda: not _left(host), "no container is left", 60)
    finally:
        host.close()


def _left(host: Node) -> str:
    return host.run("ctr", "--address", f"{host.directory}/containerd.sock", "-n", "k8s.io", "containers", "list", "-q")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_pod(table: Node, case: Case) -> None:
    assert len(CASES) == len(CHOSEN) + 1
    pod_table.check(table, case)


def test_the_kubelet_may_be_killed(table: Node) -> None:
    eventually(lambda: _is_ready(table), "the pod is Ready")
    before = table.client.get("pods", "steady", NAMESPACE)["status"]["containerStatuses"]
    table.kill("kubelet")
    table.start_kubelet()
    eventually(lambda: table.log("kubelet").count("server listens") == 2, "the kubelet serves again")
    proxy = f"/api/v1/namespaces/{NAMESPACE}/pods/steady/log"
    assert table.client.raw("GET", proxy) == b""
    assert table.client.get("pods", "steady", NAMESPACE)["status"]["containerStatuses"] == before
    assert before[0]["containerID"].startswith("containerd://")


def _is_ready(node: Node) -> bool:
    return is_true(node.client.get("pods", "steady", NAMESPACE), "Ready")
