"""What the cluster's zone says: the names of services and pods, and their records.

Each service owns names; the zone is the sum of them. A name that only has others below it exists too, and has no
records; a name that does not exist at all is answered with the zone's SOA.

Invariant: `service_names` is a pure function of a service and its slices.
Source: Kubernetes DNS-Based Service Discovery, version 1.1.0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from agents.dns import wire
from agents.dns.wire import Answer, Code, Record, Type
from api.objects import name_of, namespace_of

TTL = 5
NEGATIVE_TTL = 5
SPECIFICATION = "1.1.0"

Names = Mapping[str, tuple[Record, ...]]


def service_names(service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]], domain: str) -> Names:
    """All names of one service, each with its records."""
    spec = service.get("spec") or {}
    own = f"{name_of(service)}.{namespace_of(service)}.svc.{domain}".lower()
    if spec.get("type") == "ExternalName":
        target = str(spec.get("externalName") or "").rstrip(".").lower()
        return {own: (wire.alias(own, TTL, target),)} if target else {}
    addresses = [a for a in spec.get("clusterIPs") or [spec.get("clusterIP")] if a]
    if not addresses or addresses == ["None"]:
        return _headless_names(own, slices)
    found: dict[str, list[Record]] = {own: [wire.address(own, TTL, a) for a in addresses]}
    for port in spec.get("ports") or ():
        if port.get("name"):
            name = _port_name(port, own)
            found.setdefault(name, []).append(wire.location(name, TTL, 100, int(port["port"]), own))
    for a in addresses:
        name = reverse_name(a)
        found[name] = [wire.pointer(name, TTL, own)]
    return {name: tuple(records) for name, records in found.items()}


def _headless_names(own: str, slices: Iterable[Mapping[str, Any]]) -> Names:
    """Names of the endpoints themselves, which is how the members of a StatefulSet find each other."""
    found: dict[str, dict[Record, None]] = {}

    def add(record: Record) -> None:
        found.setdefault(record.name, {})[record] = None

    for endpoint_slice in slices:
        for entry in endpoint_slice.get("endpoints") or ():
            if (entry.get("conditions") or {}).get("ready") is False:
                continue
            for a in entry.get("addresses") or ():
                host = f"{(entry.get('hostname') or _dashed(a)).lower()}.{own}"
                add(wire.address(own, TTL, a))
                add(wire.address(host, TTL, a))
                add(wire.pointer(reverse_name(a), TTL, host))
                for port in endpoint_slice.get("ports") or ():
                    if port.get("name") and port.get("port"):
                        add(wire.location(_port_name(port, own), TTL, 100, int(port["port"]), host))
    return {name: tuple(records) for name, records in found.items()}


def reverse_name(text: str) -> str:
    """The name under in-addr.arpa or ip6.arpa of an address."""
    return ip_address(text).reverse_pointer


def _port_name(port: Mapping[str, Any], own: str) -> str:
    return f"_{port['name']}._{port.get('protocol') or 'TCP'}.{own}".lower()


def _dashed(text: str) -> str:
    return text.replace(".", "-").replace(":", "-")


class Zone:
    """The names of all services, and the answers to questions about them."""

    def __init__(self, domain: str, networks: Iterable[str] = ()) -> None:
        self.domain = domain.lower().rstrip(".")
        self._networks = tuple(ip_network(network) for network in networks)
        self._parts: dict[str, Names] = {}
        self._records: dict[str, dict[str, tuple[Record, ...]]] = {}
        self._above: Counter[str] = Counter()
        self._serial = 0
        self._version = f"dns-version.{self.domain}"

    def replace(self, owner: str, names: Names) -> bool:
        """Put names in place of the owner's present ones; whether that changed anything."""
        old = self._parts.get(owner, {})
        if old == names:
            return False
        for name in old:
            holders = self._records[name]
            del holders[owner]
            if not holders:
                del self._records[name]
                self._forget_above(name)
        for name, records in names.items():
            if name not in self._records:
                self._above.update(_ancestors(name))
            self._records.setdefault(name, {})[owner] = records
        if names:
            self._parts[owner] = names
        else:
            self._parts.pop(owner, None)
        self._serial += 1
        return True

    def owns(self, name: str) -> bool:
        """Whether questions about the name are answered here and not elsewhere."""
        if name == self.domain or name.endswith("." + self.domain):
            return True
        if name in self._records:
            return True
        return self._is_own_reverse(name)

    def resolve(self, name: str, kind: int) -> Answer:
        """The answer to a question about an own name; an alias out of the zone is left for the caller to follow."""
        records = self.records(name)
        if not records and not self._exists(name):
            return Answer(Code.NAME_ERROR, authority=(self._soa(),))
        wanted = tuple(record for record in records if kind in (record.kind, Type.ANY) or record.kind == Type.CNAME)
        if not wanted:
            return Answer(authority=(self._soa(),))
        targets = dict.fromkeys(wire.srv_targets(wanted))
        glue = [record for target in targets for record in self.records(target) if record.kind in (Type.A, Type.AAAA)]
        return Answer(answers=wanted, additional=tuple(glue))

    def records(self, name: str) -> tuple[Record, ...]:
        """All records of a name, of whatever type."""
        held = self._records.get(name)
        if held:
            return tuple(record for records in held.values() for record in records)
        if name == self._version:
            return (wire.text(name, TTL, SPECIFICATION),)
        if name == self.domain:
            return (self._soa(),)
        return self._pod_records(name)

    def _pod_records(self, name: str) -> tuple[Record, ...]:
        """The address that a pod's name itself spells: 10-244-1-5.NAMESPACE.pod.DOMAIN."""
        labels = name.removesuffix("." + self.domain).split(".")
        if len(labels) != 3 or labels[2] != "pod" or not name.endswith("." + self.domain):
            return ()
        for separator in (".", ":"):
            spelled = labels[0].replace("-", separator)
            try:
                return (wire.address(name, TTL, str(ip_address(spelled))),)
            except ValueError:
                continue
        return ()

    def _forget_above(self, name: str) -> None:
        for above in _ancestors(name):
            self._above[above] -= 1
            if not self._above[above]:
                del self._above[above]

    def _exists(self, name: str) -> bool:
        return self._above[name] > 0 or name in (f"svc.{self.domain}", f"pod.{self.domain}")

    def _is_own_reverse(self, name: str) -> bool:
        labels = name.removesuffix(".in-addr.arpa").split(".")
        if not name.endswith(".in-addr.arpa") or len(labels) != 4:
            return False
        try:
            found = ip_address(".".join(reversed(labels)))
        except ValueError:
            return False
        return any(found in network for network in self._networks if network.version == 4)

    def _soa(self) -> Record:
        return wire.authority(self.domain, NEGATIVE_TTL, self._serial)


def _ancestors(name: str) -> list[str]:
    """The names above a name: b.c and c of a.b.c."""
    labels = name.split(".")
    return [".".join(labels[index:]) for index in range(1, len(labels))]
