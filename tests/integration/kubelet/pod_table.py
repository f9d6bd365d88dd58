"""Puts a table of pods on a node and checks what comes of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from pod_case import NAMESPACE, Case
from podman_host import Node, eventually

from api.errors import NotFound
from api.objects import Object
from api.runtime import parse_timestamp

_RUNTIME_CLASSES = ("other", "unknown")
# A profile of the node's under which no directory can be made.
_PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
}


@contextmanager
def created(node: Node, cases: list[Case], handler: str) -> Iterator[Node]:
    """The node while it has every pod of the table; nothing of them is left after."""
    _create(node, cases, handler)
    yield node
    _delete(node, cases)


def _create(node: Node, cases: list[Case], handler: str) -> None:
    """Every pod of the table at once, and what they refer to; `handler` is the runtime's name of its OCI runtime."""
    client = node.client
    profiles = node.directory / "kubelet" / "seccomp"
    profiles.mkdir(exist_ok=True)
    (profiles / "no-mkdir.json").write_bytes(orjson.dumps(_PROFILE))
    client.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    metadata = {"namespace": NAMESPACE}
    data = {"color": "red", "shape": "round"}
    client.create("configmaps", {"metadata": metadata | {"name": "settings"}, "data": data})
    client.create("configmaps", {"metadata": metadata | {"name": "binary"}, "binaryData": {"bytes": "AQJ4"}})
    client.create("secrets", {"metadata": metadata | {"name": "keys"}, "stringData": {"token": "s3cret"}})
    for name, known in zip(_RUNTIME_CLASSES, (handler, "no-such-runtime"), strict=True):
        client.create("runtimeclasses.node.k8s.io", {"metadata": {"name": name}, "handler": known})
    eventually(lambda: _has_account(node), "the namespace has its service account")
    for case in cases:
        labels = {"case": case.name}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata | {"name": case.name, "labels": labels}}
        client.create("pods", body | {"spec": case.pod})


def _delete(node: Node, cases: list[Case]) -> None:
    """All of them, until nothing is left."""
    for case in cases:
        node.client.delete("pods", case.name, NAMESPACE, grace_period_seconds=1)
    eventually(lambda: not node.client.list("pods", NAMESPACE).items, "all pods of the table are gone", 60)
    for name in _RUNTIME_CLASSES:
        node.client.delete("runtimeclasses.node.k8s.io", name)
    node.client.delete("namespaces", NAMESPACE)
    eventually(lambda: not _has_namespace(node), "the table's namespace is gone", 60)


def check(node: Node, case: Case) -> None:
    """What must come true of one pod."""
    found: Object = {}

    def holds() -> Any:
        nonlocal found
        found = node.client.get("pods", case.name, NAMESPACE)
        return case.status(found)

    try:
        # All pods of the table start at once, so on a slow machine the first to be asked after waits for the rest.
        eventually(holds, f"{case.name} is as it should be", 120)
        if case.log:
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{case.name}/log?container=app"
            eventually(lambda: case.log in node.client.raw("GET", path).decode(), f"the log says {case.log!r}", 10)
        for reason in case.events:
            eventually(lambda reason=reason: reason in _reasons(node, case.name), f"there is an event {reason}", 10)
        for text in case.messages:
            eventually(lambda text=text: text in _messages(node, case.name), f"an event says {text!r}", 10)
    except AssertionError as error:
        raise AssertionError(f"{error}\nstatus: {found.get('status')}\nevents: {_messages(node, case.name)}") from error


def check_that_tries_grow_rare(node: Node, name: str, reason: str) -> None:
    """A pod that cannot start is tried with ever longer pauses, whatever the tries themselves bring about."""

    def tries() -> tuple[int, float] | None:
        found = [event for event in _events(node, name) if event["reason"] == reason]
        seconds = max(parse_timestamp(e["lastTimestamp"]) for e in found) - min(
            parse_timestamp(e["firstTimestamp"]) for e in found
        )
        return (sum(event["count"] for event in found), seconds) if seconds >= 6 else None

    count, seconds = eventually(tries, f"{name} has been tried for a while")
    assert count <= 3 + seconds / 8


def _has_account(node: Node) -> bool:
    try:
        return bool(node.client.get("serviceaccounts", "default", NAMESPACE))
    except NotFound:
        return False


def _has_namespace(node: Node) -> bool:
    try:
        return bool(node.client.get("namespaces", NAMESPACE))
    except NotFound:
        return False


def _reasons(node: Node, name: str) -> set[str]:
    return {f"{event['reason']}" for event in _events(node, name)}


def _messages(node: Node, name: str) -> str:
    return "\n".join(f"{event['reason']}: {event['message']}" for event in _events(node, name))


def _events(node: Node, name: str) -> list[Object]:
    return node.client.list("events", NAMESPACE, field_selector=f"involvedObject.name={name}").items
