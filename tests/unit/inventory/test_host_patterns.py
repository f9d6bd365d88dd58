"""Which hosts a pattern names."""

from __future__ import annotations

import pytest

from inventory.errors import InventoryError
from inventory.model import Group, Inventory
from inventory.patterns import match, split

pytestmark = pytest.mark.unit

INVENTORY = Inventory(
    hosts={name: {} for name in ("web1", "web2", "web3", "db1", "db2", "alone")},
    groups={
        "all": Group("all", children=("ungrouped", "web", "db")),
        "ungrouped": Group("ungrouped", hosts=("alone",)),
        "web": Group("web", hosts=("web1", "web2", "web3")),
        "db": Group("db", hosts=("db1", "db2")),
        "live": Group("live", hosts=("web1", "db1")),
    },
)

CASES = [
    ("all", ["alone", "web1", "web2", "web3", "db1", "db2"]),
    ("*", ["alone", "web1", "web2", "web3", "db1", "db2"]),
    ("web", ["web1", "web2", "web3"]),
    ("web:db", ["web1", "web2", "web3", "db1", "db2"]),
    ("web,db1", ["web1", "web2", "web3", "db1"]),
    ("all:!db", ["alone", "web1", "web2", "web3"]),
    ("!db", ["alone", "web1", "web2", "web3"]),
    ("web:db:&live", ["web1", "db1"]),
    ("all:!db:&live", ["web1"]),
    ("!db1:db", ["db2"]),
    ("web[0]", ["web1"]),
    ("web[-1]", ["web3"]),
    ("web[0:1]", ["web1", "web2"]),
    ("web[1:]", ["web2", "web3"]),
    ("web[7]", []),
    ("w*", ["web1", "web2", "web3"]),
    ("*1", ["web1", "db1"]),
    ("web?:!web2", ["web1", "web3"]),
    ("~(?:web|db)1:!db1", ["web1"]),
    ("~(web|db)1", ["web1", "db1"]),
    ("localhost", ["localhost"]),
    (["web1", "db"], ["web1", "db1", "db2"]),
]


@pytest.mark.parametrize(("pattern", "hosts"), CASES)
def test_pattern(pattern: str | list[str], hosts: list[str]) -> None:
    assert match(INVENTORY, pattern) == hosts


@pytest.mark.parametrize("pattern", ["wbe", "all:!wbe", "web:&wbe", "nope*"])
def test_an_unknown_name_is_an_error_unless_asked_otherwise(pattern: str) -> None:
    with pytest.raises(InventoryError, match="neither a group nor a host"):
        match(INVENTORY, pattern)
    match(INVENTORY, pattern, strict=False)


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(InventoryError, match="did you mean 'web'"):
        match(INVENTORY, "weeb")


@pytest.mark.parametrize(
    ("pattern", "pieces"),
    [("a:b", ["a", "b"]), ("a[1:2]:!b", ["a[1:2]", "!b"]), ("fe80::1", ["fe80::1"]), ("a, b", ["a", "b"])],
)
def test_split(pattern: str, pieces: list[str]) -> None:
    assert split(pattern) == pieces
