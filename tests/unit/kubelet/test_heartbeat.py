"""What a kubelet keeps of its node in the API."""

from __future__ import annotations

from typing import Any

import pytest

from agents.kubelet.heartbeat import Heartbeat
from agents.kubelet.node import NodeSettings
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit


class _Leases:
    """A client that knows leases only, and merges as the server does."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] = {}

    def create(self, resource: str, obj: dict[str, Any]) -> dict[str, Any]:
        self.lease = obj
        return obj

    def patch(self, resource: str, name: str, patch: dict[str, Any], namespace: str) -> dict[str, Any]:
        for part, fields in patch.items():
            self.lease[part] = self.lease[part] | fields
        return self.lease


def test_a_lease_older_than_what_is_known_of_its_node_gets_it_for_an_owner() -> None:
    client = _Leases()
    heartbeat = Heartbeat(client, SystemRuntime(), NodeSettings("n"), lambda: pytest.fail("not asked"))  # type: ignore[arg-type]
    heartbeat.renew_lease()
    assert not client.lease["metadata"]["ownerReferences"]
    heartbeat.observe({"metadata": {"name": "n", "uid": "u", "resourceVersion": "1"}})
    heartbeat.renew_lease()
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}
    assert client.lease["metadata"]["ownerReferences"] == [owner]
    assert client.lease["spec"]["holderIdentity"] == "n"
