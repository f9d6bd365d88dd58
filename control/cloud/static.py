"""The static provider: machines that a file tells of, and a pool of addresses for load balancers.

The file is YAML:

    machines:
      - name: node1                  # the Node's name
        providerID: static://node1   # optional
        addresses: {InternalIP: 192.168.56.11, ExternalIP: 203.0.113.11}
        instanceType: small
        zone: rack-1
        region: home
        labels: {disk: ssd}
        state: running               # running, shutdown or gone
    loadBalancer:
      addresses: [192.168.56.200-192.168.56.210, 192.168.57.0/28, fd00:56::/124]
    routes: kernel                   # this machine's own routes lead to the nodes' pod ranges

`inventory: hosts.ini` (and `group: nodes`) takes the machines from an inventory. The file is read again when it
changes.

An address is announced by one ready node, which the Service's annotation names; when that node fails, another is named:
nodes that announce are looked at every second, long before their leases run out.

Invariant: an address belongs to one Service at a time; a Service keeps its address while it lasts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from api.objects import Object, annotations_of, is_deleting, is_true, key_of, labels_of, name_of
from api.runtime import Runtime
from control.cloud.kernel_routes import KernelRoutes
from control.cloud.provider import Balancer, ConfigError, Metadata, Provider, ProviderError
from control.cloud.reachability import Reachability
from control.cloud.static_machines import File, Machine, machines_of, read_document

ANNOUNCER = "cloud.wherry.dev/announced-by"

CHECK_PERIOD = 1.0
_EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


def load(path: Path | None, runtime: Runtime, reaches: Callable[[str, int], bool]) -> Provider:
    """The provider of that file; without one it knows no machine and has no addresses. Raises ConfigError.

    `reaches` tells whether a machine answers at (address, port).
    """
    if path is None:
        return Provider("static", instances=StaticInstances(dict))
    try:
        document = read_document(path)
        machines_of(path, document)
        routing = document.get("routes")
        pool = tuple(_ranges((document.get("loadBalancer") or {}).get("addresses") or []))
    except (TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path} is not a static provider's file: {error!r}") from error
    if routing not in (None, "kernel"):
        raise ConfigError(f"{path}: routes: {routing} is not known, only kernel")
    file = File(path)
    balancers = StaticLoadBalancers(pool, Reachability(runtime, reaches)) if pool else None
    return Provider("static", StaticInstances(file.machines), balancers, KernelRoutes() if routing else None)


class StaticInstances:
    """Machines as the file tells of them; others are taken for granted."""

    def __init__(self, machines: Callable[[], Mapping[str, Machine]]) -> None:
        self._machines = machines

    def exists(self, node: Object) -> bool:
        """False only for a machine that the file calls gone."""
        machine = self._machines().get(name_of(node))
        return machine is None or machine.state != "gone"

    def shutdown(self, node: Object) -> bool:
        """Whether the file says so."""
        machine = self._machines().get(name_of(node))
        return machine is not None and machine.state == "shutdown"

    def metadata(self, node: Object) -> Metadata | None:
        """What the file says of the machine."""
        machine = self._machines().get(name_of(node))
        return machine.metadata if machine else None


class StaticLoadBalancers:
    """Hands out addresses of a pool: ranges of (first, last)."""

    def __init__(self, pool: Sequence[tuple[int, int, int]], reachability: Reachability) -> None:
        self._pool = pool
        self._reachability = reachability
        # What was given lately, for the informer that shows the Services may lag behind.
        self._given: dict[str, tuple[str, ...]] = {}

    def ensure(self, service: Object, nodes: Sequence[Object], services: Sequence[Object]) -> Balancer:
        """Its addresses, kept or newly taken, and the node that announces them, looked at every second."""
        others = [one for one in services if key_of(one) != key_of(service)]
        self._given = {key: self._given[key] for one in others if (key := key_of(one)) in self._given}
        taken = {address for one in others for address in addresses_of(one)}.union(*self._given.values())
        given = self._given[key_of(service)] = choose_addresses(service, taken, self._pool)
        announcer = choose_announcer(service, nodes, self._reachability.alive)
        ingress = tuple({"ip": address, "ipMode": "VIP"} for address in given)
        return Balancer(ingress, {ANNOUNCER: announcer}, CHECK_PERIOD)

    def delete(self, service: Object) -> None:
        """The address is free once no Service shows it."""
        self._given.pop(key_of(service), None)


def choose_addresses(service: Object, taken: Container[str], pool: Sequence[tuple[int, int, int]]) -> tuple[str, ...]:
    """An address for each family of the service that the pool has: the one it asks for, has, or the first free one."""
    wanted = str(service["spec"].get("loadBalancerIP") or "")
    if wanted and wanted in taken:
        raise ProviderError(f"the address {wanted} that is asked for belongs to another Service")
    families = [str(family) for family in service["spec"].get("ipFamilies") or ()] or [""]
    pools = [[part for part in pool if family in ("", f"IPv{part[0]}")] for family in families]
    if not any(pools):
        raise ProviderError(f"the pool of load balancer addresses has none of {' or '.join(families)}")
    if wanted and not any(_contains(part, wanted) for part in pools):
        raise ProviderError(f"the address {wanted} that is asked for is not in the pool")
    preferred = [address for address in (wanted, *addresses_of(service)) if address and address not in taken]
    return tuple(_choose(part, preferred, taken) for part in pools if part)


def _choose(pool: Sequence[tuple[int, int, int]], preferred: Iterable[str], taken: Container[str]) -> str:
    for address in preferred:
        if _contains(pool, address):
            return address
    for candidate in _addresses(pool):
        if candidate not in taken:
            return candidate
    raise ProviderError("the pool of load balancer addresses is exhausted")


def choose_announcer(service: Object, nodes: Sequence[Object], alive: Callable[[Object], bool]) -> str:
    """The node that announces the address: as before while it is ready and `alive`; "" if no node is.

    If no node at all seems alive, the fault is likelier ours than theirs, and everything stays as it is.
    """
    able = {name_of(node): node for node in nodes if _may_announce(node)}
    present = annotations_of(service).get(ANNOUNCER, "")
    if present in able and alive(able[present]):
        return present
    living = sorted(name for name, node in able.items() if alive(node))
    if not living:
        return present if present in able else next(iter(sorted(able)), "")
    # Spread the announcing of different Services over the nodes.
    return living[sum(key_of(service).encode()) % len(living)]


def _may_announce(node: Object) -> bool:
    return is_true(node, "Ready") and not is_deleting(node) and _EXCLUDED not in labels_of(node)


def addresses_of(service: Object) -> list[str]:
    """The addresses in a Service's status."""
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    return [one["ip"] for one in balancer.get("ingress") or [] if one.get("ip")]


def _ranges(entries: Iterable[str]) -> Iterator[tuple[int, int, int]]:
    for entry in entries:
        if "-" in entry:
            first, last = (ipaddress.ip_address(part.strip()) for part in entry.split("-", 1))
        else:
            network = ipaddress.ip_network(entry)
            first, last = network[0], network[-1]
        if first.version != last.version or int(first) > int(last):
            raise ValueError(f"{entry} is not a range of addresses")
        yield first.version, int(first), int(last)


def _contains(pool: Sequence[tuple[int, int, int]], text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(version == address.version and first <= int(address) <= last for version, first, last in pool)


def _addresses(pool: Sequence[tuple[int, int, int]]) -> Iterator[str]:
    for version, first, last in pool:
        make = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
        for number in range(first, last + 1):
            yield str(make(number))
