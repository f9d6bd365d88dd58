"""Answers on this node's segment for the load balancer addresses that the cloud controller named this node for.

The cloud controller names a ready node in an annotation of the Service, and another one when that node fails. The new
one's announcement reaches every station of the segment, so a node that fails need not do anything. A node that only
cannot reach the API any more does not learn of that: it asks the segment again and again whether somebody else answers
for its addresses, and gives up those for which somebody does unless the API says otherwise. While the API is down for
all, nobody else answers, and every address stays where it is.

Invariant: asserted by level; an address is announced when it is taken, and again a few times soon after; two nodes
answer for one address for seconds at most.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from ipaddress import ip_address

from agents.network.announcing import Announcer
from agents.network.netlink import NetlinkError
from agents.network.rtnetlink.values import Address
from agents.proxy.level import Level
from agents.proxy.node_events import NodeEvents
from api.client import Client
from api.errors import ApiError
from api.informers import Informers
from api.objects import Object, annotations_of, key_of, split_key
from api.runtime import Event, Runtime
from api.transport import TransportError

log = logging.getLogger(__name__)

# What a provider without load balancers of its own writes into the Service: the node that shall answer.
ANNOUNCED_BY = "cloud.wherry.dev/announced-by"

_LOOK_SECONDS = 2.0
# A station may have missed the first announcement.
_REPEATS = 3


def addresses(services: Iterable[Object], node: str) -> dict[Address, str]:
    """The addresses that a node answers for, each with its Service's key."""
    found: dict[Address, str] = {}
    for service in services:
        if annotations_of(service).get(ANNOUNCED_BY) != node or service["spec"].get("type") != "LoadBalancer":
            continue
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        for entry in ingress:
            if entry.get("ip") and entry.get("ipMode") != "Proxy":
                found.setdefault(ip_address(entry["ip"]), key_of(service))
    return found


class NodeBalancers:
    """Keeps the addresses; `run` is one task that owns its socket. `client` shall not wait long for an answer."""

    def __init__(
        self, informers: Informers, runtime: Runtime, node_name: str, events: NodeEvents, client: Client
    ) -> None:
        self._name = node_name
        self._events = events
        self._services = informers.of("services")
        self._level = Level(runtime, _LOOK_SECONDS)
        self._announcer = Announcer()
        self._repeat: dict[Address, int] = {}
        self._client = client
        # What somebody else answers for, whatever the last that was heard from the API.
        self._yielded: set[Address] = set()

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
        named = addresses(self._services.items(), self._name)
        self._yielded = {one for one in self._yielded if one in named and not self._named(named[one])}
        wanted = {address: key for address, key in named.items() if address not in self._yielded}
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
        self._yield(wanted)

    def _yield(self, held: dict[Address, str]) -> None:
        """Give up at once what another station answers for, unless the API can be asked and names this node."""
        for address, mac in self._announcer.contested(held).items():
            if self._named(held[address]):
                log.warning("%s is answered for by %s, too, though the API names this node", address, mac)
                self._repeat[address] = _REPEATS
                continue
            message = f"Node {self._name} gives {address} of service {held[address]} up: {mac} answers for it"
            log.warning("%s", message)
            self._events.warning("AddressGivenUp", message)
            self._yielded.add(address)
            self._level.wake()

    def _named(self, key: str) -> bool:
        """Whether the API names this node for a Service now; not if it cannot be asked."""
        namespace, name = split_key(key)
        try:
            return annotations_of(self._client.get("services", name, namespace)).get(ANNOUNCED_BY) == self._name
        except (ApiError, TransportError) as error:
            log.info("service %s cannot be asked for: %s", key, error)
            return False
