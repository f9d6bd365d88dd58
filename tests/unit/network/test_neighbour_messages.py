"""What stations of a segment are told and asked about an IPv6 address, byte by byte as RFC 4861 has it."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.network import neighbour_discovery as nd
from agents.network.rtnetlink.values import Link

pytestmark = pytest.mark.unit

LINK = Link(2, "eth0", "veth", "0a:00:00:00:00:0b", 1500, up=True, master=0, loopback=False)
ADDRESS = IPv6Address("fd00:9::200")
TARGET = "fd000009000000000000000000000200"


def test_an_announcement_overrides_what_is_remembered_and_was_asked_for_by_nobody() -> None:
    assert nd.advertisement(LINK, ADDRESS).hex() == "88000000" + "20000000" + TARGET + "0201" + "0a000000000b"


def test_a_question_says_who_asks() -> None:
    assert nd.solicitation(LINK, ADDRESS).hex() == "87000000" + "00000000" + TARGET + "0101" + "0a000000000b"


@pytest.mark.parametrize("packet, expected", [
    ("88000000" "60000000" + TARGET + "0201" "0a000000000c", "0a:00:00:00:00:0c"),
    ("88000000" "60000000" + TARGET + "0e01" "112233445566" "0201" "0a000000000c", "0a:00:00:00:00:0c"),
    ("88000000" "60000000" + TARGET, ""),
    ("88000000" "60000000" + TARGET + "0200" "0a000000000c", ""),
    ("88000000" "60000000" + TARGET + "0201" "0a00", ""),
])  # fmt: skip
def test_an_answer_is_read(packet: str, expected: str) -> None:
    assert nd.read_advertisement(bytes.fromhex(packet)) == (ADDRESS, expected)


@pytest.mark.parametrize("packet", ["", "8800", "8700000000000000" + TARGET + "01010a000000000b"])
def test_anything_else_is_about_nobody(packet: str) -> None:
    assert nd.read_advertisement(bytes.fromhex(packet)) == (IPv6Address(0), "")
