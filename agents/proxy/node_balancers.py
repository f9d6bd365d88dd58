"""Answers on this node's segment for the load balancer addresses that the cloud controller named this node for.

The cloud controller names a ready node in an annotation of the Service, and another one when that node fails. The new
one's announcement reaches every station of the segment, so a node that fails need not do anything.

Invariant: asserted by level; an address is announced when it is taken, and again a few times soon after.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from ipaddress import IPv4Address

from agents.network.announcing import Announcer
from agents.network.netlink import NetlinkError
from agents.proxy.level import Level
from agents.proxy.node_events import NodeEvents
from api.informers import Informers
from api.objects import Object, annotations_of, key_of
from api.runtime import Event, Runtime

log = logging.getLogger(__name__)

# What a provider without load balancers of its own writes into the Service: the node that shall answer.
ANNOUNCED_BY = "cloud.wherry.dev/announced-by"

_LOOK_SECONDS = 2.0
# A station may have missed the first announcement.
_REPEATS = 3


def addresses(services: Iterable[Object], node: str) -> dict[IPv4Address, str]:
    """The IPv4 addresses that a node answers for, each with its Service's key."""
    found: dict[IPv4Address, str] = {}
    for service in services:
        if annotations_of(service).get(ANNOUNCED_BY) != node or service["spec"].get("type") != "LoadBalancer":
            continue
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        for entry in ingress:
            if entry.get("ip") and ":" not in entry["ip"] and entry.get("ipMode") != "Proxy":
                found.setdefault(IPv4Address(entry["ip"]), key_of(service))
    return found


class NodeBalancers:
    """Keeps the addresses; `run` is one task that owns its socket."""

    def __init__(self, informers: Informers, runtime: Runtime, node_name: str, events: NodeEvents) -> None:
        self._name = node_name
        self._events = events
        self._services = informers.of("services")
        self._level = Level(runtime, _LOOK_SECONDS)
        self._announcer = Announcer()
        self._repeat: dict[IPv4Address, int] = {}

    def watch(self) -> None:
        """Look at every change of a service that has to do with this node."""
        self._services.add_handler(self._level.on(lambda service: addresses([service], self._name) or None))

    def run(self, stop: Event) -> None:
        """Keep the addresses until `stop`; they stay then, so that traffic goes on."""
        while not stop.is_set():
            try:
                self._reconcile()
            except NetlinkError as error:
                log.warning("addresses of load balancers could not be taken: %s", error)
                self._events.warning(
                    "AddressAnnouncingFailed", f"The kernel refused a load balancer's address: {error}"
                )
            self._level.wait()
        self._announcer.close()

    def wake(self) -> None:
        """Look again, or notice that `run` shall stop."""
        self._level.wake()

    def _reconcile(self) -> None:
        wanted = addresses(self._services.items(), self._name)
        taken, given = self._announcer.reconcile(wanted)
        for address in given:
            log.info("%s is not answered for any more", address)
            self._repeat.pop(address, None)
        for address in taken:
            self._repeat[address] = _REPEATS
            message = f"Node {self._name} answers for {address} of service {wanted[address]}"
            log.info("%s", message)
            self._events.normal("AddressAnnounced", message)
        for address, left in list(self._repeat.items()):
            self._announcer.tell(address)
            self._repeat[address] = left - 1
            if left <= 1:
                del self._repeat[address]
