"""A further network of Services becomes ready, and stays as long as a Service has an address of it."""

from __future__ import annotations

from typing import Any

import pytest

from api.objects import is_true

pytestmark = pytest.mark.integration

CIDRS = "servicecidrs.networking.k8s.io"


def test_a_network_goes_only_after_its_last_address(plane: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.controllers.service_cidrs.GRACE", 0.0)
    plane.start()
    plane.extend([])
    plane.client.create(CIDRS, {"metadata": {"name": "more"}, "spec": {"cidrs": ["203.0.113.0/24"]}})
    plane.until(lambda: is_true(plane.find(CIDRS, "more"), "Ready"), "it is ready")
    spec = {"clusterIP": "203.0.113.10", "ports": [{"port": 80}]}
    plane.client.create("services", {"metadata": {"name": "s", "namespace": "default"}, "spec": spec})
    plane.until(lambda: plane.find("ipaddresses.networking.k8s.io", "203.0.113.10"), "the address is shown")
    plane.client.delete(CIDRS, "more")
    plane.until(
        lambda: plane.find(CIDRS, "more")["status"]["conditions"][0]["reason"] == "Terminating", "it says why it stays"
    )
    plane.client.delete("services", "s", "default")
    plane.until(lambda: plane.find(CIDRS, "more") is None, "it goes")
