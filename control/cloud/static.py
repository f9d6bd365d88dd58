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
      addresses: [192.168.56.200-192.168.56.210, 192.168.57.0/28]

An address is announced by one ready node, which the Service's annotation names; when that node fails, another is named.

Invariant: an address belongs to one Service at a time; a Service keeps its address while it lasts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from api.objects import Object, annotations_of, is_deleting, is_true, key_of, name_of
from control.cloud.provider import Balancer, Metadata, Provider, ProviderError

ANNOUNCER = "cloud.wherry.dev/announced-by"

_STATES = ("running", "shutdown", "gone")


class ConfigError(Exception):
    """The provider's file cannot be used; one sentence why."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One entry of the file."""

    metadata: Metadata
    state: str = "running"


def load(path: Path | None) -> Provider:
    """The provider of that file; without one it knows no machine and has no addresses. Raises ConfigError."""
    if path is None:
        return Provider("static", instances=StaticInstances({}))
    try:
        document = yaml.safe_load(path.read_text()) or {}
        machines = {str(entry["name"]): _machine(entry) for entry in document.get("machines") or []}
        pool = tuple(_ranges((document.get("loadBalancer") or {}).get("addresses") or []))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path} is not a static provider's file: {error!r}") from error
    return Provider("static", StaticInstances(machines), StaticLoadBalancers(pool) if pool else None)


class StaticInstances:
    """Machines as the file tells of them; others are taken for granted."""

    def __init__(self, machines: Mapping[str, Machine]) -> None:
        self._machines = machines

    def exists(self, node: Object) -> bool:
        """False only for a machine that the file calls gone."""
        machine = self._machines.get(name_of(node))
        return machine is None or machine.state != "gone"

    def shutdown(self, node: Object) -> bool:
        """Whether the file says so."""
        machine = self._machines.get(name_of(node))
        return machine is not None and machine.state == "shutdown"

    def metadata(self, node: Object) -> Metadata | None:
        """What the file says of the machine."""
        machine = self._machines.get(name_of(node))
        return machine.metadata if machine else None


class StaticLoadBalancers:
    """Hands out addresses of a pool: ranges of (first, last)."""

    def __init__(self, pool: Sequence[tuple[int, int, int]]) -> None:
        self._pool = pool

    def ensure(self, service: Object, nodes: Sequence[Object], services: Sequence[Object]) -> Balancer:
        """Its address, kept or newly taken, and the node that announces it."""
        others = [one for one in services if key_of(one) != key_of(service)]
        address = choose_address(service, others, self._pool)
        announcer = choose_announcer(service, nodes)
        return Balancer(({"ip": address, "ipMode": "VIP"},), {ANNOUNCER: announcer})

    def delete(self, service: Object) -> None:
        """Nothing is kept here: an address is free once no Service shows it."""


def choose_address(service: Object, others: Iterable[Object], pool: Sequence[tuple[int, int, int]]) -> str:
    """The address for the service: the one it asks for, the one it has, or the first free one."""
    taken = {address for other in others for address in addresses_of(other)}
    wanted = str(service["spec"].get("loadBalancerIP") or "")
    if wanted:
        if wanted in taken:
            raise ProviderError(f"the address {wanted} that is asked for belongs to another Service")
        if not _contains(pool, wanted):
            raise ProviderError(f"the address {wanted} that is asked for is not in the pool")
        return wanted
    for address in addresses_of(service):
        if address not in taken and _contains(pool, address):
            return address
    for candidate in _addresses(pool):
        if candidate not in taken:
            return candidate
    raise ProviderError("the pool of load balancer addresses is exhausted")


def choose_announcer(service: Object, nodes: Sequence[Object]) -> str:
    """The node that announces the address: as before while it is ready; "" if no node is."""
    able = sorted(name_of(node) for node in nodes if is_true(node, "Ready") and not is_deleting(node))
    present = annotations_of(service).get(ANNOUNCER, "")
    if present in able or not able:
        return present if present in able else ""
    # Spread the announcing of different Services over the nodes.
    return able[sum(key_of(service).encode()) % len(able)]


def addresses_of(service: Object) -> list[str]:
    """The addresses in a Service's status."""
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    return [one["ip"] for one in balancer.get("ingress") or [] if one.get("ip")]


def _machine(entry: Mapping[str, Any]) -> Machine:
    name, state = str(entry["name"]), str(entry.get("state") or "running")
    if state not in _STATES:
        raise ValueError(f"machine {name}: state {state} is none of {', '.join(_STATES)}")
    addresses = tuple((kind, str(address)) for kind, address in (entry.get("addresses") or {}).items())
    metadata = Metadata(
        provider_id=str(entry.get("providerID") or f"static://{name}"),
        addresses=addresses,
        instance_type=str(entry.get("instanceType") or ""),
        zone=str(entry.get("zone") or ""),
        region=str(entry.get("region") or ""),
        labels={str(key): str(value) for key, value in (entry.get("labels") or {}).items()},
    )
    return Machine(metadata, state)


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
