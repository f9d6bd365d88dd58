"""What the kernel's table of services does with packets for an address and port: facts for `wherry trace`.

Invariant: read from the kernel, element by element; nothing is computed from the API's objects.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from agents.network import echo
from agents.network.netlink import NetlinkError
from agents.network.nftables.table import NftTable
from agents.network.nftables.values import PROTOCOLS, Endpoint, Family, Key, Verdict
from agents.proxy import rules

HEALTH_PORT = 10256


def observe(address: str, protocol: str, port: int) -> dict[str, Any]:
    """The rule for a front end, the endpoints that it leads to, and whether it is refused."""
    table = NftTable(rules.TABLE, next(family for family in Family if family.has(address)))
    try:
        return _look(table, (address, PROTOCOLS[protocol], port))
    except NetlinkError as error:
        return {"problem": f"table {rules.TABLE} cannot be read: {error}"}
    finally:
        table.close()


def standing(address: str) -> dict[str, Any]:
    """Whether packets of pods to an address outside leave with an address of this node; whether the proxy runs."""
    table = NftTable(rules.TABLE, next(family for family in Family if family.has(address)))
    try:
        masquerade = "postrouting" in table.chain_names()
    finally:
        table.close()
    return {"masquerade": masquerade, "proxy": echo.connect("127.0.0.1", HEALTH_PORT) == "accepted"}


def _look(table: NftTable, front: Key) -> dict[str, Any]:
    sets = rules.base(()).sets
    found = table.lookup(rules.SERVICES, sets[rules.SERVICES], front)
    refused = any(table.lookup(name, sets[name], front) is not None for name in (rules.REFUSED, rules.DROPPED))
    chain = found.chain if isinstance(found, Verdict) else ""
    ends: list[str] = []
    for index in count():
        end = table.lookup(rules.ENDPOINTS, sets[rules.ENDPOINTS], (*front, index))
        if not isinstance(end, Endpoint):
            break
        ends.append(end.written())
    if chain and not ends:
        # A service with affinity has a chain for each endpoint, named after it.
        parts = (
            name.removeprefix(chain + "/").split("/") for name in table.chain_names() if name.startswith(chain + "/")
        )
        ends = [Endpoint(part[0], int(part[1])).written() for part in parts if len(part) == 2]
    return {"chain": chain, "endpoints": ends, "refused": refused, "problem": ""}
