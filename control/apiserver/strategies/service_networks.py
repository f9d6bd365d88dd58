"""The networks that addresses of Services come from: the server's own, and those of ServiceCIDRs.

Invariant: nothing is taken from a ServiceCIDR that goes, or that is said not to be ready.
Source: pkg/registry/core/service/ipallocator/cidrallocator.go; KEP-1880 (multiple service CIDRs).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from api import objects
from api.networks import Network, is_managed
from api.objects import Object

if TYPE_CHECKING:
    from control.apiserver.server import ApiServer

GROUP, ADDRESSES = "networking.k8s.io", "ipaddresses"


def networks(server: ApiServer) -> dict[str, list[Network]]:
    """Family to networks, the server's own first; a family that was not configured is not there."""
    found = [one.object() for one in server.cache.collection(GROUP, "servicecidrs").objects.values()]
    return by_family(server.config.service_networks, found)


def by_family(own: Iterable[Network], service_cidrs: Iterable[Object]) -> dict[str, list[Network]]:
    """As `networks`, of what there is."""
    found = {f"IPv{network.version}": [network] for network in own}
    for service_cidr in service_cidrs:
        ready = objects.condition(service_cidr, "Ready")
        if objects.is_deleting(service_cidr) or (ready is not None and ready.get("status") != "True"):
            continue
        for text in service_cidr["spec"].get("cidrs") or ():
            with suppress(ValueError):
                network = ipaddress.ip_network(text)
                known = found.get(f"IPv{network.version}")
                if known is not None and network not in known:
                    known.append(network)
    return found


def is_foreign(server: ApiServer, address: str) -> bool:
    """Whether an IPAddress that does not follow the Services keeps its address from them."""
    found = server.cache.collection(GROUP, ADDRESSES).objects.get(str(ipaddress.ip_address(address)))
    return found is not None and not is_managed(found.object())
