"""Services and slices for tables of cases."""

from __future__ import annotations

from typing import Any


def service(name: str = "web", address: str = "10.96.0.10", **spec: Any) -> dict:
    """A Service with one TCP port 80 unless `spec` says otherwise; `status` and `labels` go where they belong."""
    status, labels = spec.pop("status", {}), spec.pop("labels", {})
    defaults = {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80, "protocol": "TCP"}]}
    return {
        "metadata": {"namespace": "default", "name": name, "labels": labels},
        "spec": defaults | {"type": "ClusterIP"} | spec,
        "status": status,
    }


def entry(address: str, where: str = "two", **more: Any) -> dict:
    """One endpoint of a slice; conditions ready, serving, terminating and hints by keyword."""
    hints = {"hints": more.pop("hints")} if "hints" in more else {}
    return {"addresses": [address], "nodeName": where, "conditions": {"ready": True} | more} | hints


def endpoint_slice(*entries: dict, name: str = "web", port: int = 8080, protocol: str = "TCP", **more: Any) -> dict:
    """An EndpointSlice with one port; `port_name` and `address_type` by keyword."""
    ports = [{"name": more.pop("port_name", ""), "port": port, "protocol": protocol}]
    return {
        "metadata": {"namespace": "default", "name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}},
        "addressType": more.pop("address_type", "IPv4"),
        "ports": ports,
        "endpoints": list(entries),
    }
