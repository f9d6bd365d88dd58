"""Addresses: never two sandboxes with one, never soon again, whatever happens to the process."""

from __future__ import annotations

import tempfile
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.network.interface import NetworkError
from agents.network.ipam import AddressBook, choose, gateway_of

pytestmark = pytest.mark.unit

SMALL = ip_network("10.244.1.0/28")
SANDBOXES = st.sampled_from([f"s{number}" for number in range(20)])


@pytest.mark.parametrize(("network", "taken", "last", "expected"), [
    ("10.244.1.0/24", [], None, "10.244.1.2"),
    ("10.244.1.0/24", ["10.244.1.2"], None, "10.244.1.3"),
    ("10.244.1.0/24", [], "10.244.1.7", "10.244.1.8"),
    ("10.244.1.0/24", ["10.244.1.8"], "10.244.1.7", "10.244.1.9"),
    ("10.244.1.0/24", [], "10.244.1.254", "10.244.1.2"),
    ("10.244.1.0/24", [], "10.9.9.9", "10.244.1.2"),
    ("10.244.1.0/30", ["10.244.1.2"], None, None),
    ("fd00:1::/120", [], None, "fd00:1::2"),
    ("fd00:1::/120", [], "fd00:1::ff", "fd00:1::2"),
])  # fmt: skip
def test_the_next_free_address_is_chosen(
    network: str, taken: list[str], last: str | None, expected: str | None
) -> None:
    chosen = choose(ip_network(network), map(ip_address, taken), ip_address(last) if last else None)
    assert chosen == (ip_address(expected) if expected else None)


def test_all_addresses_but_network_gateway_and_broadcast_are_given() -> None:
    taken = []
    while (address := choose(SMALL, taken, taken[-1] if taken else None)) is not None:
        taken.append(address)
    assert sorted(taken) == [address for address in SMALL.hosts() if address != gateway_of(SMALL)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["reserve", "release", "restart", "crash"]), SANDBOXES), max_size=40))
def test_no_two_sandboxes_ever_hold_one_address(steps: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        book, model = AddressBook(directory), {}
        for action, sandbox in steps:
            if action == "reserve":
                try:
                    model[sandbox] = book.reserve(sandbox, [SMALL])
                except NetworkError:
                    assert len(model) == SMALL.num_addresses - 3
            elif action == "release":
                book.release(sandbox)
                model.pop(sandbox, None)
            elif action == "crash":
                (directory / f".{sandbox}.new").write_bytes(b'{"addres')
                book = AddressBook(directory)
            else:
                book = AddressBook(directory)
            assert book.reservations() == model
            addresses = [address for held in model.values() for address in held.addresses]
            assert len(set(addresses)) == len(addresses)


def test_a_freed_address_is_the_last_to_come_back_also_after_a_restart(tmp_path: Path) -> None:
    book = AddressBook(tmp_path)
    first = book.reserve("first", [SMALL]).addresses[0]
    seen = []
    for number in range(SMALL.num_addresses - 4):
        book.release("first")
        book.release(f"s{number - 1}")
        book = AddressBook(tmp_path)
        seen.append(book.reserve(f"s{number}", [SMALL]).addresses[0])
    assert first not in seen
    assert len(set(seen)) == len(seen)


def test_a_reservation_is_kept_and_moves_only_with_the_network(tmp_path: Path) -> None:
    book = AddressBook(tmp_path)
    before = book.reserve("s", [SMALL])
    assert book.reserve("s", [SMALL]) == before
    moved = book.reserve("s", [ip_network("10.244.9.0/24")])
    assert moved.addresses[0] in ip_network("10.244.9.0/24")
    assert AddressBook(tmp_path).get("s") == moved


def test_a_file_that_a_power_loss_cut_is_no_reservation(tmp_path: Path) -> None:
    AddressBook(tmp_path).reserve("whole", [SMALL])
    (tmp_path / "sandboxes" / "cut").write_bytes(b"")
    book = AddressBook(tmp_path)
    assert set(book.reservations()) == {"whole"}
    assert not (tmp_path / "sandboxes" / "cut").exists()
