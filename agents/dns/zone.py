"""What the cluster's zone says: the names of services and pods, and their records.

Each service owns names; the zone is the sum of them. A name that only has others below it exists too, and has no
records; a name that does not exist at all is answered with the zone's SOA.

Invariant: `service_names` is a pure function of a service and its slices.
Source: Kubernetes DNS-Based Service Discovery, version 1.1.0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

import dns.name
import dns.reversename
import dns.rrset
from dns.name import Name
from dns.rcode import Rcode
from dns.rdata import Rdata
from dns.rdataclass import IN
from dns.rdatatype import RdataType
from dns.rdtypes.ANY import CNAME, NS, PTR, SOA, TXT
from dns.rdtypes.IN import AAAA, SRV, A
from dns.rrset import RRset

from agents.dns.messages import Answer
from api.objects import name_of, namespace_of

TTL = 5
NEGATIVE_TTL = 5
SPECIFICATION = "1.1.0"

Names = Mapping[str, tuple[Rdata, ...]]

_ADDRESSES = (RdataType.A, RdataType.AAAA)
_address4, _address6 = partial(A.A, IN, RdataType.A), partial(AAAA.AAAA, IN, RdataType.AAAA)
_alias, _pointer = partial(CNAME.CNAME, IN, RdataType.CNAME), partial(PTR.PTR, IN, RdataType.PTR)
_location, _text = partial(SRV.SRV, IN, RdataType.SRV, 0, 100), partial(TXT.TXT, IN, RdataType.TXT)
_server = partial(NS.NS, IN, RdataType.NS)
_authority = partial(SOA.SOA, IN, RdataType.SOA)


def service_names(service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]], domain: str) -> Names:
    """All names of one service, each with its records."""
    spec = service.get("spec") or {}
    own = f"{name_of(service)}.{namespace_of(service)}.svc.{domain}".lower()
    if spec.get("type") == "ExternalName":
        target = str(spec.get("externalName") or "").rstrip(".").lower()
        return {own: (_alias(_name(target)),)} if target and not _is_address(target) else {}
    if not has_address(service):
        return _headless_names(own, slices)
    addresses = [a for a in spec.get("clusterIPs") or [spec.get("clusterIP")] if a]
    found: dict[str, list[Rdata]] = {own: [_address(a) for a in addresses]}
    for port in spec.get("ports") or ():
        location = _location(int(port["port"]), _name(own))
        # The original tells all ports at the service's own name, too.
        for name in _port_names(port, own):
            found.setdefault(name, []).append(location)
    for a in addresses:
        found[reverse_name(a)] = [_pointer(_name(own))]
    return {name: tuple(records) for name, records in found.items()}


def has_address(service: Mapping[str, Any]) -> bool:
    """Whether the service has an address of its own: what its name leads to, instead of its endpoints."""
    spec = service.get("spec") or {}
    return spec.get("type") != "ExternalName" and spec.get("clusterIP") not in (None, "", "None")


class Member(NamedTuple):
    """A ready endpoint of a service: the label that names it, one of its addresses, and the ports of its slice."""

    label: str
    address: str
    ports: tuple[Mapping[str, Any], ...]

    def locations(self, own: str) -> Iterator[tuple[Mapping[str, Any], Rdata]]:
        """Its ports, each with where it is, for an endpoint of the service of that name."""
        for port in self.ports:
            yield port, _location(int(port["port"]), _name(f"{self.label}.{own}"))


def members(slices: Iterable[Mapping[str, Any]]) -> Iterator[Member]:
    """The ready endpoints in a service's slices."""
    for endpoint_slice in slices:
        if endpoint_slice.get("addressType") == "FQDN":
            continue
        ports = tuple(port for port in endpoint_slice.get("ports") or () if port.get("port"))
        for entry in endpoint_slice.get("endpoints") or ():
            if (entry.get("conditions") or {}).get("ready") is not False:
                for a in entry.get("addresses") or ():
                    yield Member((entry.get("hostname") or _dashed(a)).lower(), a, ports)


def member_records(one: Member, own: str) -> tuple[Rdata, ...]:
    """What the name of an endpoint leads to, for an endpoint of the service of the name `own`."""
    return (_address(one.address), *(location for _, location in one.locations(own)))


def pointer(name: str) -> Rdata:
    """The record that leads to a name from an address."""
    return _pointer(_name(name))


def _headless_names(own: str, slices: Iterable[Mapping[str, Any]]) -> Names:
    """Names of the endpoints themselves, which is how the members of a StatefulSet find each other."""
    found: dict[str, dict[Rdata, None]] = {}
    for one in members(slices):
        host = f"{one.label}.{own}"
        found.setdefault(own, {})[_address(one.address)] = None
        found.setdefault(host, {}).update(dict.fromkeys(member_records(one, own)))
        found.setdefault(reverse_name(one.address), {})[pointer(host)] = None
        for port, location in one.locations(own):
            for name in _port_names(port, own):
                found.setdefault(name, {})[location] = None
    return {name: tuple(records) for name, records in found.items()}


def reverse_name(text: str) -> str:
    """The name under in-addr.arpa or ip6.arpa of an address."""
    return ip_address(text).reverse_pointer


def _name(text: str) -> Name:
    return dns.name.from_text(text)


def _address(text: str) -> Rdata:
    return _address6(text) if ":" in text else _address4(text)


def _port_names(port: Mapping[str, Any], own: str) -> tuple[str, ...]:
    """The names at which a port of the service of the name `own` is told."""
    if not port.get("name"):
        return (own,)
    return own, f"_{port['name']}._{port.get('protocol') or 'TCP'}.{own}".lower()


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def _dashed(text: str) -> str:
    return text.replace(".", "-").replace(":", "-")


def namespace_names(namespace: str, domain: str) -> Names:
    """The names that exist with a namespace and have no records."""
    return {f"{namespace}.svc.{domain}".lower(): (), f"{namespace}.pod.{domain}".lower(): ()}


def _nothing(_: str) -> tuple[Rdata, ...]:
    return ()


class Zone:
    """The names of all services, and the answers to questions about them.

    `further` has the records of names that are not kept here, but looked up; `servers` are the zone's own addresses.
    """

    def __init__(
        self,
        domain: str,
        networks: Iterable[str] = (),
        further: Callable[[str], tuple[Rdata, ...]] = _nothing,
        servers: Iterable[str] = (),
    ) -> None:
        self._further = further
        self._servers = tuple(map(_address, servers))
        self.domain = domain.lower().rstrip(".")
        self._networks = tuple(ip_network(network) for network in networks)
        self._parts: dict[str, Names] = {}
        self._records: dict[str, dict[str, tuple[Rdata, ...]]] = {}
        self._above: Counter[str] = Counter()
        self._serial = 0
        self._version = f"dns-version.{self.domain}"
        self._server = f"ns.dns.{self.domain}"
        # Names that exist without any records, whatever the cluster has.
        self._always = {f"svc.{self.domain}", f"pod.{self.domain}", f"dns.{self.domain}", self._server}

    def replace(self, owner: str, names: Names) -> frozenset[str]:
        """Put names in place of the owner's present ones; the names whose answers that may have changed."""
        old = self._parts.get(owner, {})
        touched = {name for name in old.keys() | names.keys() if old.get(name) != names.get(name)}
        if not touched:
            return frozenset()
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
        return frozenset(touched.union(*map(_ancestors, touched)))

    def owns(self, name: str) -> bool:
        """Whether questions about the name are answered here and not elsewhere."""
        if name == self.domain or name.endswith("." + self.domain):
            return True
        if name in self._records:
            return True
        return self._is_own_reverse(name)

    def resolve(self, asked: Name, kind: RdataType) -> Answer:
        """The answer to a question about an own name; an alias out of the zone is left for the caller to follow."""
        name = asked.to_text(omit_final_dot=True).lower()
        records = self.records(name)
        if not records and not self._exists(name):
            return Answer(Rcode.NXDOMAIN, authority=(self._soa(),))
        wanted = [
            record for record in records if kind in (record.rdtype, RdataType.ANY) or record.rdtype == RdataType.CNAME
        ]
        if not wanted:
            return Answer(authority=(self._soa(),))
        targets = dict.fromkeys(record.target for record in wanted if isinstance(record, SRV.SRV | NS.NS))
        glue = [rrset for target in targets for rrset in self._glue(target)]
        return Answer(answers=tuple(_sets(asked, wanted)), additional=tuple(glue))

    def records(self, name: str) -> tuple[Rdata, ...]:
        """All records of a name, of whatever type."""
        held = self._records.get(name)
        if held:
            return tuple(record for records in held.values() for record in records)
        if name == self._version:
            return (_text([SPECIFICATION]),)
        if name == self.domain:
            return (self._start_of_authority(), _server(_name(self._server)))
        if name == self._server:
            return self._servers
        return self._pod_records(name) or self._further(name)

    def follows_from(self, name: str) -> tuple[str, ...]:
        """The other name that what is said of a name follows from: a pod's that of its namespace."""
        return (name.partition(".")[2],) if name.endswith(f".pod.{self.domain}") else ()

    def _glue(self, target: Name) -> list[RRset]:
        records = self.records(target.to_text(omit_final_dot=True).lower())
        return _sets(target, [record for record in records if record.rdtype in _ADDRESSES])

    def _pod_records(self, name: str) -> tuple[Rdata, ...]:
        """The address that a pod's name itself spells: 10-244-1-5.NAMESPACE.pod.DOMAIN."""
        labels = name.removesuffix("." + self.domain).split(".")
        if len(labels) != 3 or labels[2] != "pod" or name.partition(".")[2] not in self._records:
            return ()
        if "%" in labels[0]:
            # Python takes fe80::1%eth0 for an address.
            return ()
        for separator in (".", ":"):
            spelled = labels[0].replace("-", separator)
            try:
                return (_address(str(ip_address(spelled))),)
            except ValueError:
                continue
        return ()

    def _forget_above(self, name: str) -> None:
        for above in _ancestors(name):
            self._above[above] -= 1
            if not self._above[above]:
                del self._above[above]

    def _exists(self, name: str) -> bool:
        return name in self._records or self._above[name] > 0 or name in self._always

    def _is_own_reverse(self, name: str) -> bool:
        if not name.endswith((".in-addr.arpa", ".ip6.arpa")):
            return False
        try:
            found = ip_address(dns.reversename.to_address(_name(name)))
        except (dns.exception.DNSException, ValueError):
            return False
        return any(found in network for network in self._networks)

    def _start_of_authority(self) -> Rdata:
        names = (_name(self._server), _name(f"hostmaster.{self.domain}"))
        return _authority(*names, self._serial & 0xFFFFFFFF, 7200, 1800, 86400, NEGATIVE_TTL)

    def _soa(self) -> RRset:
        return dns.rrset.from_rdata(_name(self.domain), NEGATIVE_TTL, self._start_of_authority())


def _sets(owner: Name, records: Iterable[Rdata]) -> list[RRset]:
    """Records of one name, put together by their type."""
    by_type: dict[RdataType, list[Rdata]] = {}
    for record in records:
        by_type.setdefault(record.rdtype, []).append(record)
    return [dns.rrset.from_rdata_list(owner, TTL, held) for held in by_type.values()]


def _ancestors(name: str) -> list[str]:
    """The names above a name: b.c and c of a.b.c."""
    labels = name.split(".")
    return [".".join(labels[index:]) for index in range(1, len(labels))]
