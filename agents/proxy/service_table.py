"""The node's table of services of one address family, and what it was made from.

Invariant: after each call that returns, the kernel's table is what the parts add up to; what raises leaves the next
call to compare everything.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from agents.network.conntrack import ConnectionTracking, Frontend
from agents.network.nftables.table import Difference, NftTable
from agents.network.nftables.values import UDP, Endpoint, Family, Ruleset
from agents.proxy import rules
from agents.proxy.composition import Composition
from agents.proxy.rules import ServiceRules

log = logging.getLogger(__name__)

# The owner of the part that leads to the node's name server; no key of a service.
_DNS = "dns"


class ServiceTable:
    """One task at a time; every call that changes raises NetlinkError if the kernel refuses.

    `name_server` is the cluster's DNS address, "" for none; `gateway` where this node answers it, "" for not yet.
    """

    def __init__(self, family: Family, cluster_networks: tuple[str, ...], name_server: str = "") -> None:
        self.family = family
        self.table = NftTable(rules.TABLE, family)
        self.parts: dict[str, ServiceRules] = {}
        self._cluster_networks = cluster_networks
        self._name_server = name_server
        self._gateway: Endpoint | None = None
        self._tracking = ConnectionTracking(family)
        self._composition = self._empty()

    def close(self) -> None:
        """Close the sockets; the table stays."""
        self.table.close()
        self._tracking.close()

    def rebuild(self, parts: Iterator[tuple[str, ServiceRules]], gateway: Endpoint | None) -> Difference:
        """Make the table of exactly these parts; what in the kernel was different."""
        self._gateway = gateway
        self._composition = self._empty()
        self.parts = {}
        for key, part in parts:
            self.parts[key] = part
            self._composition.replace(key, part.ruleset)
        self._composition.replace(_DNS, self._dns_rules())
        found = self.table.reconcile(self._composition.whole())
        self._tracking.forget_former(
            {front: ends for part in self.parts.values() for front, ends in part.backends.items()}
        )
        return found

    def update(self, changed: Mapping[str, ServiceRules | None]) -> None:
        """Put these parts in place of the services' present ones; None for a service that is gone."""
        backends: dict[Frontend, frozenset[Endpoint]] = {}
        for key, part in changed.items():
            old, new = self.parts.get(key, ServiceRules()), part or ServiceRules()
            if old == new:
                continue
            leaving, coming = self._composition.replace(key, part.ruleset if part is not None else None)
            self.parts[key] = new
            if part is None:
                self.parts.pop(key, None)
            self._send(leaving, coming)
            self._send(*self._composition.replace(_DNS, self._dns_rules()))
            backends.update(_changed_backends(old, new))
        self._tracking.forget_former(backends)

    def repair(self) -> Difference:
        """Undo what others did to the table since the last call."""
        return Difference([]) if self.table.unchanged() else self.table.reconcile(self._composition.whole())

    def _empty(self) -> Composition:
        return Composition(rules.base(self._cluster_networks, self.family))

    def _send(self, leaving: Ruleset, coming: Ruleset) -> None:
        found = self.table.replace(leaving, coming)
        log.debug("table %s of %s: %s", rules.TABLE, self.family.written, found)

    def _dns_rules(self) -> Ruleset | None:
        """The way to the node's own name server, unless the cluster runs one behind the same address."""
        if not self._name_server or self._gateway is None:
            return None
        front = Frontend(self._name_server, UDP, 53)
        if any(part.backends.get(front) for part in self.parts.values()):
            return None
        return rules.dns_rules(self._name_server, self._gateway)


def _changed_backends(old: ServiceRules, new: ServiceRules) -> dict[Frontend, frozenset[Endpoint]]:
    """Front ends whose endpoints changed, with the present ones; a front end that is gone has none."""
    fronts: Any = old.backends.keys() | new.backends.keys()
    nothing: frozenset[Endpoint] = frozenset()
    return {
        front: new.backends.get(front, nothing)
        for front in fronts
        if old.backends.get(front) != new.backends.get(front)
    }
