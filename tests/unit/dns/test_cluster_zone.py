"""What the cluster's zone answers, as a table: the names that Kubernetes' DNS specification gives services and pods."""

from __future__ import annotations

import dns.name
import dns.rdatatype
import pytest
from dns.rcode import Rcode

from agents.dns.zone import Zone, namespace_names, service_names

pytestmark = pytest.mark.unit

DOMAIN = "cluster.local"


def service(name: str, *addresses: str, ports: tuple[tuple[str, int], ...] = (), **spec) -> dict:
    entries = [{"name": port, "port": number, "protocol": "TCP"} for port, number in ports]
    addressed = {"clusterIP": addresses[0], "clusterIPs": list(addresses)} if addresses else {}
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": addressed | {"ports": entries} | spec}


def endpoint(address: str, hostname: str = "", *, ready: bool = True) -> dict:
    return {"addresses": [address], "conditions": {"ready": ready}} | ({"hostname": hostname} if hostname else {})


def endpoint_slice(*entries: dict, port: str = "sql") -> dict:
    return {"endpoints": list(entries), "ports": [{"name": port, "port": 5432, "protocol": "TCP"}]}


@pytest.fixture(scope="module")
def zone() -> Zone:
    made = Zone(DOMAIN, ["10.244.0.0/16", "10.96.0.0/16", "fd00::/64"])
    members = endpoint_slice(endpoint("10.244.1.5", "db-0"), endpoint("10.244.2.5", "db-1"),
                             endpoint("10.244.1.7"), endpoint("10.244.1.8", "db-2", ready=False))  # fmt: skip
    parts = [
        (service("web", "10.96.0.20", ports=(("http", 80), ("", 81))), []),
        (service("both", "10.96.0.21", "fd00::21"), []),
        (service("db", "None"), [members, {"addressType": "FQDN", "endpoints": [endpoint("away.example.com")]}]),
        (service("six", "None"), [endpoint_slice(endpoint("fd00::5", "six-0"))]),
        (service("idle", "None"), []),
        (service("away", type="ExternalName", externalName="Example.ORG."), []),
        (service("near", type="ExternalName", externalName="web.shop.svc.cluster.local"), []),
        (service("numbered", type="ExternalName", externalName="192.0.2.1"), []),
    ]
    for namespace in ("shop", "empty"):
        made.replace(f"/{namespace}", namespace_names(namespace, DOMAIN))
    for number, (obj, slices) in enumerate(parts):
        made.replace(str(number), service_names(obj, slices, DOMAIN))
    return made


@pytest.mark.parametrize("name, kind, expected", [
    ("web.shop.svc", "A", ["10.96.0.20"]),
    ("WEB.Shop.svc", "A", ["10.96.0.20"]),
    ("both.shop.svc", "A", ["10.96.0.21"]),
    ("both.shop.svc", "AAAA", ["fd00::21"]),
    ("_http._tcp.web.shop.svc", "SRV", ["0 100 80 web.shop.svc.cluster.local."]),
    ("web.shop.svc", "SRV", ["0 100 80 web.shop.svc.cluster.local.", "0 100 81 web.shop.svc.cluster.local."]),
    ("db-0.db.shop.svc", "SRV", ["0 100 5432 db-0.db.shop.svc.cluster.local."]),
    ("db.shop.svc", "SRV", ["0 100 5432 10-244-1-7.db.shop.svc.cluster.local.",
     "0 100 5432 db-0.db.shop.svc.cluster.local.", "0 100 5432 db-1.db.shop.svc.cluster.local."]),
    ("10-244-1-5.empty.pod", "A", ["10.244.1.5"]),
    ("db.shop.svc", "A", ["10.244.1.5", "10.244.1.7", "10.244.2.5"]),
    ("db-0.db.shop.svc", "A", ["10.244.1.5"]),
    ("10-244-1-7.db.shop.svc", "A", ["10.244.1.7"]),
    ("_sql._tcp.db.shop.svc", "SRV", ["0 100 5432 10-244-1-7.db.shop.svc.cluster.local.",
     "0 100 5432 db-0.db.shop.svc.cluster.local.", "0 100 5432 db-1.db.shop.svc.cluster.local."]),
    ("six-0.six.shop.svc", "AAAA", ["fd00::5"]),
    ("away.shop.svc", "A", ["example.org."]),
    ("away.shop.svc", "CNAME", ["example.org."]),
    ("10-244-1-5.shop.pod", "A", ["10.244.1.5"]),
    ("fd00--5.shop.pod", "AAAA", ["fd00::5"]),
    ("dns-version", "TXT", ['"1.1.0"']),
])  # fmt: skip
def test_names_that_exist(zone: Zone, name: str, kind: str, expected: list[str]) -> None:
    found = zone.resolve(dns.name.from_text(f"{name}.{DOMAIN}"), dns.rdatatype.from_text(kind))
    assert found.code == Rcode.NOERROR
    assert sorted(record.to_text() for rrset in found.answers for record in rrset) == expected


@pytest.mark.parametrize("address, expected", [
    ("10.96.0.20", "web.shop.svc.cluster.local."),
    ("10.244.2.5", "db-1.db.shop.svc.cluster.local."),
    ("fd00::21", "both.shop.svc.cluster.local."),
])  # fmt: skip
def test_addresses_lead_back_to_names(zone: Zone, address: str, expected: str) -> None:
    name = dns.reversename.from_address(address)
    assert zone.owns(name.to_text(omit_final_dot=True))
    (rrset,) = zone.resolve(name, dns.rdatatype.PTR).answers
    assert [record.to_text() for record in rrset] == [expected]


@pytest.mark.parametrize("name, kind, code", [
    ("web.shop.svc", "AAAA", Rcode.NOERROR),
    ("_tcp.web.shop.svc", "A", Rcode.NOERROR),
    ("shop.svc", "A", Rcode.NOERROR),
    ("svc", "A", Rcode.NOERROR),
    ("empty.svc", "A", Rcode.NOERROR),
    ("empty.pod", "A", Rcode.NOERROR),
    ("other.svc", "NS", Rcode.NXDOMAIN),
    ("numbered.shop.svc", "A", Rcode.NXDOMAIN),
    ("www.away.shop.svc", "CNAME", Rcode.NXDOMAIN),
    ("10-244-1-5.other.pod", "A", Rcode.NXDOMAIN),
    ("idle.shop.svc", "A", Rcode.NXDOMAIN),
    ("gone.shop.svc", "A", Rcode.NXDOMAIN),
    ("web.other.svc", "A", Rcode.NXDOMAIN),
    ("db-2.db.shop.svc", "A", Rcode.NXDOMAIN),
    ("_ftp._tcp.web.shop.svc", "SRV", Rcode.NXDOMAIN),
    ("10-244-1.shop.pod", "A", Rcode.NXDOMAIN),
])  # fmt: skip
def test_answers_without_records_carry_the_zones_authority(zone: Zone, name: str, kind: str, code: Rcode) -> None:
    found = zone.resolve(dns.name.from_text(f"{name}.{DOMAIN}"), dns.rdatatype.from_text(kind))
    assert (found.code, found.answers) == (code, ())
    (authority,) = found.authority
    assert (authority.name.to_text(), authority.rdtype, authority.ttl) == ("cluster.local.", dns.rdatatype.SOA, 5)


@pytest.mark.parametrize("name, owned", [
    ("cluster.local", True), ("web.shop.svc.cluster.local", True), ("xcluster.local", False), ("example.org", False),
    ("9.0.96.10.in-addr.arpa", True), ("1.1.1.1.in-addr.arpa", False), ("96.10.in-addr.arpa", False),
])  # fmt: skip
def test_what_the_zone_answers_for(zone: Zone, name: str, owned: bool) -> None:
    assert zone.owns(name) is owned


def test_locations_come_with_the_addresses_of_their_targets(zone: Zone) -> None:
    found = zone.resolve(dns.name.from_text(f"_sql._tcp.db.shop.svc.{DOMAIN}"), dns.rdatatype.SRV)
    assert sorted(record.to_text() for rrset in found.additional for record in rrset) == [
        "10.244.1.5", "10.244.1.7", "10.244.2.5"]  # fmt: skip


def test_the_zone_names_its_own_server() -> None:
    made = Zone(DOMAIN, servers=("10.96.0.10", "fd00:96::a"))
    found = made.resolve(dns.name.from_text(DOMAIN), dns.rdatatype.NS)
    assert [record.to_text() for rrset in found.answers for record in rrset] == ["ns.dns.cluster.local."]
    assert [record.to_text() for rrset in found.additional for record in rrset] == ["10.96.0.10", "fd00:96::a"]
    assert made.resolve(dns.name.from_text(f"ns.dns.{DOMAIN}"), dns.rdatatype.A).answers[0][0].to_text() == "10.96.0.10"
    for name, kind in (("dns", "A"), ("ns.dns", "TXT"), ("svc", "NS")):
        answer = made.resolve(dns.name.from_text(f"{name}.{DOMAIN}"), dns.rdatatype.from_text(kind))
        assert (answer.code, answer.answers) == (Rcode.NOERROR, ())


def test_names_go_with_their_service_and_stay_while_another_has_them() -> None:
    made = Zone(DOMAIN)
    slices = [endpoint_slice(endpoint("10.244.1.5", "db-0"))]
    first, second = (service_names(service(name, "None"), slices, DOMAIN) for name in ("a", "b"))
    assert made.replace("a", first) and made.replace("b", second)
    assert not made.replace("b", second)
    pointer = dns.reversename.from_address("10.244.1.5")
    assert len(made.resolve(pointer, dns.rdatatype.PTR).answers[0]) == 2
    made.replace("a", {})
    assert [r.to_text() for r in made.resolve(pointer, dns.rdatatype.PTR).answers[0]] == [
        "db-0.b.shop.svc.cluster.local."
    ]
    made.replace("b", {})
    assert made.resolve(dns.name.from_text("shop.svc.cluster.local"), dns.rdatatype.A).code == Rcode.NXDOMAIN
