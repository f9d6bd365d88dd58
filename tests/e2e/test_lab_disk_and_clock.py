"""A node's disk fills up, and a node's clock jumps: what the cluster sees, who has to go, and how it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from labs import Lab, eventually, is_ready

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NODE = "node3"
KUBELET = "/var/lib/wherry/kubelet"
DROP_IN = "/run/systemd/system/wherry-kubelet.service.d"
PROGRAM = "/usr/local/bin/wherry"
JUMP = "/run/jump/run.py"
PATCH = f"""import pathlib, runpy, sys, time
now, there = time.time, pathlib.Path("/run/jump/seconds")
time.time = lambda: now() + float(there.read_text())
sys.argv[0] = "{PROGRAM}"
runpy.run_path(sys.argv[0], run_name="__main__")
"""
WRITER = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: writer}}}}
spec:
  terminationGracePeriodSeconds: 1
  {place}
  containers:
    - name: app
      image: localhost/wherry/demo:1
      command: [/bin/sh, -c, "/bin/busybox dd if=/dev/zero of=/d/f bs=1M count={size}; exec /bin/busybox sleep 3600"]
      resources: {{requests: {{ephemeral-storage: {request}}}}}
      volumeMounts: [{{name: d, mountPath: /d}}]
  volumes: [{{name: d, emptyDir: {{}}}}]
"""


@pytest.fixture
def small(steady: Lab) -> Iterator[Lab]:
    """The lab; the kubelet of NODE has its directory on a file system of 96 MiB, and no pod of before."""
    steady.kubectl("drain", NODE, "--ignore-daemonsets", "--delete-emptydir-data", "--force", timeout=120)
    steady.ssh(
        NODE,
        "systemctl stop wherry-kubelet && mkdir -p /run/small && mount -t tmpfs -o size=96m,mode=700 tmpfs /run/small"
        f" && cp -a {KUBELET}/. /run/small/ && mount --bind /run/small {KUBELET}",
    )
    try:
        _set_unit(steady, "[Service]", "Environment=WHERRY_TEST=disk")
        steady.kubectl("uncordon", NODE)
        eventually(lambda: is_ready(_node(steady)), 60, "the node is Ready")
        yield steady
    finally:
        steady.kubectl("delete", "pods", "-l", "app=writer", "--grace-period=1", check=False, timeout=120)
        steady.ssh(NODE, f"systemctl stop wherry-kubelet; umount --lazy {KUBELET} /run/small; rmdir /run/small")
        _set_unit(steady)
        # The node was drained: the demo is to be on all workers again, as other tests found it.
        steady.kubectl("scale", "deployment/demo", "--replicas=0")
        eventually(lambda: not steady.objects("pods", "-l", "app=demo"), 90, "the demo is gone")
        eventually(lambda: is_ready(_node(steady)), 60, "the node is Ready")
        steady.kubectl("scale", "deployment/demo", "--replicas=3")
        steady.kubectl("rollout", "status", "deployment/demo", "--timeout=120s", timeout=150)


@pytest.fixture
def jumpy(steady: Lab) -> Iterator[Lab]:
    """The lab; the kubelet of NODE adds to its clock whatever number /run/jump/seconds has at the time.

    The hosts of a lab share the kernel's clock, so only what this process reads of it can be made to jump.
    """
    steady.ssh(NODE, f"mkdir -p /run/jump; echo 0 > /run/jump/seconds; cat > {JUMP} <<END\n{PATCH}END")
    try:
        words = (
            steady.ssh(NODE, "systemctl cat wherry-kubelet").partition(f"ExecStart={PROGRAM} ")[2].partition("\n")[0]
        )
        _set_unit(steady, "[Service]", "ExecStart=", f"ExecStart=/usr/bin/python3 -IS {JUMP} {words}")
        eventually(lambda: is_ready(_node(steady)), 60, "the node is Ready")
        yield steady
    finally:
        _set_unit(steady)
        steady.ssh(NODE, "rm -r /run/jump")


def _set_unit(lab: Lab, *lines: str) -> None:
    """Start the kubelet of NODE again with these lines beside its unit's own."""
    text = "\\n".join(lines)
    written = f'mkdir -p {DROP_IN}; printf "{text}\\n" > {DROP_IN}/test.conf' if lines else f"rm -rf {DROP_IN}"
    lab.ssh(NODE, f"{written}; systemctl daemon-reload; systemctl restart wherry-kubelet")


def _node(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.kubectl("get", "node", NODE, "-o", "json"))
    return found


def _has(lab: Lab, condition: str) -> bool:
    return any(entry["type"] == condition and entry["status"] == "True" for entry in _node(lab)["status"]["conditions"])


def _tainted(lab: Lab) -> bool:
    taints = _node(lab)["spec"].get("taints") or []
    wanted = {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}
    return any(wanted.items() <= taint.items() for taint in taints)


def _pod(lab: Lab, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.kubectl("get", "pod", name, "-o", "json"))
    return found


def _write(lab: Lab, name: str, size: int, request: str = "0", place: str = f"nodeName: {NODE}") -> None:
    lab.kubectl("apply", "-f", "-", stdin=WRITER.format(name=name, size=size, request=request, place=place))


def _events(lab: Lab, kind: str, name: str) -> str:
    words = ("events", "--field-selector", f"involvedObject.kind={kind},involvedObject.name={name}", "-A")
    return "\n".join(f"{event['reason']}: {event['message']}" for event in lab.objects(*words))


def test_a_full_disk_ends_who_took_more_than_asked_and_recovers(small: Lab) -> None:
    # Who asked for its share keeps it, although it has the most; of the two others the one with more goes.
    _write(small, "entitled", 40, request="48Mi")
    _write(small, "modest", 4)
    for name in ("entitled", "modest"):
        eventually(lambda name=name: is_ready(_pod(small, name)), 60, f"{name} runs")  # type: ignore[misc]
    assert not _has(small, "DiskPressure") and not _tainted(small)

    _write(small, "greedy", 60)
    eventually(lambda: _pod(small, "greedy")["status"].get("reason") == "Evicted", 90, "who took most is evicted")
    status = _pod(small, "greedy")["status"]
    low = (
        r"The node was low on resource: ephemeral-storage\. Threshold quantity: (\d+)\w*, available: \d+\w*\. "
        r"(Container app was using \d+\w*, request is 0, has larger consumption of ephemeral-storage\. )?"
    )
    assert status["phase"] == "Failed" and re.fullmatch(low, status["message"]), status
    assert "Evicted: " + status["message"] in _events(small, "Pod", "greedy")
    eventually(lambda: _has(small, "DiskPressure") and _tainted(small), 30, "the node says so")
    place = f"nodeSelector: {{kubernetes.io/hostname: {NODE}}}"
    _write(small, "later", 1, place=place)
    refusal = "untolerated taint {node.kubernetes.io/disk-pressure"
    eventually(lambda: refusal in _events(small, "Pod", "later"), 30, "no more pods are sent there")

    eventually(lambda: not _has(small, "DiskPressure"), 180, "what the evicted pod wrote is gone")
    eventually(lambda: is_ready(_pod(small, "later")), 60, "pods are sent there again")
    assert not _tainted(small)
    for name in ("entitled", "modest"):
        assert _pod(small, name)["status"]["containerStatuses"][0]["restartCount"] == 0
    assert is_ready(_node(small))


@pytest.mark.parametrize(("seconds", "word"), [(3600, "ahead of"), (-3600, "behind")])
def test_a_clock_that_jumps_is_told_and_disturbs_no_pod(seconds: int, word: str, jumpy: Lab) -> None:
    _write(jumpy, "steady", 1)
    eventually(lambda: is_ready(_pod(jumpy, "steady")), 60, "the pod runs")
    before = _pod(jumpy, "steady")["status"]["containerStatuses"]
    said = re.compile(rf"ClockSkew: the clock of this node is 3[56]\d\d s {word} the API server's")
    jumpy.ssh(NODE, f"echo {seconds} > /run/jump/seconds")
    try:
        eventually(lambda: bool(said.search(_events(jumpy, "Node", NODE))), 60, "the node says so")
        _write(jumpy, "during", 1)
        eventually(lambda: is_ready(_pod(jumpy, "during")), 60, "pods start all the same")
        assert is_ready(_node(jumpy))
        jumpy.kubectl("delete", "pod", "during", "--grace-period=1")
    finally:
        jumpy.ssh(NODE, "echo 0 > /run/jump/seconds")
    _write(jumpy, "after", 1)
    eventually(lambda: is_ready(_pod(jumpy, "after")), 60, "pods start after the clock was set")
    assert is_ready(_node(jumpy))
    assert _pod(jumpy, "steady")["status"]["containerStatuses"] == before
    jumpy.kubectl("delete", "pods", "-l", "app=writer", "--grace-period=1")
