"""Whatever a pod sends to its name server gets an answer or none, and harms nobody: a node has no other one."""

from __future__ import annotations

import dns.message
import dns.name
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_cluster_zone import DOMAIN, endpoint, endpoint_slice, service

from agents.dns.resolver import Resolver
from agents.dns.upstream import Upstream
from agents.dns.zone import Zone, namespace_names, service_names
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit

WORDS = [b"web", b"db", b"shop", b"svc", b"pod", b"cluster", b"local", b"in-addr", b"ip6", b"arpa", b"_sql", b"_tcp",
         b"10-244-1-5", b"fe80--1%eth0", b"10-1", b"1", b"0", b"f", b"-", b"%", b"\xff\x00", b"a.b", b"*"]  # fmt: skip
LABEL = st.sampled_from(WORDS) | st.binary(min_size=1, max_size=20)
ZONE_ENDS = [(b"pod", b"cluster", b"local"), (b"svc", b"cluster", b"local"), (b"in-addr", b"arpa"), (b"ip6", b"arpa")]


@pytest.fixture(scope="module")
def resolver() -> Resolver:
    clock = SystemRuntime()
    made = Resolver(Zone(DOMAIN, ["10.0.0.0/8", "fd00::/64"]), Upstream((), clock), clock)
    made.update("1", service_names(service("web", "10.96.0.20", ports=(("http", 80),)), [], DOMAIN))
    made.update("2", service_names(service("db", "None"), [endpoint_slice(endpoint("10.244.1.5", "db-0"))], DOMAIN))
    made.update("/shop", namespace_names("shop", DOMAIN))
    return made


def answered(resolver: Resolver, data: bytes) -> None:
    for answer in (resolver.quick(data), resolver.slow(data), resolver.slow(data, datagram=False)):
        assert answer is None or len(answer) >= 12


@settings(max_examples=300, deadline=None)
@example([b"fe80--1%eth0", b"default"], ZONE_ENDS[0], 28, 1)
@given(st.lists(LABEL, max_size=6), st.sampled_from([(), *ZONE_ENDS]), st.integers(0, 65535), st.integers(0, 65535))
def test_any_name_and_kind(resolver: Resolver, labels: list[bytes], end: tuple[bytes, ...], kind: int, of: int) -> None:
    name = dns.name.Name((*labels, *end, b""))
    for asked in (kind, 1, 28, 12, 33, 255):
        answered(resolver, dns.message.make_query(name, asked, of if asked == kind else 1).to_wire())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes(resolver: Resolver, data: bytes) -> None:
    answered(resolver, data)
    answered(resolver, data[:2].ljust(2) + b"\x01\x00\x00\x01" + data[2:])
