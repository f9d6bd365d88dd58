"""Names of the endpoints of any service, and what the API's changes do to answers that were given before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.message
import dns.reversename
import pytest
from dns.rcode import Rcode
from test_cluster_zone import DOMAIN, endpoint, endpoint_slice, service

from agents.dns.cluster_dns import ClusterDns
from agents.dns.members import Members
from agents.dns.resolver import Resolver
from agents.dns.upstream import Upstream
from agents.dns.zone import Zone
from api.informers import Informers
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit

SLICES = "endpointslices.discovery.k8s.io"
Put = Callable[..., None]


@pytest.fixture
def site() -> tuple[Resolver, Put]:
    """A resolver that follows informers, and how to tell them of an object."""
    client: Any = None
    clock = SystemRuntime()
    informers = Informers(client, clock)
    members = Members(informers, DOMAIN)
    resolver = Resolver(Zone(DOMAIN, ["10.0.0.0/8", "fd00::/64"], members.records), Upstream((), clock), clock)
    ClusterDns(informers, members, resolver, DOMAIN).watch()

    def put(resource: str, obj: dict, kind: str = "MODIFIED") -> None:
        metadata = {"namespace": "shop", "resourceVersion": "1"} | obj["metadata"]
        informers.of(resource)._take(kind, obj | {"metadata": metadata})

    return resolver, put


def behind(name: str, *entries: dict) -> dict:
    labels = {"kubernetes.io/service-name": name}
    return endpoint_slice(*entries, port="") | {"metadata": {"name": f"{name}-1", "labels": labels}}


def told(resolver: Resolver, name: str, kind: str = "A") -> list[str] | Rcode:
    """The records of an answer, or its code without any."""
    full = dns.reversename.from_address(name) if kind == "PTR" else f"{name}.{DOMAIN}"
    data = resolver.quick(dns.message.make_query(full, kind).to_wire())
    assert data is not None, "it can be answered at once"
    answer = dns.message.from_wire(data)
    return [record.to_text() for rrset in answer.answer for record in rrset] or answer.rcode()


def test_any_pod_that_a_service_exposes_has_a_name(site: tuple[Resolver, Put]) -> None:
    resolver, put = site
    put("services", service("web", "10.96.0.20", ports=(("http", 80),)))
    put(SLICES, behind("web", endpoint("10.244.1.5"), endpoint("10.244.1.6", "first"), endpoint("fd00::5"),
                       endpoint("10.244.1.7", ready=False)))  # fmt: skip
    assert told(resolver, "10-244-1-5.web.shop.svc") == ["10.244.1.5"]
    assert told(resolver, "First.web.shop.svc") == ["10.244.1.6"]
    assert told(resolver, "first.web.shop.svc", "SRV") == ["0 100 5432 first.web.shop.svc.cluster.local."]
    assert told(resolver, "first.web.shop.svc", "AAAA") == Rcode.NOERROR
    assert told(resolver, "fd00--5.web.shop.svc", "AAAA") == ["fd00::5"]
    assert told(resolver, "10-244-1-7.web.shop.svc") == Rcode.NXDOMAIN
    assert told(resolver, "10.244.1.6", "PTR") == ["first.web.shop.svc.cluster.local."]
    assert told(resolver, "fd00::5", "PTR") == ["fd00--5.web.shop.svc.cluster.local."]
    assert told(resolver, "10.244.1.7", "PTR") == Rcode.NXDOMAIN
    assert told(resolver, "web.shop.svc") == ["10.96.0.20"], "the endpoints are not at the service's own name"


def test_an_answer_about_an_endpoint_follows_the_next_change(site: tuple[Resolver, Put]) -> None:
    resolver, put = site
    name = "10-244-1-5.web.shop.svc"
    assert told(resolver, name) == told(resolver, "10.244.1.5", "PTR") == Rcode.NXDOMAIN
    put(SLICES, behind("web", endpoint("10.244.1.5")))
    assert told(resolver, name) == Rcode.NXDOMAIN, "nobody knows what kind of service it is"
    put("services", service("web", "10.96.0.20"))
    assert told(resolver, name) == ["10.244.1.5"]
    put(SLICES, behind("web", endpoint("10.244.1.6")))
    assert told(resolver, name) == told(resolver, "10.244.1.5", "PTR") == Rcode.NXDOMAIN
    assert told(resolver, "10.244.1.6", "PTR") == ["10-244-1-6.web.shop.svc.cluster.local."]
    put("services", service("web", "None"))
    assert told(resolver, "web.shop.svc") == told(resolver, "10-244-1-6.web.shop.svc") == ["10.244.1.6"]
    put(SLICES, behind("web", endpoint("10.244.1.6")), "DELETED")
    assert told(resolver, "10.244.1.6", "PTR") == Rcode.NXDOMAIN


def test_pods_have_names_in_namespaces_that_exist(site: tuple[Resolver, Put]) -> None:
    resolver, put = site
    namespace = {"metadata": {"name": "shop", "namespace": ""}}
    assert told(resolver, "10-244-1-5.shop.pod") == told(resolver, "shop.svc") == Rcode.NXDOMAIN
    put("namespaces", namespace)
    assert told(resolver, "10-244-1-5.shop.pod") == ["10.244.1.5"]
    assert told(resolver, "shop.svc") == told(resolver, "shop.pod") == Rcode.NOERROR
    put("namespaces", namespace, "DELETED")
    assert told(resolver, "10-244-1-5.shop.pod") == told(resolver, "shop.svc") == Rcode.NXDOMAIN
