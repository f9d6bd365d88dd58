"""Defaults of discovery.k8s.io.

Source: "EndpointSlice" in the API reference.
"""

from __future__ import annotations

from api.defaults.fill import fill_absent, items
from api.objects import Object


def _endpoint_slice(endpoint_slice: Object) -> None:
    for port in items(endpoint_slice, "ports"):
        fill_absent(port, name="", protocol="TCP")


DEFAULTERS = {"EndpointSlice": _endpoint_slice}
