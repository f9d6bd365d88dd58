"""Messages on the wire: what is built is read back as the same value."""

from __future__ import annotations

import errno
import struct
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from agents.network import netlink
from agents.network.netlink import NetlinkError, attribute, attribute_list, attributes
from agents.network.rtnetlink import decode, encode
from agents.network.rtnetlink.values import LinkAddress, Neighbour, Route, mac_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("route", [
    Route(ip_network("10.244.2.0/24"), 2, ip_address("192.168.9.12")),
    Route(ip_network("10.244.3.0/24"), 7, ip_address("10.244.3.0"), onlink=True),
    Route(ip_network("10.96.0.0/16"), 3, source=ip_address("192.168.9.11")),
    Route(ip_network("fd00:2::/64"), 2, ip_address("fd00:9::2")),
    Route(ip_network("0.0.0.0/0"), 5, ip_address("10.244.1.1")),
], ids=str)  # fmt: skip
def test_a_route_is_read_as_it_was_written(route: Route) -> None:
    assert decode.read_route(encode.new_route(route).payload) == route


def test_addresses_and_neighbours_are_read_as_they_were_written() -> None:
    held = LinkAddress(4, ip_interface("10.244.1.1/24"))
    assert decode.read_address(encode.new_address(4, held.interface).payload) == held
    entry = Neighbour(7, ip_address("10.244.3.0"), "0a:56:ac:10:00:09")
    assert decode.read_neighbour(encode.new_neighbour(entry).payload) == entry
    assert decode.read_neighbour(encode.new_forwarding(entry).payload) == entry


def test_a_mac_follows_from_the_address() -> None:
    assert mac_of(ip_address("10.244.1.5")) == "0a:58:0a:f4:01:05"
    assert mac_of(ip_address("fd00::1:2")) == "0a:58:00:01:00:02"


def test_attributes_are_found_whatever_their_flags_and_padding() -> None:
    data = attribute(1, b"abc") + attribute(2 | 0x8000, b"") + attribute(3 | 0x4000, b"defgh")
    assert attribute_list(data) == [(1, b"abc"), (2, b""), (3, b"defgh")]
    assert attributes(data[:-4]) == {1: b"abc", 2: b"", 3: b"defg"}
    assert attributes(b"\x01\x00\x00\x00") == {}


def test_an_error_carries_the_kernels_words() -> None:
    explanation = attribute(1, b"Device does not exist\0")
    original = netlink.HEADER.pack(20, 16, 0, 1, 0)
    for flags, rest in ((0x300, original), (0x200, original + b"\0\0\0\0")):
        error = netlink._error(struct.pack("=i", -errno.ENODEV) + rest + explanation, flags, 3)
        assert isinstance(error, NetlinkError)
        assert (error.code, error.index) == (errno.ENODEV, 3)
        assert str(error) == "No such device (Device does not exist)"
    assert netlink._error(struct.pack("=i", 0) + original, 0, 0) is None
