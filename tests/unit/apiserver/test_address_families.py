"""Services on clusters of one and of two address families: what they get, and what they are refused."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest
from apiserver_in_process import running
from apiserver_objects import service

from api import errors
from api.client import Client
from control.apiserver.config import Config
from control.apiserver.strategies.ip_families import PREFER, REQUIRE, SINGLE, settle

pytestmark = pytest.mark.unit

V4, V6 = ("IPv4",), ("IPv6",)
BOTH, TURNED = ("IPv4", "IPv6"), ("IPv6", "IPv4")
SELECTOR = {"selector": {"app": "x"}}
DUAL = {"ipFamilyPolicy": PREFER, "ipFamilies": list(BOTH), "clusterIPs": ["10.96.0.9", "fd00:96::9"]}


@pytest.mark.parametrize("spec, configured, policy, families", [
    ({}, V4, SINGLE, V4),
    ({}, TURNED, SINGLE, V6),
    ({"ipFamilyPolicy": PREFER}, V4, PREFER, V4),
    ({"ipFamilyPolicy": PREFER}, BOTH, PREFER, BOTH),
    ({"ipFamilyPolicy": REQUIRE}, TURNED, REQUIRE, TURNED),
    ({"ipFamilies": ["IPv6"]}, BOTH, SINGLE, V6),
    ({"ipFamilies": ["IPv6"], "ipFamilyPolicy": PREFER}, BOTH, PREFER, TURNED),
    ({"clusterIPs": ["fd00:96::9"]}, BOTH, SINGLE, V6),
    ({"clusterIPs": ["fd00:96::9", "10.96.0.9"], "ipFamilyPolicy": REQUIRE}, BOTH, REQUIRE, TURNED),
    ({"clusterIPs": ["None"]}, BOTH, SINGLE, V4),
    ({"clusterIPs": ["None"], "ipFamilyPolicy": PREFER}, BOTH, PREFER, BOTH),
    ({"clusterIPs": ["None"], "selector": {}}, V4, REQUIRE, BOTH),
])  # fmt: skip
def test_a_new_service_gets_its_families(
    spec: dict[str, Any], configured: tuple[str, ...], policy: str, families: tuple[str, ...]
) -> None:
    found = settle(SELECTOR | spec, None, configured)
    assert (found.policy, found.families, found.causes) == (policy, families, ())


@pytest.mark.parametrize("change, policy, families, kept", [
    ({}, PREFER, BOTH, ("10.96.0.9", "fd00:96::9")),
    ({"ipFamilyPolicy": SINGLE}, SINGLE, V4, ("10.96.0.9",)),
    ({"ipFamilyPolicy": SINGLE, "ipFamilies": ["IPv4"], "clusterIPs": ["10.96.0.9"]}, SINGLE, V4, ("10.96.0.9",)),
    ({"ipFamilyPolicy": REQUIRE}, REQUIRE, BOTH, ("10.96.0.9", "fd00:96::9")),
])  # fmt: skip
def test_a_service_of_two_families_changes_only_as_its_policy_asks(
    change: dict[str, Any], policy: str, families: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    found = settle(SELECTOR | DUAL | change, SELECTOR | DUAL, BOTH)
    assert (found.policy, found.families, found.addresses, found.causes) == (policy, families, kept, ())


def test_a_cluster_that_becomes_dual_stack_changes_no_service_that_prefers_it() -> None:
    old = SELECTOR | {"ipFamilyPolicy": PREFER, "ipFamilies": ["IPv4"], "clusterIPs": ["10.96.0.9"]}
    assert settle(old, old, BOTH).families == V4
    assert settle(old | {"ipFamilyPolicy": REQUIRE}, old, BOTH).families == BOTH


@pytest.mark.parametrize("spec, configured, field, words", [
    ({"ipFamilyPolicy": REQUIRE}, V4, "spec.ipFamilyPolicy", "this cluster is not configured for dual-stack services"),
    ({"ipFamilies": ["IPv6"]}, V4, "spec.ipFamilies[0]", "not configured on this cluster"),
    ({"clusterIPs": ["fd00:96::9"]}, V4, "spec.clusterIPs[0]", "IPv6 is not configured on this cluster"),
    ({"ipFamilies": ["IPv4", "IPv6"]}, BOTH, "spec.ipFamilyPolicy", "when multiple IP families are specified"),
    ({"clusterIPs": ["10.96.0.9", "fd00:96::9"]}, BOTH, "spec.ipFamilyPolicy", "when multiple cluster IPs"),
])  # fmt: skip
def test_what_the_cluster_cannot_give_is_refused(
    spec: dict[str, Any], configured: tuple[str, ...], field: str, words: str
) -> None:
    (cause,) = settle(SELECTOR | spec, None, configured).causes
    assert (cause.field, words in cause.message) == (field, True)


@pytest.mark.parametrize("change, field", [
    ({"clusterIPs": ["10.96.0.9"], "ipFamilies": ["IPv4", "IPv6"]}, "release the secondary cluster IP"),
    ({"ipFamilies": ["IPv4"]}, "release the secondary IP family"),
])  # fmt: skip
def test_a_family_is_given_up_by_the_policy_only(change: dict[str, Any], field: str) -> None:
    assert any(field in cause.message for cause in settle(SELECTOR | DUAL | change, SELECTOR | DUAL, BOTH).causes)


NETWORKS = tuple(ipaddress.ip_network(text) for text in ("10.96.0.0/16", "fd00:96::/112"))


@pytest.fixture(scope="module")
def dual() -> Iterator[Client]:
    with running(Config(advertise_address="192.0.2.10", service_networks=NETWORKS)) as made:
        yield made.client()


def addresses(stored: Any) -> list[str]:
    """The cluster addresses, each of which is in its family's range."""
    spec = stored["spec"]
    assert spec["clusterIP"] == spec["clusterIPs"][0]
    for text, family in zip(spec["clusterIPs"], spec["ipFamilies"], strict=True):
        address = ipaddress.ip_address(text)
        assert (f"IPv{address.version}", any(address in network for network in NETWORKS)) == (family, True)
    return list(spec["clusterIPs"])


def test_addresses_of_both_ranges_are_given_added_and_given_back(dual: Client) -> None:
    assert len(addresses(dual.create("services", service("a", ipFamilyPolicy=REQUIRE)))) == 2
    assert [":" in one for one in addresses(dual.create("services", service("b", ipFamilies=["IPv6"])))] == [True]
    first = addresses(dual.create("services", service("c")))
    grown = dual.patch("services", "c", {"spec": {"ipFamilyPolicy": PREFER}}, "default")
    assert addresses(grown)[:1] == first and len(addresses(grown)) == 2
    shrunk = dual.patch("services", "c", {"spec": {"ipFamilyPolicy": SINGLE}}, "default")
    assert addresses(shrunk) == first
    # What was given up is free again.
    wanted = addresses(grown)[1]
    assert addresses(dual.create("services", service("d", clusterIP=wanted))) == [wanted]


@pytest.mark.parametrize("spec, words", [
    ({"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7", "10.96.7.8"], "ipFamilyPolicy": REQUIRE},
     "no more than one IP for each IP family"),
    ({"clusterIP": "fd00:96::7", "clusterIPs": ["fd00:96::7"], "ipFamilies": ["IPv4"]},
     "expected an IPv4 value as indicated by"),
    ({"ipFamilies": ["IPv4", "IPv4"], "ipFamilyPolicy": REQUIRE}, "Duplicate value"),
    ({"ipFamilies": ["IPv5"]}, "Unsupported value"),
    ({"clusterIP": "fd00:97::7"}, "the provided network does not match the current range"),
])  # fmt: skip
def test_addresses_that_do_not_fit_their_families_are_refused(dual: Client, spec: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.Invalid, match=words):
        dual.create("services", service("wrong", **spec))


def test_an_address_of_the_second_family_stays(dual: Client) -> None:
    stored = dual.create("services", service("kept", ipFamilyPolicy=REQUIRE))
    stored["spec"]["clusterIPs"][1] = "fd00:96::77"
    with pytest.raises(errors.Invalid, match=r"clusterIPs\[1\].*may not change once set"):
        dual.update("services", stored)
