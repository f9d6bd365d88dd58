"""Services: cluster addresses and node ports, never handed out twice.

What a service has is claimed in the store in the same transaction as the service itself, so that two API servers
cannot give it to two services; the cache only says where to look for a free one.

Invariant: a stored service has exactly the claims that its addresses and ports need.
Source: pkg/registry/core/service/{storage,strategy}.go; KEP-3070, KEP-3668 (static and dynamic bands of the ranges).
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Sequence
from typing import Any

from api import errors
from api.errors import Cause
from api.networks import Network
from api.objects import Object
from control.apiserver.operation import Operation
from control.apiserver.strategies import ip_families, service_networks
from control.apiserver.strategies.base import Strategy
from control.apiserver.strategies.ip_families import HEADLESS

_LARGEST_SEARCH = 2**20
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


class ServiceStrategy(Strategy):
    """Services."""

    allocates = True

    def prepare_create(self, operation: Operation, obj: Object) -> None:
        super().prepare_create(operation, obj)
        spec = obj["spec"]
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        obj["status"] = {"loadBalancer": {}}

    def prepare_update(self, operation: Operation, new: Object, old: Object) -> None:
        super().prepare_update(operation, new, old)
        _keep_allocated(new["spec"], old["spec"])
        _drop_for_type(new["spec"], old["spec"])
        if new["spec"].get("type") != "LoadBalancer":
            # Its balancer may still be there for a while; nobody shall be led to it.
            new["status"] = (new.get("status") or {}) | {"loadBalancer": {}}

    def claims(self, obj: Object) -> frozenset[str]:
        spec = obj["spec"]
        found = {_address_claim(address) for address in spec.get("clusterIPs") or () if address != HEADLESS}
        if _needs_node_ports(spec):
            found |= {_port_claim(number) for number in _node_ports(spec)}
        if spec.get("healthCheckNodePort"):
            found.add(_port_claim(spec["healthCheckNodePort"]))
        return frozenset(found)

    def allocate(self, operation: Operation, new: Object, old: Object | None) -> None:
        used = set(operation.refused_claims)
        for found in operation.endpoint.collection.select(""):
            used |= self.claims(found.object())
        _Allocation(operation, new, old, used).run()


class _Allocation:
    """One service's addresses and ports."""

    def __init__(self, operation: Operation, service: Object, old: Object | None, used: set[str]) -> None:
        self._operation = operation
        self._spec: dict[str, Any] = service["spec"]
        self._old: dict[str, Any] | None = old["spec"] if old else None
        self._used = used
        self._random = operation.server.runtime.random()

    def run(self) -> None:
        self._addresses()
        self._ports()
        self._health_check()

    def _addresses(self) -> None:
        spec = self._spec
        if spec.get("type") == "ExternalName":
            return
        networks = service_networks.networks(self._operation.server)
        found = ip_families.settle(spec, self._old, tuple(networks))
        if found.causes:
            raise errors.invalid("Service", "", self._operation.name, list(found.causes))
        addresses = list(found.addresses)
        if addresses != [HEADLESS]:
            for index, family in enumerate(found.families):
                if index == len(addresses):
                    addresses.append(self._free_address(networks[family]))
                elif addresses[index] not in ((self._old or {}).get("clusterIPs") or ()):
                    self._check_address(addresses[index], networks[family])
        spec["clusterIP"], spec["clusterIPs"] = addresses[0], addresses
        spec["ipFamilies"], spec["ipFamilyPolicy"] = list(found.families), found.policy

    def _free_address(self, networks: Sequence[Network]) -> str:
        for network in networks:
            size = min(network.num_addresses, _LARGEST_SEARCH)
            first = min(max(16, size // 16), 256)
            bands = (range(first, size - 1), range(1, min(first, size - 1)))
            for band in bands:
                for number in _shuffled(band, self._random):
                    address = str(network[number])
                    if _address_claim(address) not in self._used and not self._is_foreign(address):
                        return address
        raise errors.internal("failed to allocate a serviceIP: range is full")

    def _check_address(self, address: str, networks: Sequence[Network]) -> None:
        why = ""
        parsed = ipaddress.ip_address(address)
        if not any(parsed in network for network in networks):
            why = "the provided network does not match the current range"
        elif _address_claim(address) in self._operation.refused_claims or self._is_foreign(address):
            why = "provided IP is already allocated"
        if why:
            raise self._invalid("spec.clusterIPs", f'["{address}"]', f"failed to allocate IP {address}: {why}")

    def _is_foreign(self, address: str) -> bool:
        return service_networks.is_foreign(self._operation.server, address)

    def _ports(self) -> None:
        spec = self._spec
        if not _needs_node_ports(spec):
            return
        automatic = spec.get("type") == "NodePort" or spec.get("allocateLoadBalancerNodePorts", True)
        mine: dict[int, set[str]] = {}
        ports = spec.get("ports") or ()
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                number = int(port["nodePort"])
                self._check_port(number, f"spec.ports[{index}].nodePort", shared=number in mine)
                mine.setdefault(number, set()).add(port.get("protocol", "TCP"))
        for port in ports:
            if automatic and not port.get("nodePort"):
                number = port["nodePort"] = self._shared_port(port, mine) or self._free_port(mine)
                mine.setdefault(number, set()).add(port.get("protocol", "TCP"))

    def _shared_port(self, port: Object, mine: dict[int, set[str]]) -> int:
        """The same port in another protocol gets the same node port."""
        for other in self._spec["ports"]:
            number = other.get("nodePort")
            if number and other["port"] == port["port"] and port.get("protocol", "TCP") not in mine.get(number, ()):
                return int(number)
        return 0

    def _free_port(self, mine: dict[int, set[str]]) -> int:
        ports = self._operation.server.config.node_ports
        first = min(max(16, len(ports) // 32), 128) if len(ports) > 16 else 0
        # The lowest are for those who ask for a number, as long as others are free.
        for band in (ports[first:], ports[:first]):
            for number in _shuffled(band, self._random):
                if number not in mine and _port_claim(number) not in self._used:
                    return number
        raise errors.internal("failed to allocate a nodePort: range is full")

    def _check_port(self, number: int, field: str, *, shared: bool) -> None:
        ports = self._operation.server.config.node_ports
        if number not in ports and number not in _node_ports(self._old or {}):
            why = f"provided port is not in the valid range. The range of valid ports is {ports.start}-{ports.stop - 1}"
            raise self._invalid(field, str(number), why)
        if not shared and _port_claim(number) in self._operation.refused_claims:
            raise self._invalid(field, str(number), "provided port is already allocated")

    def _health_check(self) -> None:
        spec = self._spec
        if not _needs_health_check(spec):
            return
        if spec.get("healthCheckNodePort"):
            self._check_port(spec["healthCheckNodePort"], "spec.healthCheckNodePort", shared=False)
        else:
            mine = {port["nodePort"]: {""} for port in spec.get("ports") or () if port.get("nodePort")}
            spec["healthCheckNodePort"] = self._free_port(mine)

    def _invalid(self, field: str, value: str, why: str) -> errors.Invalid:
        cause = Cause("FieldValueInvalid", f"Invalid value: {value}: {why}", field)
        return errors.invalid("Service", "", self._operation.name, [cause])


def _drop_for_type(new: dict[str, Any], old: dict[str, Any]) -> None:
    """What only the old type had a use for goes, unless the client changed it."""
    if new.get("type") == "ExternalName" and old.get("type") != "ExternalName":
        if all(new.get(field) == old.get(field) for field in ("clusterIP", "clusterIPs")):
            _drop_unchanged(new, old, "clusterIP", "clusterIPs")
        _drop_unchanged(new, old, "ipFamilies", "ipFamilyPolicy")
    if _needs_node_ports(old) and not _needs_node_ports(new) and _node_ports(new) <= _node_ports(old):
        for port in new.get("ports") or ():
            port.pop("nodePort", None)
    if _needs_health_check(old) and not _needs_health_check(new):
        _drop_unchanged(new, old, "healthCheckNodePort")
    if new.get("type") != "LoadBalancer" and old.get("type") == "LoadBalancer":
        _drop_unchanged(new, old, "allocateLoadBalancerNodePorts", "loadBalancerClass")
    if _is_external(old) and not _is_external(new):
        _drop_unchanged(new, old, "externalTrafficPolicy")


def _drop_unchanged(new: dict[str, Any], old: dict[str, Any], *fields: str) -> None:
    for field in fields:
        if new.get(field) == old.get(field):
            new.pop(field, None)


def _keep_allocated(new: dict[str, Any], old: dict[str, Any]) -> None:
    """What the old service has and the new one does not mention stays, as far as its type has use for it."""
    if new.get("type") != "ExternalName" and old.get("type") != "ExternalName":
        _keep_addresses(new, old)
    if _needs_node_ports(old) and _needs_node_ports(new):
        # By name: a port keeps its node port whatever else of it changes.
        had = {port.get("name") or "": port.get("nodePort") for port in old.get("ports") or ()}
        used = _node_ports(old) & _node_ports(new)
        for port in new.get("ports") or ():
            kept = had.get(port.get("name") or "")
            if kept and not port.get("nodePort") and kept not in used:
                port["nodePort"] = kept
    if _needs_health_check(old) and _needs_health_check(new) and not new.get("healthCheckNodePort"):
        new["healthCheckNodePort"] = old.get("healthCheckNodePort")


def _needs_node_ports(spec: dict[str, Any]) -> bool:
    return spec.get("type") in _WITH_NODE_PORTS


def _needs_health_check(spec: dict[str, Any]) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _is_external(spec: dict[str, Any]) -> bool:
    """Whether clients outside of the cluster have a way to it, to which a policy may apply."""
    return _needs_node_ports(spec) or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def _node_ports(spec: dict[str, Any]) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}


def _keep_addresses(new: dict[str, Any], old: dict[str, Any]) -> None:
    """What is not mentioned stays, and `clusterIPs` follows a `clusterIP` that alone was changed."""
    if not new.get("clusterIP") and old.get("clusterIP"):
        new["clusterIP"] = old["clusterIP"]
    same = new.get("clusterIP") == old.get("clusterIP")
    if same and not new.get("clusterIPs") and old.get("clusterIPs"):
        new["clusterIPs"] = old["clusterIPs"]
    elif new.get("clusterIP") and not same and new.get("clusterIPs") in (None, [], old.get("clusterIPs")):
        new["clusterIPs"] = [new["clusterIP"]]
    if same:
        for field in ("ipFamilies", "ipFamilyPolicy"):
            if old.get(field) and not new.get(field):
                new[field] = old[field]


def _shuffled(numbers: range, source: random.Random) -> range | list[int]:
    """Some random numbers of the range, then all of them: a free one is found soon, or found at all."""
    picks = [source.choice(numbers) for _ in range(16)] if numbers else []
    return [*picks, *numbers] if len(numbers) < _LARGEST_SEARCH else picks


def _address_claim(address: str) -> str:
    return f"serviceips/{address}"


def _port_claim(number: int) -> str:
    return f"nodeports/{number}"
