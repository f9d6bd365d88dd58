"""What users see of pods on a real node: a table of pods, and for each what must come true.

All pods of the table are created at once, so that they also run beside each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pod_case import NAMESPACE, Case
from podman_host import Node, eventually
from pods_content import ENVIRONMENT, VOLUMES
from pods_life import LIFE, PROBES
from pods_security import SECURITY

from api.errors import NotFound
from api.objects import Object

pytestmark = pytest.mark.integration

CASES = LIFE + ENVIRONMENT + VOLUMES + SECURITY + PROBES


@pytest.fixture(scope="module")
def table(node: Node) -> Iterator[Node]:
    """The node with every pod of the table created."""
    client = node.client
    client.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    metadata = {"namespace": NAMESPACE}
    data = {"color": "red", "shape": "round"}
    client.create("configmaps", {"metadata": metadata | {"name": "settings"}, "data": data})
    client.create("secrets", {"metadata": metadata | {"name": "keys"}, "stringData": {"token": "s3cret"}})
    for name, handler in (("other", "crun"), ("unknown", "no-such-runtime")):
        client.create("runtimeclasses.node.k8s.io", {"metadata": {"name": name}, "handler": handler})
    eventually(lambda: _has_account(node), "the namespace has its service account")
    for case in CASES:
        labels = {"case": case.name}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata | {"name": case.name, "labels": labels}}
        client.create("pods", body | {"spec": case.pod})
    yield node
    for case in CASES:
        client.delete("pods", case.name, NAMESPACE, grace_period_seconds=1)
    eventually(lambda: not client.list("pods", NAMESPACE).items, "all pods of the table are gone", 60)


def _has_account(node: Node) -> bool:
    try:
        return bool(node.client.get("serviceaccounts", "default", NAMESPACE))
    except NotFound:
        return False


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_pod(table: Node, case: Case) -> None:
    found: Object = {}

    def holds() -> Any:
        nonlocal found
        found = table.client.get("pods", case.name, NAMESPACE)
        return case.status(found)

    try:
        eventually(holds, f"{case.name} is as it should be")
        if case.log:
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{case.name}/log?container=app"
            eventually(lambda: case.log in table.client.raw("GET", path).decode(), f"the log says {case.log!r}", 10)
        for reason in case.events:
            eventually(lambda reason=reason: reason in _reasons(table, case.name), f"there is an event {reason}", 10)
    except AssertionError as error:
        raise AssertionError(f"{error}\nstatus: {found.get('status')}\nevents: {_reasons(table, case.name)}") from error


def _reasons(node: Node, name: str) -> set[str]:
    events = node.client.list("events", NAMESPACE, field_selector=f"involvedObject.name={name}").items
    return {f"{event['reason']}" for event in events}
