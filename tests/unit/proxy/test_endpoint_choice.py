"""Which endpoints a node uses, as a table."""

from __future__ import annotations

import pytest
from service_objects import endpoint_slice, entry

from agents.network.nftables.values import Endpoint
from agents.proxy import endpoints
from agents.proxy.endpoints import NodeView

pytestmark = pytest.mark.unit

NODE = NodeView("one", "zone-a")


def zone(name: str) -> dict:
    return {"forZones": [{"name": name}]}


@pytest.mark.parametrize(("entries", "cluster", "local"), [
    pytest.param([], [], [], id="none"),
    pytest.param([entry("b", "one"), entry("a")], ["a", "b"], ["b"], id="sorted, local apart"),
    pytest.param([entry("a", ready=False), entry("b")], ["b"], [], id="not ready is left out"),
    pytest.param([entry("a", ready=None)], ["a"], [], id="unknown counts as ready"),
    pytest.param([entry("a", ready=False, serving=True, terminating=True), entry("b")], ["b"], [],
                 id="ending is not used while one is ready"),
    pytest.param([entry("a", ready=False, serving=True, terminating=True), entry("b", ready=False)], ["a"], [],
                 id="ending is used when none is ready"),
    pytest.param([entry("a", ready=False, terminating=True)], ["a"], [], id="what does not say so serves"),
    pytest.param([entry("a", ready=False, serving=True)], [], [], id="not ready and not ending is not used"),
    pytest.param([entry("a", "one", hints=zone("zone-b")), entry("b", hints=zone("zone-a"))], ["b"], ["a"],
                 id="local endpoints are used whatever their hints"),
    pytest.param([entry("a", hints=zone("zone-a")), entry("b", ready=False)], ["a"], [],
                 id="hints of what is not ready do not matter"),
    pytest.param([entry("a", hints=zone("zone-a") | {"forNodes": [{"name": "two"}]}),
                  entry("b", hints=zone("zone-b") | {"forNodes": [{"name": "three"}]})], ["a"], [],
                 id="own zone, if no endpoint is for the node"),
    pytest.param([entry("a", hints=zone("zone-a") | {"forNodes": [{"name": "one"}]}),
                  entry("b", hints=zone("zone-a") | {"forNodes": [{"name": "two"}]})], ["a"], [],
                 id="own node before own zone"),
    pytest.param([entry("a", hints=zone("zone-a") | {"forNodes": [{"name": "one"}]}), entry("b", hints=zone("zone-a"))],
                 ["a", "b"], [], id="incomplete hints of nodes leave those of zones"),
    pytest.param([entry("a", "one", ready=False, serving=True, terminating=True), entry("b")], ["b"], ["a"],
                 id="ending is used locally when none is ready locally"),
    pytest.param([entry("a", ready=False, serving=False, terminating=True)], [], [], id="ended is not used"),
    pytest.param([entry("a", hints=zone("zone-a")), entry("b", hints=zone("zone-b"))], ["a"], [], id="own zone"),
    pytest.param([entry("a", hints=zone("zone-a")), entry("b")], ["a", "b"], [], id="incomplete hints are ignored"),
    pytest.param([entry("a", hints=zone("zone-b")), entry("b", hints=zone("zone-c"))], ["a", "b"], [],
                 id="hints without our zone are ignored"),
    pytest.param([entry("a", hints={"forNodes": [{"name": "one"}]}), entry("b", hints={"forNodes": [{"name": "x"}]})],
                 ["a"], [], id="own node"),
])  # fmt: skip
def test_endpoints_are_chosen(entries: list, cluster: list[str], local: list[str]) -> None:
    choice = endpoints.choose(endpoints.candidates([endpoint_slice(*entries)], "", "TCP", NODE), NODE)
    assert choice.cluster == tuple(Endpoint(address, 8080) for address in cluster)
    assert choice.local == tuple(Endpoint(address, 8080) for address in local)


@pytest.mark.parametrize(("slices", "expected"), [
    ([endpoint_slice(entry("a"), port_name="http")], []),
    ([endpoint_slice(entry("a"), protocol="UDP")], []),
    ([endpoint_slice(entry("fd00::1"), address_type="IPv6")], []),
    ([endpoint_slice(entry("a")), endpoint_slice(entry("b"), port=9090)], [("a", 8080), ("b", 9090)]),
    ([endpoint_slice(entry("a", ready=False)), endpoint_slice(entry("a"))], [("a", 8080)]),
    ([endpoint_slice(entry("a")), endpoint_slice(entry("a", ready=False))], [("a", 8080)]),
])  # fmt: skip
def test_slices_are_matched_by_port_name_protocol_and_family(slices: list, expected: list) -> None:
    found = endpoints.candidates(slices, "", "TCP", NODE)
    assert [tuple(candidate.endpoint) for candidate in found if candidate.ready] == expected


@pytest.mark.parametrize("first", [True, False])
def test_an_address_that_was_given_again_is_the_new_pods(first: bool) -> None:
    ending, coming = entry("a", ready=False, serving=True, terminating=True), entry("a", ready=False, serving=False)
    slices = [endpoint_slice(ending), endpoint_slice(coming)]
    found = endpoints.candidates(slices if first else reversed(slices), "", "TCP", NODE)
    assert endpoints.choose(found, NODE).cluster == ()


def test_without_a_zone_hints_are_ignored() -> None:
    node = NodeView("one")
    found = endpoints.candidates([endpoint_slice(entry("a", hints=zone("zone-a")))], "", "TCP", node)
    assert endpoints.choose(found, node).cluster == (Endpoint("a", 8080),)
