"""Where a Service answers: one of its ready endpoints.

Invariant: an address is given only while an EndpointSlice of the Service calls it ready.
Source: apiserver/pkg/util/proxy.ResolveEndpoint.
"""

from __future__ import annotations

from typing import Any

from api import errors
from api.objects import Object
from api.runtime import Runtime
from control.apiserver.cache import Cache


def service_address(cache: Cache, runtime: Runtime, namespace: str, name: str, port: str) -> tuple[str, int]:
    """The address of a ready endpoint behind a port, which is named by name or number ("" for the only one).

    Raises NotFound, ServiceUnavailable.
    """
    found = cache.collection("", "services").objects.get(f"{namespace}/{name}")
    if found is None:
        raise errors.not_found("services", "", name)
    ports = found.object()["spec"].get("ports") or []
    if not port and len(ports) == 1:
        chosen = ports[0]
    else:
        chosen = next((one for one in ports if port in (one.get("name"), str(one.get("port")))), None)
    if chosen is None:
        raise errors.ServiceUnavailable(f'no service port "{port}" found for service "{name}"')
    addresses = _ready(cache, namespace, name, chosen)
    if not addresses:
        raise errors.ServiceUnavailable(f'no endpoints available for service "{name}"')
    address: tuple[str, int] = runtime.random().choice(addresses)
    return address


def _ready(cache: Cache, namespace: str, name: str, port: Object) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for cached in cache.collection("discovery.k8s.io", "endpointslices").select(namespace):
        if cached.labels.get("kubernetes.io/service-name") != name:
            continue
        obj = cached.object()
        numbers = [one["port"] for one in obj.get("ports") or [] if (one.get("name") or "") == (port.get("name") or "")]
        for endpoint in obj.get("endpoints") or []:
            ready: Any = (endpoint.get("conditions") or {}).get("ready", True)
            if ready is not False:
                found += [(endpoint["addresses"][0], int(number)) for number in numbers]
    return found
