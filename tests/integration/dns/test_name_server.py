"""The name server over real sockets: what clients get by UDP and TCP, and from the server behind it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.reversename
import pytest
from dns.message import Message
from dns.rrset import RRset
from hypothesis import given, settings
from hypothesis import strategies as st
from proxy_site import wait_for

from agents.dns import messages
from agents.dns.messages import Answer
from agents.dns.node_dns import PORT, NodeDns
from agents.dns.resolver import Resolver
from agents.dns.server import DnsServer
from agents.dns.upstream import Upstream
from agents.dns.zone import Zone, service_names
from api.runtime import SystemRuntime

pytestmark = pytest.mark.integration

LARGE = 60


class Clock(SystemRuntime):
    """A clock that can be set forward."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Elsewhere(Resolver):
    """Another zone's name server, which counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def quick(self, data: bytes) -> bytes:
        return self.slow(data)

    def slow(self, data: bytes, *, datagram: bool = True) -> bytes:
        query = messages.read_query(data)
        name = messages.name_of(query)
        self.asked.append(name)
        found = Answer(dns.rcode.NXDOMAIN)
        if name == "example.org":
            found = Answer(answers=(record(name, 100, "A", "192.0.2.1"),))
        elif name == "large.example.org":
            texts = [f"{number:03}{'x' * 200}" for number in range(LARGE)]
            found = Answer(answers=(dns.rrset.from_text_list(name + ".", 100, "IN", "TXT", texts),))
        return messages.write_answer(found, query, datagram=datagram)


@dataclass
class Site:
    """A node's name server, which listens at an address of each family, and one behind it."""

    clock: Clock
    resolver: Resolver
    port: int
    port_ipv6: int
    elsewhere: Elsewhere = field(default_factory=Elsewhere)

    def publish(self, name: str, *addresses: str, **spec) -> None:
        """Put a service into the zone; without an address, take it out."""
        spec |= {"clusterIP": addresses[0] if addresses else "", "clusterIPs": list(addresses)}
        obj = {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}
        self.resolver.update(name, service_names(obj, [], "cluster.local"))

    def ask(self, name: str, kind: str = "A", *, tcp: bool = False, **options) -> Message:
        """The answer to a question."""
        query = dns.message.make_query(name, kind, **options)
        return (dns.query.tcp if tcp else dns.query.udp)(query, "127.0.0.1", 5, self.port)

    def addresses(self, name: str) -> list[str]:
        """The addresses that a name has."""
        return [item.to_text() for rrset in self.ask(name).answer for item in rrset]


def record(name: str, ttl: int, kind: str, text: str) -> RRset:
    return dns.rrset.from_text(name + ".", ttl, "IN", kind, text)


@pytest.fixture
def site() -> Iterator[Site]:
    clock, elsewhere = Clock(), Elsewhere()
    stop = clock.event()
    outer = DnsServer(elsewhere, clock, "127.0.0.1", 0)
    zone = Zone("cluster.local", ["10.96.0.0/16", "fd00:96::/112"])
    resolver = Resolver(zone, Upstream(("127.0.0.1",), clock, port=outer.port), clock)
    inner = DnsServer(resolver, clock, "127.0.0.1", 0)
    sixth = DnsServer(resolver, clock, "::1", 0)
    for server in (outer, inner, sixth):
        server.start(stop)
    try:
        yield Site(clock, resolver, inner.port, sixth.port, elsewhere)
    finally:
        stop.set()
        for server in (outer, inner, sixth):
            server.close()


@pytest.mark.parametrize("tcp", [False, True])
def test_a_service_is_found_by_udp_and_tcp(site: Site, tcp: bool) -> None:
    site.publish("web", "10.96.0.20")
    answer = site.ask("web.shop.svc.cluster.local", tcp=tcp)
    assert [rrset.to_text() for rrset in answer.answer] == ["web.shop.svc.cluster.local. 5 IN A 10.96.0.20"]
    assert answer.flags & dns.flags.AA and answer.flags & dns.flags.RA


@pytest.mark.parametrize("name, kind, expected", [
    ("web.shop.svc.cluster.local", "A", "10.96.0.20"),
    ("web.shop.svc.cluster.local", "AAAA", "fd00:96::20"),
    (dns.reversename.from_address("fd00:96::20").to_text(), "PTR", "web.shop.svc.cluster.local."),
])  # fmt: skip
def test_addresses_of_both_families_are_found_by_both(site: Site, name: str, kind: str, expected: str) -> None:
    site.publish("web", "10.96.0.20", "fd00:96::20")
    query = dns.message.make_query(name, kind)
    for answer in (dns.query.udp(query, "::1", 5, site.port_ipv6), site.ask(name, kind)):
        assert [item.to_text() for rrset in answer.answer for item in rrset] == [expected]
    strange = site.ask(dns.reversename.from_address("fd00:96::21").to_text(), "PTR")
    assert strange.rcode() == dns.rcode.NXDOMAIN


def test_a_change_is_in_the_next_answer(site: Site) -> None:
    for address in ("10.96.0.20", "10.96.0.21"):
        site.publish("web", address)
        assert site.addresses("web.shop.svc.cluster.local") == [address]
        assert site.addresses("web.shop.svc.cluster.local") == [address]
    site.publish("web")
    answer = site.ask("web.shop.svc.cluster.local")
    assert answer.rcode() == dns.rcode.NXDOMAIN and answer.authority[0].rdtype == dns.rdatatype.SOA


def test_a_change_is_in_every_answer_that_it_is_part_of(site: Site) -> None:
    ports = [{"name": "http", "port": 80}]
    site.publish("near", type="ExternalName", externalName="web.shop.svc.cluster.local")
    questions = [("near.shop.svc.cluster.local", "A"), ("_http._tcp.web.shop.svc.cluster.local", "SRV"),
                 ("shop.svc.cluster.local", "A"), ("web.shop.svc.cluster.local", "AAAA")]  # fmt: skip

    def said() -> list[str]:
        answers = [site.ask(*question) for question in questions]
        return [" ".join([dns.rcode.to_text(a.rcode()), *(r.to_text() for s in a.answer + a.additional for r in s)])
                for a in answers]  # fmt: skip

    known = "NOERROR web.shop.svc.cluster.local."
    assert said() == [known, "NXDOMAIN", "NOERROR", "NXDOMAIN"]
    for address in ("10.96.0.20", "10.96.0.21"):
        site.publish("web", address, ports=ports)
        located = f"NOERROR 0 100 80 web.shop.svc.cluster.local. {address}"
        assert said() == [f"{known} {address}", located, "NOERROR", "NOERROR"]
        site.publish("other", address)
        assert said() == [f"{known} {address}", located, "NOERROR", "NOERROR"]
    site.publish("web")
    assert said() == [known, "NXDOMAIN", "NOERROR", "NXDOMAIN"]


def test_an_answer_repeats_the_question_as_it_was_spelled(site: Site) -> None:
    site.publish("web", "10.96.0.20")
    for name in ("wEb.shop.SVC.cluster.local.", "web.SHOP.svc.cluster.local."):
        assert site.ask(name).question[0].name.to_text() == name


def test_other_names_are_asked_for_elsewhere_and_kept_as_long_as_they_hold(site: Site) -> None:
    first = site.ask("example.org")
    assert (first.answer[0].ttl, first.answer[0][0].to_text()) == (100, "192.0.2.1")
    site.clock.ahead = 10.0
    assert site.ask("example.org").answer[0].ttl == 90
    assert site.elsewhere.asked == ["example.org"]
    site.clock.ahead = 31.0
    assert site.ask("example.org").answer[0].ttl == 100
    assert site.elsewhere.asked == ["example.org"] * 2


def test_a_name_that_is_nowhere_is_said_so(site: Site) -> None:
    assert site.ask("nowhere.example.org").rcode() == dns.rcode.NXDOMAIN


def test_an_external_name_is_followed(site: Site) -> None:
    site.publish("away", type="ExternalName", externalName="example.org")
    assert site.addresses("away.shop.svc.cluster.local") == ["example.org.", "192.0.2.1"]
    site.publish("web", "10.96.0.20")
    site.publish("near", type="ExternalName", externalName="web.shop.svc.cluster.local")
    assert site.addresses("near.shop.svc.cluster.local") == ["web.shop.svc.cluster.local.", "10.96.0.20"]


def test_an_external_name_that_nobody_knows_is_still_an_alias(site: Site) -> None:
    site.publish("lost", type="ExternalName", externalName="nowhere.example.org")
    assert site.addresses("lost.shop.svc.cluster.local") == ["nowhere.example.org."]


def test_what_a_datagram_cannot_hold_is_asked_for_again_by_tcp(site: Site) -> None:
    short = site.ask("large.example.org", "TXT")
    assert short.flags & dns.flags.TC and not short.answer
    whole = site.ask("large.example.org", "TXT", tcp=True)
    assert len(whole.answer[0]) == LARGE


def test_the_room_that_a_client_offers_is_used(site: Site) -> None:
    site.publish("many", *(f"10.96.1.{number}" for number in range(60)))
    name = "many.shop.svc.cluster.local"
    assert site.ask(name).flags & dns.flags.TC
    offered = site.ask(name, use_edns=0, payload=1232)
    assert not offered.flags & dns.flags.TC and len(offered.answer[0]) == 60 and offered.edns == 0


def test_without_other_servers_a_foreign_name_fails_at_once() -> None:
    clock = SystemRuntime()
    resolver = Resolver(Zone("cluster.local"), Upstream((), clock), clock)
    answer = dns.message.from_wire(resolver.slow(dns.message.make_query("example.org", "A").to_wire()))
    assert answer.rcode() == dns.rcode.SERVFAIL


def test_a_silent_connection_does_not_hold_up_others(site: Site) -> None:
    site.publish("web", "10.96.0.20")
    with socket.create_connection(("127.0.0.1", site.port)) as silent:
        silent.sendall(b"\x00")
        assert site.ask("web.shop.svc.cluster.local", tcp=True).answer


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 79))
def test_any_bytes_are_answered_or_refused(noise: bytes, place: int) -> None:
    clock = SystemRuntime()
    resolver = Resolver(Zone("cluster.local"), Upstream((), clock), clock)
    sound = dns.message.make_query("web.shop.svc.cluster.local", "SRV", use_edns=0).to_wire()
    for data in (noise, sound[:place] + noise + sound[place + len(noise) :]):
        answer = resolver.quick(data) or resolver.slow(data)
        assert len(answer) >= 12 and messages.is_response(answer)


def test_asking_again_takes_no_work(site: Site) -> None:
    site.publish("web", "10.96.0.20")
    for _ in range(3):
        site.addresses("web.shop.svc.cluster.local")
    assert (site.resolver.queries, site.resolver.hits) == (3, 2)


class Fragile(Resolver):
    """Fails at one name, as no server should."""

    def quick(self, data: bytes) -> bytes | None:
        if b"fragile" in data:
            raise RuntimeError("a mistake")
        return super().quick(data)


class Nodes:
    """The informers of a cluster of one node without services."""

    def of(self, resource: str) -> Nodes:
        return self

    def add_handler(self, handler: Callable[[Any, Any], None]) -> None:
        # An address of the loopback network, which nobody has to give to an interface.
        handler(None, {"metadata": {"name": "one"}, "spec": {"podCIDRs": ["127.11.3.0/24"]}})


class Nothing:
    def watch(self) -> None: ...


def test_a_name_server_that_fails_is_followed_by_another() -> None:
    clock = SystemRuntime()
    resolver = Fragile(Zone("cluster.local"), Upstream((), clock), clock)
    informers: Any = Nodes()
    names: Any = Nothing()
    part = NodeDns(informers, clock, "one", resolver, names, ("10.96.0.10",))
    part.watch()
    stop = clock.event()
    task = clock.spawn("dns", part.run, stop)

    def answers(name: str) -> bool:
        try:
            dns.query.udp(dns.message.make_query(name, "A"), "127.11.3.1", timeout=0.5, port=PORT)
        except (dns.exception.Timeout, OSError):
            return False
        return True

    try:
        wait_for(lambda: answers("a.cluster.local"), "the first answer")
        assert not answers("fragile.cluster.local")
        wait_for(lambda: answers("a.cluster.local"), "an answer of the next server")
    finally:
        stop.set()
        part.wake()
        task.join(10)
