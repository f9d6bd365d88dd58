"""What pods leave on a node, and short words for pods whose traces are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pod_case import RUN, shell
from podman_host import Node, eventually

from api.objects import Object, is_true

NAMESPACE = "default"


@dataclass(frozen=True)
class Traces:
    """What pods leave on a node: each number must be the same after as before."""

    containers: int
    images: int
    addresses: int
    namespaces: int
    links: int
    mounts: int
    sandboxes: int
    directories: int
    logs: int
    log_links: int
    groups: int


def traces(node: Node) -> Traces:
    kubelet = node.directory / "kubelet"
    return Traces(
        containers=len(node.containers()),
        images=len(node.images()),
        addresses=sum(1 for path in (kubelet / "network" / "sandboxes").glob("*") if path.is_file()),
        namespaces=len(node.run("ls", "/run/netns").split()),
        links=node.run("ip", "-o", "link").count("veth"),
        mounts=node.run("cat", "/proc/self/mountinfo").count(f"{kubelet}/pods"),
        sandboxes=sum(1 for _ in (kubelet / "sandboxes").glob("*")),
        directories=len(list((kubelet / "pods").iterdir())) if (kubelet / "pods").is_dir() else 0,
        logs=sum(1 for _ in (node.directory / "log" / "pods").glob("*")),
        log_links=sum(1 for _ in (node.directory / "log" / "containers").glob("*")),
        groups=sum(1 for _ in Path("/sys/fs/cgroup").glob(f"*/{node.cgroup}/kubepods/*/pod*")),
    )


def create(node: Node, name: str, **spec: object) -> None:
    mount = {"volumeMounts": [{"name": "m", "mountPath": "/m"}]}
    body = {
        "terminationGracePeriodSeconds": 2,
        "containers": [shell(f"date +%s%N; {RUN}", **mount)],
        "volumes": [{"name": "m", "emptyDir": {"medium": "Memory"}}],
    }
    metadata = {"name": name, "namespace": NAMESPACE}
    node.client.create("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body | spec})


def pod(node: Node, name: str) -> Object:
    return node.client.get("pods", name, NAMESPACE)


def ready(node: Node, *names: str) -> None:
    for name in names:
        eventually(lambda name=name: is_true(pod(node, name), "Ready"), f"{name} is Ready", 60)


def container(node: Node, name: str) -> Object:
    return dict(pod(node, name)["status"]["containerStatuses"][0])


def messages(node: Node, name: str) -> str:
    """The events of a pod."""
    events = node.client.list("events", NAMESPACE, field_selector=f"involvedObject.name={name}").items
    return "\n".join(event["message"] for event in events)
