"""Host ports as a table: what each claim becomes."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from agents.network import hostports
from agents.network.interface import HostPort
from agents.network.nftables.values import (
    ACCEPT,
    DROP,
    TCP,
    UDP,
    Endpoint,
    Established,
    Family,
    Field,
    InNetworks,
    Interface,
)  # fmt: skip

pytestmark = pytest.mark.unit

POD, OTHER = ip_address("10.244.1.5"), ip_address("10.244.1.6")


@pytest.mark.parametrize(("claims", "anywhere", "addressed"), [
    ([(POD, HostPort(80, 8080))], {(TCP, 80): Endpoint("10.244.1.5", 8080)}, {}),
    ([(POD, HostPort(53, 5353, "UDP", "0.0.0.0"))], {(UDP, 53): Endpoint("10.244.1.5", 5353)}, {}),
    ([(POD, HostPort(80, 8080, "TCP", "192.0.2.1"))], {}, {("192.0.2.1", TCP, 80): Endpoint("10.244.1.5", 8080)}),
    ([(POD, HostPort(80, 1)), (OTHER, HostPort(80, 2))], {(TCP, 80): Endpoint("10.244.1.5", 1)}, {}),
    ([(ip_address("fd00::5"), HostPort(80, 8080))], {}, {}),
    ([(POD, HostPort(80, 8080, "TCP", "anywhere"))], {}, {}),
])  # fmt: skip
def test_claims_become_elements(claims: list, anywhere: dict, addressed: dict) -> None:
    elements = hostports.desired(claims).elements
    assert elements["ports"] == anywhere
    assert elements["address-ports"] == addressed


def test_loopback_addresses_take_answers_of_pods_and_nothing_else() -> None:
    at_home, from_home = (InNetworks(way, ("127.0.0.0/8",)) for way in (Field.DESTINATION, Field.SOURCE))
    by_bridge = Interface("wherry0")
    chains = hostports.desired([(POD, HostPort(80, 8080))]).chains
    accepted = (Established(), ACCEPT)
    assert chains["input"].rules == ((by_bridge, from_home, DROP), accepted, (by_bridge, at_home, DROP))
    assert chains["prerouting"].rules[0] == (Interface("lo", inverted=True), at_home, ACCEPT)
    assert "input" not in hostports.desired([(ip_address("fd00::5"), HostPort(80, 8080))], Family.IP6).chains


def test_a_pod_with_a_host_port_may_reach_itself() -> None:
    assert hostports.desired([(POD, HostPort(80, 8080))]).elements["hairpin"] == {("10.244.1.5", "10.244.1.5"): None}
